//! Random histories, and those that once failed.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use evp_e2e::sim::defect::Defect;
use evp_e2e::sim::{Failure, run};

/// Seeds that are run when `EVP_SIM_SEEDS` does not say how many.
const SEEDS: u64 = 10_000;

/// Seeds whose histories once broke the promise, or the model of it: each stays a test.
const KEPT: [u64; 8] = [17, 283, 1_527, 2_342, 3_495, 3_830, 4_896, 5_371];

/// A seed of `seeds` whose history breaks the promise, looked for on all cores.
pub(crate) fn hunt(seeds: Range<u64>, defect: Option<Defect>) -> Option<Failure> {
    let next = AtomicU64::new(seeds.start);
    let found: Mutex<Option<Failure>> = Mutex::new(None);
    let lock = || found.lock().unwrap_or_else(PoisonError::into_inner);
    let search = || {
        while lock().is_none() {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            if let Err(failure) = run(seed, defect) {
                lock().get_or_insert(failure);
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(search);
        }
    });
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn no_random_history_breaks_the_promise() {
    let first = number("EVP_SIM_SEED").unwrap_or(0);
    let count = number("EVP_SIM_SEEDS").unwrap_or(SEEDS);
    if let Some(failure) = hunt(first..first + count, None) {
        panic!(
            "{failure}\nreplay it with EVP_SIM_SEED={} EVP_SIM_SEEDS=1",
            failure.seed
        );
    }
}

#[test]
fn kept_seeds_keep_the_promise() {
    for seed in KEPT {
        if let Err(failure) = run(seed, None) {
            panic!("{failure}");
        }
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
