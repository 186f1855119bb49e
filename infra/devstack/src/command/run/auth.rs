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

/// The keys that are printed and kept: made the first time, as people make theirs.
pub(super) async fn keys(plan: &Plan) -> Result<Keys> {
    let kept = Keys::kept_in(&plan.data)?;
    if kept.is_complete() {
        return Ok(kept);
    }
    let keys = Keys {
        write: Some(make(plan, "write").await?),
        admin: Some(make(plan, "admin").await?),
        operator: Some(make(plan, "operator").await?),
    };
    keys.keep_in(&plan.data)?;
    Ok(keys)
}

async fn make(plan: &Plan, scope: &str) -> Result<String> {
    let spec = plan.aggregator();
    let failed = |reason: String| Error::Keys { reason };
    let made = Command::new(&spec.program)
        .args(["access", "key", "create", "make run", "--scope", scope])
        .envs(spec.env)
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(|error| failed(error.to_string()))?;
    // It alone stands on a line of its own.
    let text = String::from_utf8_lossy(&made.stdout);
    let key = text.lines().find(|line| line.starts_with("evp_"));
    key.map(|key| key.trim().to_owned())
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
