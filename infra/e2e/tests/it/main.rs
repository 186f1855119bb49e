//! One scenario for each promise of the README, against real servers and the real binaries.

mod drain;
mod everything_arrives_once;
mod ingest_killed;
mod mongo_away;
mod poison_entry;
mod processor_killed;
mod processor_paused;
mod redis_away;
mod redis_forgets;
mod redis_killed;
mod same_ids_at_once;
