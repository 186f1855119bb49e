//! Hot path: how often each user and each type comes. Pure.

use serde::{Deserialize, Serialize};

use super::ids::Random;

/// How the events of a load are spread over users and types.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spread {
    /// Evenly over 10,000 users and over the types.
    #[default]
    Even,
    /// By Zipf's law over `users` and over the types: the second comes half as often as the first,
    /// the third a third as often, and so on. Both are chosen anew for each event.
    Zipf {
        /// How many.
        users: u32,
    },
}

/// A number below `bound`, by Zipf's law with the exponent 1, the lowest most often.
///
/// # Source
/// Rejection from the integral of the law, as in `Zipf` of the crate `rand_distr`, for this one
/// exponent. It accepts nine of ten and needs no table.
pub fn zipf(random: &mut Random, bound: u32) -> u32 {
    let area = 1.0 + f64::from(bound).ln();
    loop {
        let point = random.fraction() * area;
        let at = match point <= 1.0 {
            true => point,
            false => (point - 1.0).exp(),
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it lies between 0 and the bound"
        )]
        let index = (at as u32).min(bound - 1);
        // The integral is of 1 up to 1, and of 1/x beyond.
        let share = match index {
            0 => 1.0,
            _ => at / f64::from(index + 1),
        };
        if random.fraction() < share {
            return index;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(seed: u64, bound: u32, draws: usize) -> Vec<u32> {
        let mut random = Random::new(seed);
        let mut counts = vec![0; usize::try_from(bound).unwrap()];
        for _ in 0..draws {
            counts[usize::try_from(zipf(&mut random, bound)).unwrap()] += 1;
        }
        counts
    }

    #[test]
    fn each_comes_as_often_as_zipf_says() {
        const DRAWS: u32 = 2_000_000;
        let counts = counts(1, 100_000, 2_000_000);
        let harmonic: f64 = (1..=100_000).map(|rank| 1.0 / f64::from(rank)).sum();
        for rank in [1, 2, 3, 10, 100, 1_000] {
            let expected = f64::from(DRAWS) / harmonic / f64::from(rank);
            let found = f64::from(counts[usize::try_from(rank - 1).unwrap()]);
            let deviations = (found - expected).abs() / expected.sqrt();
            assert!(deviations < 5.0, "{rank}: {found}, not {expected}");
        }
        let tail: u32 = counts[50_000..].iter().sum();
        let expected = f64::from(DRAWS) * 2.0_f64.ln() / harmonic;
        assert!((f64::from(tail) / expected - 1.0).abs() < 0.02, "{tail}");
    }

    #[test]
    fn a_seed_gives_the_same_again_and_a_bound_of_one_gives_zero() {
        assert_eq!(counts(7, 1_000, 10_000), counts(7, 1_000, 10_000));
        assert_ne!(counts(7, 1_000, 10_000), counts(8, 1_000, 10_000));
        assert_eq!(counts(7, 1, 100), [100]);
    }
}
