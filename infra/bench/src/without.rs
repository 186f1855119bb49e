//! A row beside the same run without what it is about, each directly after it: the machine drifts,
//! so only their ratio says what that costs.

use anyhow::Context as _;

use crate::console::print;
use crate::figures::Figures;
use crate::plan::Plan;
use crate::results::Run;
use crate::row::{Row, thousands};
use crate::run::run;
use crate::stack::Environment;

/// mongod's CPU per event over that of the run without, what builds indexes left out.
pub const CPU: &str = "cpu_mongod_to_without";
/// CPU per event of ingest, processor and Redis together over that of the run without.
pub const EVP: &str = "cpu_evp_to_without";
/// p99 of the answers over that of the run without.
pub const ANSWER: &str = "answer_p99_to_without";
/// mongod's CPU in us for one duplicate: what is left of the row's when the other events cost what
/// they do without.
pub const DUPLICATE: &str = "cpu_mongod_duplicate";

/// The same run without what a row is about.
#[derive(Debug, Clone, Copy)]
pub struct Without {
    /// Takes that away.
    pub take: fn(&mut Plan),
    /// Highest [`CPU`].
    pub cpu_max: Option<f64>,
    /// Highest [`EVP`].
    pub evp_max: Option<f64>,
    /// Highest [`ANSWER`].
    pub answer_max: Option<f64>,
    /// Highest [`DUPLICATE`].
    pub duplicate_max: Option<f64>,
}

impl Without {
    /// The run that `take` makes of a row's, with nothing to be reached.
    #[must_use]
    pub const fn new(take: fn(&mut Plan)) -> Self {
        Self {
            take,
            cpu_max: None,
            evp_max: None,
            answer_max: None,
            duplicate_max: None,
        }
    }

    /// What is to be reached, in words.
    pub(crate) fn reach(self) -> String {
        let most = |what: &str, most: Option<f64>| {
            most.map_or_else(String::new, |most| {
                format!("; {what} at most {most}x that without")
            })
        };
        most("mongod CPU/event", self.cpu_max)
            + &most("CPU/event of EVP and Redis", self.evp_max)
            + &most("answer p99", self.answer_max)
            + &self.duplicate_max.map_or_else(String::new, |most| {
                format!("; mongod at most {most} us a duplicate")
            })
    }
}

/// Makes a run of `row`, after the one without, if it has such.
///
/// # Errors
/// One of them failed.
pub async fn run_row(environment: &Environment, row: &Row, plan: &Plan) -> anyhow::Result<Run> {
    let Some(without) = row.without else {
        return run(environment, plan).await;
    };
    let mut base = plan.clone();
    (without.take)(&mut base);
    let base = run(environment, &base)
        .await
        .context("the run without")?
        .figures;
    let base_of = |name: &str| base.get(name).copied().unwrap_or_default();
    print(&format!(
        "{} without: stored {}/s, EVP and Redis {:.2}, mongod {:.2} us/ev, answer p99 {:.1} ms",
        row.name,
        thousands(base_of("stored_per_s")),
        base_of("cpu_evp"),
        base_of("cpu_mongod"),
        base_of("answer_p99_ms"),
    ));
    let mut run = run(environment, plan).await?;
    relate(&mut run.figures, &base);
    if without.duplicate_max.is_some() {
        let duplicate = of_duplicate(&run.figures, &base, plan.load.duplicates);
        let figure = duplicate.map(|cost| (DUPLICATE.to_owned(), cost));
        run.figures.extend(figure);
    }
    Ok(run)
}

/// Adds the figures that are ratios to those of the run without, and these.
fn relate(figures: &mut Figures, base: &Figures) {
    let build = figures.get("cpu_build").copied().unwrap_or_default();
    let names = [
        ("cpu_mongod", CPU, build),
        ("cpu_evp", EVP, 0.0),
        ("answer_p99_ms", ANSWER, 0.0),
    ];
    for (name, ratio, beside) in names {
        let (Some(own), Some(base)) = (figures.get(name), base.get(name)) else {
            continue;
        };
        if *base > 0.0 {
            let value = (own - beside) / base;
            figures.insert(format!("{name}_without"), *base);
            figures.insert(ratio.to_owned(), value);
        }
    }
}

/// What one duplicate costs mongod, where so large a share of the events are such.
fn of_duplicate(figures: &Figures, base: &Figures, share: f64) -> Option<f64> {
    let (own, base) = (figures.get("cpu_mongod")?, base.get("cpu_mongod")?);
    Some((own - base * (1.0 - share)) / share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duplicate_costs_what_the_other_events_do_not() {
        let cost = |mongod| -> Figures { [("cpu_mongod".to_owned(), mongod)].into() };
        // One in four, at 20 us: 0.75 x 12 + 0.25 x 20.
        let duplicate = of_duplicate(&cost(14.0), &cost(12.0), 0.25).unwrap();
        assert!((duplicate - 20.0).abs() < 1e-9, "{duplicate}");
        assert_eq!(of_duplicate(&Figures::new(), &cost(12.0), 0.25), None);
    }

    #[test]
    fn what_an_index_build_took_is_no_cost_of_the_events() {
        let figures = |of: &[(&str, f64)]| -> Figures {
            of.iter()
                .map(|(name, value)| ((*name).to_owned(), *value))
                .collect()
        };
        let base = figures(&[("cpu_mongod", 10.0), ("answer_p99_ms", 8.0)]);
        let mut own = figures(&[
            ("cpu_mongod", 16.0),
            ("cpu_build", 4.0),
            ("answer_p99_ms", 12.0),
        ]);
        relate(&mut own, &base);
        assert!((own[CPU] - 1.2).abs() < 1e-9 && (own[ANSWER] - 1.5).abs() < 1e-9);
        // mongod was given: nothing is known of its CPU.
        let mut own = figures(&[("answer_p99_ms", 12.0)]);
        relate(&mut own, &base);
        assert!(!own.contains_key(CPU) && own.contains_key(ANSWER));
    }
}
