//! `evp-processor dlq`: what could not be stored, and what to do with it.

mod actor;
mod arguments;
mod show;

use std::path::Path;
use std::process::ExitCode;

use evp_shared::clock::Clock;
use evp_shared::dead_letters::{DeadLetters, Filter, Replay, Replayed, Request};
use evp_shared::store::stored_fingerprint;

use super::{FAILED, open_database, open_stream, run_to_end};
use crate::config::ProcessorConfig;

pub use super::Done;
pub use arguments::{Action, Dlq, List, Purge, ReplayLetters, Which};

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
    let letters = DeadLetters::new(open_database(config).await?);
    let complete = |text| Done {
        text,
        complete: true,
    };
    match action {
        Action::List(list) => {
            let filter = list.which.filter();
            let found = letters.list(&filter, list.limit).await?;
            let all = letters.count(&filter).await?;
            Ok(complete(show::list(&found, all, list.json)?))
        }
        Action::Show(list) => {
            let found = letters.list(&list.which.filter(), list.limit).await?;
            anyhow::ensure!(!found.is_empty(), "there is no such dead letter");
            Ok(complete(show::whole(&found)?))
        }
        Action::Replay(replay) => run_replay(config, &letters, replay).await,
        Action::Purge(purge) => Ok(complete(run_purge(&letters, purge).await?)),
    }
}

/// Does `action` as the audit trail has it: what was asked for before, what `said` tells after.
async fn audited<T>(
    letters: &DeadLetters,
    request: &Request<'_>,
    action: impl Future<Output = anyhow::Result<T>>,
    said: impl Fn(&T) -> (u64, String),
) -> anyhow::Result<T> {
    let audit = letters.begin_audit(request).await?;
    let done = action.await;
    let outcome = done
        .as_ref()
        .map(said)
        .map_err(|error| format!("{error:#}"));
    letters.end_audit(audit, outcome).await?;
    done
}

async fn run_purge(letters: &DeadLetters, purge: &Purge) -> anyhow::Result<String> {
    let filter = purge.which.filter();
    anyhow::ensure!(
        purge.all || !filter.is_everything(),
        "say which dead letters to purge, or --all"
    );
    let matched = letters.count(&filter).await?;
    if purge.dry_run {
        let would = matched.min(purge.limit);
        return Ok(format!("would purge {would} of {matched} dead letters"));
    }
    let request = Request {
        actor: &actor::current(),
        what: "dead_letters.purge",
        filter: &filter,
        limit: purge.limit,
    };
    let purging = async { Ok(letters.purge(&filter, purge.limit).await?) };
    let said = |purged: &u64| (*purged, format!("purged {purged} of {matched}"));
    let purged = audited(letters, &request, purging, said).await?;
    Ok(format!("purged {purged} of {matched} dead letters"))
}

async fn run_replay(
    config: &ProcessorConfig,
    letters: &DeadLetters,
    asked: &ReplayLetters,
) -> anyhow::Result<Done> {
    let filter = asked.which.filter();
    let matched = letters.count(&filter).await?;
    if asked.dry_run {
        let would = matched.min(asked.limit);
        return Ok(Done {
            text: format!("would replay {would} of {matched} dead letters"),
            complete: true,
        });
    }
    let database = open_database(config).await?;
    let stored = stored_fingerprint(&database).await?;
    let own = config.fingerprint();
    anyhow::ensure!(
        stored.is_none_or(|stored| stored == own),
        "the database holds events of another identity: dedupe.identity and storage.salt_bits must \
         be those of the processor"
    );
    let request = Request {
        actor: &actor::current(),
        what: "dead_letters.replay",
        filter: &filter,
        limit: asked.limit,
    };
    let replaying = Box::pin(replay(config, letters, &filter, asked));
    let said = |replayed: &Replayed| (replayed.done, summary(replayed, matched));
    let replayed = audited(letters, &request, replaying, said).await?;
    let mut lines: Vec<String> = replayed
        .reasons
        .iter()
        .map(|(id, reason)| format!("{id} cannot be replayed: {reason}"))
        .collect();
    lines.push(summary(&replayed, matched));
    if replayed.waiting > 0 {
        lines.push(
            "the processor is not through with them: see that one runs, then replay again"
                .to_owned(),
        );
    }
    Ok(Done {
        text: lines.join("\n"),
        complete: replayed.waiting == 0 && replayed.impossible == 0,
    })
}

async fn replay(
    config: &ProcessorConfig,
    letters: &DeadLetters,
    filter: &Filter,
    asked: &ReplayLetters,
) -> anyhow::Result<Replayed> {
    let stream = open_stream(config).await?;
    let clock = Clock::system();
    let how = Replay {
        stream: &stream,
        fingerprint: config.fingerprint(),
        clock: &clock,
        limit: asked.limit,
        per_second: asked.rate,
        receipt_wait: asked.wait,
    };
    Ok(letters.replay(filter, &how).await?)
}

fn summary(replayed: &Replayed, matched: u64) -> String {
    format!(
        "replayed {} of {matched} dead letters: {} appended, {} waiting, {} impossible",
        replayed.done, replayed.appended, replayed.waiting, replayed.impossible
    )
}
