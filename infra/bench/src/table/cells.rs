//! What stands in the cells of the tables. Pure.

use std::collections::BTreeMap;

use crate::figures::Figures;
use crate::results::Median;
use crate::row::{Row, thousands};

pub(super) type Medians = BTreeMap<String, Median>;

/// A figure, or zero.
pub(super) fn figure(figures: &Figures, name: &str) -> f64 {
    figures.get(name).copied().unwrap_or_default()
}

pub(super) fn indexes(row: &Row) -> String {
    match row.layout.indexes {
        [] => "none".to_owned(),
        ["type", "user"] => "default".to_owned(),
        some => some.join(", "),
    }
}

pub(super) fn cell(medians: &Medians, name: &str, digits: usize) -> String {
    medians.get(name).map_or_else(
        || "-".to_owned(),
        |median| format!("{:.digits$}", median.value),
    )
}

pub(super) fn rounded(medians: &Medians, name: &str) -> String {
    medians
        .get(name)
        .map_or_else(|| "-".to_owned(), |median| thousands(median.value))
}

/// A median, and how far the runs lie apart when they do.
pub(super) fn spread(medians: &Medians, name: &str) -> String {
    let Some(median) = medians.get(name) else {
        return "-".to_owned();
    };
    if median.highest > median.lowest {
        format!(
            "{} ({}..{})",
            thousands(median.value),
            thousands(median.lowest),
            thousands(median.highest)
        )
    } else {
        thousands(median.value)
    }
}
