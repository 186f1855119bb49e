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
}

impl Without {
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

#[cfg(test)]
mod tests {
    use super::*;

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
