//! What a service says of itself on `/metrics`. Pure.

use std::collections::HashMap;

/// The samples of a scrape, by name with labels as they are written.
#[derive(Debug, Default)]
pub struct Scrape(HashMap<String, f64>);

impl Scrape {
    /// Parses the text format; what is no sample is passed over.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let samples = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| {
                let (name, value) = line.rsplit_once(' ')?;
                Some((name.to_owned(), value.parse().ok()?))
            });
        Self(samples.collect())
    }

    /// Mean of a histogram; `labels` is empty or as in `{stage="insert"}`.
    #[must_use]
    pub fn mean(&self, histogram: &str, labels: &str) -> Option<f64> {
        let sum = self.0.get(&format!("{histogram}_sum{labels}"))?;
        let count = self.0.get(&format!("{histogram}_count{labels}"))?;
        (*count > 0.0).then(|| sum / count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_of_a_histogram_is_its_sum_over_its_count() {
        let scrape = Scrape::parse(
            "# TYPE a histogram\na_bucket{le=\"1\"} 3\na_sum 30\na_count 4\n\
             b_sum{stage=\"insert\"} 1.5\nb_count{stage=\"insert\"} 3\nc_sum 0\nc_count 0\n",
        );
        assert_eq!(scrape.mean("a", ""), Some(7.5));
        assert_eq!(scrape.mean("b", "{stage=\"insert\"}"), Some(0.5));
        assert_eq!(scrape.mean("c", ""), None);
        assert_eq!(scrape.mean("d", ""), None);
    }
}
