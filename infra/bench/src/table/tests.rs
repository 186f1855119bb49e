use super::verdict::judge;
use super::*;
use crate::row::Goal;

fn results() -> Results {
    let mut results = Results::default();
    for row in all() {
        results
            .rows
            .insert(row.name.to_owned(), vec![run(1.0), run(3.0), run(2.0)]);
    }
    for row in all() {
        let ceiling = |rate: f64, server: f64| {
            let figures = [
                ("events_per_s", rate),
                ("cpu_client", 1.0),
                ("cpu_server", server),
            ];
            Figures::from(figures.map(|(name, value)| (name.to_owned(), value)))
        };
        let both = [ceiling(500_000.0, 6.0), ceiling(300_000.0, 8.0)];
        let names = crate::ceiling::of(&row).into_iter();
        let ceilings = names.map(|name| (name.to_owned(), both.clone()));
        results
            .around
            .insert(row.name.to_owned(), ceilings.collect());
    }
    results
}

fn run(factor: f64) -> Run {
    let figures = [
        ("stored_per_s", 100_000.0 * factor),
        ("holds", 1.0),
        ("cores", 1.5),
        ("asked_per_s", 100_000.0),
        ("latency_samples", 1.0),
        ("rss_growth_ingest", 1.0),
        ("rss_growth_processor", 1.0),
        ("rss_growth_redis", 1.0),
        ("stored_lowest_per_s", 60_000.0),
        ("acknowledged_millions", 51.0),
        ("cpu_system", 12.0),
        ("cpu_mongod", 8.0),
        ("rss_ingest_mib", 50.0),
        ("rss_processor_mib", 60.0),
        ("cpu_ingest", 1.0),
        ("cpu_processor", 1.0),
        ("cpu_redis", 2.0),
        ("answer_p99_ms", 10.0),
        ("stored_p50_ms", 5.0),
        ("stored_p99_ms", 50.0),
        (crate::without::CPU, 1.1),
        (crate::without::ANSWER, 1.9),
        (crate::without::DUPLICATE, 20.0),
    ];
    Run {
        figures: figures.map(|(name, value)| (name.to_owned(), value)).into(),
        ..Run::default()
    }
}

#[test]
fn every_row_is_in_the_table_with_median_spread_and_ratio() {
    let text = text(&results());
    for row in all() {
        assert!(text.contains(row.case), "{}", row.name);
    }
    assert!(text.contains("200,000 (100,000..300,000)"), "{text}");
    assert!(
        text.contains("0.50 of mongo-none's 500,000 before, 300,000 after"),
        "{text}"
    );
    assert!(
        text.contains("1.50x (12.00 over 7.00 before, 9.00 us/ev after)"),
        "{text}"
    );
    assert!(text.contains("1.00 / 1.00 / 2.00"), "{text}");
}

#[test]
fn a_figure_that_falls_short_is_not_reached() {
    let row = |name: &str| all().into_iter().find(|row| row.name == name).unwrap();
    let judged = |name: &str, figure: &str, value: f64| {
        let mut run = run(2.0);
        run.figures.insert(figure.to_owned(), value);
        judge(&row(name), &medians(&[run])).1
    };
    assert_eq!(judged("r500-none", "holds", 1.0), Some(true));
    assert_eq!(judged("r500-none", "holds", 0.0), Some(false));
    assert_eq!(judged("r500-none", "stored_per_s", 150_000.0), Some(false));
    assert_eq!(judged("single-none", "stored_per_s", 49_000.0), Some(false));
    assert_eq!(judged("latency", "holds", 1.0), Some(true));
    assert_eq!(judged("latency", "answer_p99_ms", 15.5), Some(false));
    assert_eq!(judged("latency", "stored_p50_ms", 7.0), Some(false));
    assert_eq!(judged("duplicates", "stored_p99_ms", 101.0), Some(false));
    assert_eq!(judged("latency", "latency_samples", 0.0), Some(false));
    assert_eq!(judged("duplicates", "holds", 1.0), Some(true));
    assert_eq!(
        judged("duplicates", "cpu_mongod_to_without", 1.3),
        Some(false)
    );
    assert_eq!(judged("dup-retry", "holds", 1.0), Some(true));
    assert_eq!(
        judged("dup-retry", "cpu_mongod_duplicate", 29.0),
        Some(false)
    );
    assert_eq!(judged("late", "holds", 1.0), Some(true));
    assert_eq!(judged("late", "stored_lowest_per_s", 49_000.0), Some(false));
    assert_eq!(
        judged("dropping", "answer_p99_to_without", 2.1),
        Some(false)
    );
    assert_eq!(judged("growth", "mongod_growth", 1.1), Some(true));
    assert_eq!(judged("growth", "mongod_growth", 1.2), Some(false));
    assert_eq!(judged("growth", "acknowledged_millions", 51.0), None);
    assert_eq!(judged("soak", "rss_growth_redis", 1.1), Some(true));
    assert_eq!(judged("soak", "rss_growth_redis", 1.2), Some(false));
    assert_eq!(judged("soak", "stored_lowest_per_s", 49_000.0), Some(false));
    assert_eq!(
        judged("backlog", "backlog_mb_per_million", 100.0),
        Some(true)
    );
    assert!(matches!(row("soak").goal, Goal::Flat(_)));
}

#[test]
fn a_row_with_a_failed_run_another_load_or_no_figure_is_not_reached() {
    let mut results = results();
    let name = |name: &str| name.to_owned();
    let _none = results.failures.insert(name("r500-none"), name("why"));
    let load = crate::load::Load::open(1.0, 7);
    results.loads.insert(name("r500-type"), load);
    for run in results.rows.get_mut("r100-none").unwrap() {
        run.figures.remove("cpu_redis");
    }
    let text = text(&results);
    let line = |case: &str, indexes: &str| {
        let start = |line: &&str| line.contains(case) && line.contains(indexes);
        text.lines().find(start).unwrap().to_owned()
    };
    assert!(line("requests of 500", "none").contains("failed, see below"));
    assert!(line("requests of 500", "none").contains("| NO"));
    assert!(line("requests of 500 (changed)", "type").contains("| - "));
    assert!(line("CPU s per million", "none").contains("not measured"));
    assert!(
        line("10-minute soak (changed)", "default").contains("| - "),
        "short"
    );
    assert!(text.contains("FAILED r500-none: why"), "{text}");
}

#[test]
fn ratios_are_new_over_old() {
    let (old, mut new) = (results(), results());
    for run in new.rows.get_mut("latency").unwrap() {
        run.figures.insert("stored_p99_ms".to_owned(), 25.0);
    }
    let text = comparison(&old, &new);
    let line = text.lines().find(|line| line.contains("latency")).unwrap();
    assert!(line.contains("0.50"), "{line}");
    assert!(line.contains("1.00"), "{line}");
}
