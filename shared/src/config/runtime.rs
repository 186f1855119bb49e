//! `[runtime]`

use std::thread::available_parallelism;

use super::{Key, Source};

/// Threads that run the service's tasks.
pub const WORKER_THREADS: Key<u16> = Key::new(
    "runtime.worker_threads",
    "0",
    "Threads that do the work; 0 takes half of the cores. A service rarely needs more than one per \
     100,000 events/s, and idle ones cost CPU: they wake each other. Raise it for an ingest that \
     has a machine for itself.",
)
.range("0", "256");

/// What the service runs on.
#[derive(Debug, Clone, Copy)]
pub struct RuntimeConfig {
    /// See [`WORKER_THREADS`]; 1 at least.
    pub worker_threads: usize,
}

impl RuntimeConfig {
    /// Reads the section.
    pub fn read(source: &mut Source) -> Self {
        let worker_threads = match source.get(&WORKER_THREADS) {
            0 => available_parallelism().map_or(1, |cores| cores.get().div_ceil(2)),
            threads => usize::from(threads),
        };
        Self { worker_threads }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_configured_takes_half_of_the_cores_and_one_at_least() {
        let threads = |text: &str| {
            let mut source = Source::from_text(text, &[]).unwrap();
            RuntimeConfig::read(&mut source).worker_threads
        };
        let cores = available_parallelism().unwrap().get();
        assert_eq!(threads(""), cores.div_ceil(2));
        assert_eq!(threads("[runtime]\nworker_threads = 7"), 7);
    }
}
