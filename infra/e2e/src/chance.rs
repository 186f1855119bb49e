use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

const SEED_VARIABLE: &str = "EVP_E2E_SEED";

/// Randomness that can be repeated.
#[derive(Debug)]
pub struct Chance {
    seed: u64,
    rng: StdRng,
}

impl Chance {
    /// Takes the seed from `EVP_E2E_SEED`, else a random one.
    #[must_use]
    pub fn new() -> Self {
        let given = std::env::var(SEED_VARIABLE).ok();
        // Six digits are enough to tell runs apart and short enough to be typed.
        let seed = given
            .and_then(|seed| seed.parse().ok())
            .unwrap_or_else(|| rand::rng().random_range(100_000..1_000_000));
        Self::of(seed)
    }

    fn of(seed: u64) -> Self {
        Self {
            seed,
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// What repeats it.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// `count` moments of a run of `events` events, as numbers of acknowledged events, in order:
    /// one in each equal part of its first four fifths, so that all of them come under load.
    pub fn moments(&mut self, count: u64, events: u64) -> Vec<u64> {
        let part = events * 4 / 5 / count.max(1);
        (0..count)
            .map(|index| index * part + self.rng.random_range(0..part.max(1)))
            .collect()
    }

    /// A number from 0 to below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.rng.random_range(0..end.max(1))
    }
}

impl Default for Chance {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_in_order_within_the_run_and_repeat_with_the_seed() {
        let moments = Chance::of(7).moments(20, 200_000);
        assert_eq!(moments.len(), 20);
        assert!(moments.is_sorted());
        assert!(moments.iter().all(|moment| *moment < 160_000));
        assert_eq!(moments, Chance::of(7).moments(20, 200_000));
        assert_ne!(moments, Chance::of(8).moments(20, 200_000));
    }
}
