//! `evp-processor dlq`: what could not be stored, and what to do with it.

mod arguments;
mod show;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use evp_shared::audit::Actor;
use evp_shared::clock::Clock;
use evp_shared::dead_letters::{DeadLetters, Operation, Replay, Request};

use super::{FAILED, begin_stream, open_database, run_to_end};
use crate::config::ProcessorConfig;

pub use super::Done;
pub use arguments::{Action, Dlq, List, Purge, ReplayLetters, Selection, Which};

/// Exit code 0: done; 1: failed, or letters are left that were meant.
pub fn main(config_file: Option<&Path>, dlq: &Dlq) -> ExitCode {
    run_to_end(config_file, FAILED, async |config| {
        run(config, &dlq.action).await
    })
}

/// Does what is asked.
///
/// # Errors
/// MongoDB or Redis cannot be reached, or fails; repeating is harmless.
pub async fn run(config: &ProcessorConfig, action: &Action) -> anyhow::Result<Done> {
    let letters = DeadLetters::new(open_database(config).await?, Duration::ZERO);
    match action {
        Action::List(list) => {
            let filter = list.which.filter();
            let found = letters.list(&filter, None, list.limit).await?;
            let all = letters.count(&filter).await?;
            Ok(complete(show::list(&found, all, list.json)?))
        }
        Action::Show(list) => {
            let found = letters.show(&list.which.filter(), list.limit).await?;
            anyhow::ensure!(!found.is_empty(), "there is no such dead letter");
            Ok(complete(show::whole(&found)?))
        }
        Action::Replay(asked) => {
            let replay = Operation::Replay(Replay {
                stream: begin_stream(config)?,
                connect_timeout: config.redis.connect_timeout,
                fingerprint: config.fingerprint(),
                clock: Clock::system(),
                per_second: asked.rate,
                receipt_wait: asked.wait,
            });
            operate(&letters, &asked.selection, "replay", replay).await
        }
        Action::Purge(asked) => {
            anyhow::ensure!(
                asked.all || !asked.selection.which.filter().is_everything(),
                "say which dead letters to purge, or --all"
            );
            operate(&letters, &asked.selection, "purge", Operation::Purge).await
        }
    }
}

const fn complete(text: String) -> Done {
    Done {
        text,
        complete: true,
    }
}

async fn operate(
    letters: &DeadLetters,
    selection: &Selection,
    verb: &str,
    operation: Operation,
) -> anyhow::Result<Done> {
    // What dies after the count is not meant.
    let filter = selection.which.filter().as_of(Clock::system().now_ms());
    let matched = letters.count(&filter).await?;
    let limit = selection.limit;
    if selection.dry_run {
        let would = matched.min(limit);
        let text = format!("would {verb} {would} of {matched} dead letters");
        return Ok(complete(text));
    }
    let request = Request {
        actor: Actor::of_process(),
        operation,
        filter,
        limit,
        matched,
    };
    let outcome = letters.operate(&request).await?;
    let reasons = outcome.reasons.iter();
    let mut lines: Vec<String> = reasons
        .map(|(id, reason)| format!("{id} cannot be replayed: {reason}"))
        .collect();
    lines.push(request.describe(&outcome));
    if outcome.waiting > 0 {
        lines.push(
            "the processor is not through with them: see that one runs, then replay again"
                .to_owned(),
        );
    }
    Ok(Done {
        text: lines.join("\n"),
        complete: outcome.waiting == 0 && outcome.impossible == 0,
    })
}
