//! What becomes of events.

use anyhow::{Context as _, Result};

use super::Stage;
use crate::Node;
use crate::servers::redis_command;

/// More than 80 % of what may be kept here, and fewer than all.
const LETTERS: usize = 90;

pub(super) async fn garbage(stage: &mut Stage) -> Result<()> {
    let port = stage.system.own_redis()?.port();
    let stream = stage.system.redis.keys().partition(0).events;
    for _ in 0..LETTERS {
        redis_command(port, &format!("XADD {stream} * hello world")).await?;
    }
    Ok(())
}

pub(super) async fn purge(stage: &mut Stage) -> Result<()> {
    let processor = stage.system.processors.first().context("no processor")?;
    processor.command(&["dlq", "purge", "--all"]).await?;
    Ok(())
}

/// With events on it that nobody has stored.
pub(super) async fn delete_stream(stage: &mut Stage) -> Result<()> {
    stage.system.processors.iter().for_each(Node::pause);
    let port = stage.system.own_redis()?.port();
    let stream = stage.system.redis.keys().partition(0).events;
    let ledger = stage.system.ledger();
    crate::until("there is a backlog", async || {
        ledger.backlog().await.is_ok_and(|events| events > 0)
    })
    .await?;
    redis_command(port, &format!("DEL {stream}")).await?;
    stage.system.processors.iter().for_each(Node::resume);
    Ok(())
}

pub(super) async fn go_on(stage: &mut Stage) -> Result<()> {
    for processor in &mut stage.system.processors {
        processor.await_ready().await?;
    }
    Ok(())
}
