//! `evp-processor erase`: takes a person out of everything that EVP keeps.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use evp_shared::audit::Actor;

use super::{Done, FAILED, open_database, open_stream, run_to_end};
use crate::config::ProcessorConfig;
use crate::erase::{Eraser, Found, Person};

/// Whom to erase.
#[derive(Debug, Clone, Args)]
pub struct Erase {
    /// Whose events
    #[arg(long)]
    pub tenant: String,
    /// The person, as `userId` names it
    #[arg(long)]
    pub user: String,
    /// Do it; without, only say what there is
    #[arg(long)]
    pub yes: bool,
}

/// Exit code 0: done, or only counted; 1: failed, or something is left.
pub fn main(config_file: Option<&Path>, erase: &Erase) -> ExitCode {
    run_to_end(config_file, FAILED, async |config| run(config, erase).await)
}

/// Does what is asked.
///
/// # Errors
/// MongoDB or Redis cannot be reached, or fails, or another one works on the spans; to be repeated.
pub async fn run(config: &ProcessorConfig, erase: &Erase) -> anyhow::Result<Done> {
    let (stream, database) = (open_stream(config).await?, open_database(config).await?);
    let person = Person {
        tenant: erase.tenant.clone(),
        user: erase.user.clone(),
    };
    let eraser = Eraser {
        database,
        stream,
        person,
    };
    if !erase.yes {
        let text = format!(
            "would erase {}; nothing was changed, --yes does it",
            amounts(&eraser.count().await?)
        );
        let complete = true;
        return Ok(Done { text, complete });
    }
    let found = eraser.erase(&Actor::of_process()).await?;
    let mut lines = vec![format!("erased {}", amounts(&found))];
    lines.extend(left(&found));
    Ok(Done {
        text: lines.join("\n"),
        complete: found.is_everything(),
    })
}

fn amounts(found: &Found) -> String {
    format!(
        "{} events, {} dead letters, {} sketches of top users, and all {} entries kept for live \
         readers",
        found.events, found.letters, found.sketches, found.kept_entries
    )
}

/// What is not done, and what to do about it.
fn left(found: &Found) -> Vec<String> {
    let mut lines = Vec::new();
    if found.unsettled > 0 {
        lines.push(format!(
            "{} events of frames without a receipt are left: run this again in a minute; where that \
             does not help, after verify --deep --repair",
            found.unsettled
        ));
    }
    if found.unknown_letters > 0 {
        lines.push(format!(
            "{} dead letters do not decode, and may be anybody's: see dlq list --reason undecodable, \
             and purge or replay them",
            found.unknown_letters
        ));
    }
    if found.backlog_events > 0 {
        lines.push(format!(
            "{} events were waiting on the stream, and any of them may be that person's: run this \
             again when they are stored",
            found.backlog_events
        ));
    }
    lines
}
