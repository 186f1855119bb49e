use std::process::Stdio;

use tokio::process::Command;

use super::plan::Plan;
use crate::keys::Keys;
use crate::{Error, Result};

/// Whom the services of `make run` let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Auth {
    /// Everybody on this machine.
    Open,
    /// Whoever shows a key.
    Keys,
}

impl Auth {
    /// What `AUTH` says; open where it says nothing.
    pub(super) fn from_environment() -> Result<Self> {
        Self::named(&std::env::var("AUTH").unwrap_or_default())
    }

    fn named(name: &str) -> Result<Self> {
        match name {
            "" | "open" => Ok(Self::Open),
            "keys" => Ok(Self::Keys),
            other => Err(Error::Usage(format!(
                "AUTH is {other:?}: write AUTH=keys, or AUTH=open, which is also what it is without"
            ))),
        }
    }

    /// The value of `auth.mode`.
    pub(super) fn mode(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Keys => "keys",
        }
    }
}

/// How somebody comes in where keys are asked for.
#[derive(Debug)]
pub(super) struct Entry {
    /// Kept, and printed with each run.
    pub(super) keys: Keys,
    /// Signs an operator in to the dashboard, once.
    pub(super) link: String,
}

impl Entry {
    /// A new link, and the keys that are kept: made the first time, as people make theirs.
    pub(super) async fn make(plan: &Plan) -> Result<Self> {
        let mut keys = Keys::kept_in(&plan.data)?;
        if !keys.is_complete() {
            keys = Keys {
                write: Some(key(plan, "write").await?),
                admin: Some(key(plan, "admin").await?),
                operator: Some(key(plan, "operator").await?),
            };
            keys.keep_in(&plan.data)?;
        }
        let link = access(plan, &["link", "--operator"], "http").await?;
        Ok(Self { keys, link })
    }
}

async fn key(plan: &Plan, scope: &str) -> Result<String> {
    let make = ["key", "create", "make run", "--scope", scope];
    access(plan, &make, "evp_").await
}

/// Runs `evp-aggregator access`; what is made stands on a line of its own, which begins with `start`.
async fn access(plan: &Plan, args: &[&str], start: &str) -> Result<String> {
    let spec = plan.aggregator();
    let failed = |reason: String| Error::Access { reason };
    let made = Command::new(&spec.program)
        .arg("access")
        .args(args)
        .envs(spec.env)
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(|error| failed(error.to_string()))?;
    let text = String::from_utf8_lossy(&made.stdout);
    let line = text.lines().find(|line| line.starts_with(start));
    line.map(|line| line.trim().to_owned())
        .ok_or_else(|| failed(String::from_utf8_lossy(&made.stderr).trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_let_in_is_open_unless_keys_are_asked_for() {
        assert_eq!(Auth::named("").unwrap(), Auth::Open);
        assert_eq!(Auth::named("open").unwrap(), Auth::Open);
        assert_eq!(Auth::named("keys").unwrap(), Auth::Keys);
        let error = Auth::named("key").unwrap_err();
        assert_eq!(error.exit_code(), 64);
        assert!(error.to_string().contains("AUTH=keys"), "{error}");
    }
}
