//! `evp-processor doctor`: what is wrong, and the fix.

use std::num::NonZeroU64;
use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::{Done, FAILED, open_database, open_stream, run_to_end};
use crate::config::ProcessorConfig;
use crate::doctor::{Finding, Level, examine, worst};

/// How to judge.
#[derive(Debug, Clone, Args)]
pub struct Doctor {
    /// Events per second to expect
    #[arg(long, default_value = "1000")]
    pub rate: NonZeroU64,
    /// Exit with 1 also for a warning
    #[arg(long)]
    pub strict: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Exit code 0: nothing fails; 1: something does, or with --strict is warned of.
pub fn main(config_file: Option<&Path>, doctor: &Doctor) -> ExitCode {
    run_to_end(config_file, FAILED, async |config| {
        let findings = run(config, doctor).await;
        let text = if doctor.json {
            serde_json::to_string_pretty(&as_json(&findings))?
        } else {
            as_text(&findings)
        };
        let complete = match worst(&findings) {
            Level::Fail => false,
            Level::Warn => !doctor.strict,
            Level::Unknown | Level::Pass => true,
        };
        Ok(Done { text, complete })
    })
}

/// Checks everything; what does not answer is a finding.
pub async fn run(config: &ProcessorConfig, doctor: &Doctor) -> Vec<Finding> {
    let (stream, database) = (open_stream(config).await, open_database(config).await);
    examine(config, stream, database, doctor.rate).await
}

fn as_text(findings: &[Finding]) -> String {
    let mut lines = Vec::new();
    for one in findings {
        let (check, level) = (one.check.as_str(), one.level.as_str());
        lines.push(format!("{level:<7}  {check:<19}  {}", one.found));
        if !one.fix.is_empty() {
            lines.push(format!("{:30}fix: {}", "", one.fix));
        }
    }
    let of = |level| findings.iter().filter(|one| one.level == level).count();
    lines.push(format!(
        "doctor: {} checks, {} failed, {} warnings",
        findings.len(),
        of(Level::Fail),
        of(Level::Warn)
    ));
    lines.join("\n")
}

fn as_json(findings: &[Finding]) -> Value {
    let finding = |one: &Finding| {
        let (check, level) = (one.check.as_str(), one.level.as_str());
        json!({ "check": check, "level": level, "found": one.found, "fix": one.fix })
    };
    let each: Value = findings.iter().map(finding).collect();
    json!({ "level": worst(findings).as_str(), "findings": each })
}
