//! Servers and services that are away, or short of something.

use std::ops::Range;

use anyhow::{Context as _, Result, ensure};
use evp_shared::redis::Memory;
use tokio::process::Command;

use super::Stage;
use crate::servers::redis_command;
use crate::{Node, Post};

/// Above the backlog of which the alert tells, in requests of so many.
const BACKLOG: Range<u32> = 10_000_000..10_025_000;
const BATCH: usize = 500;
/// Where `ingest` refuses nothing yet, and the alert fires.
const MEMORY_PERCENT: u64 = 85;

pub(super) async fn kill_processor(stage: &mut Stage) -> Result<()> {
    processor(stage)?.kill().await;
    Ok(())
}

pub(super) async fn start_processor(stage: &mut Stage) -> Result<()> {
    let processor = processor(stage)?;
    processor.restart().await?;
    processor.await_ready().await
}

fn processor(stage: &mut Stage) -> Result<&mut Node> {
    stage.system.processors.last_mut().context("no processor")
}

/// Events come on meanwhile: first many at once, then as many as always.
pub(super) async fn stop_mongo(stage: &mut Stage) -> Result<()> {
    stage.system.own_mongo()?.stop().await;
    let system = &stage.system;
    let url = system.ingests.first().context("no ingest")?.url();
    for start in BACKLOG.step_by(BATCH) {
        let body = system.events.array(start..start + u32::try_from(BATCH)?);
        Post::json(&system.http, &url, body).send().await?;
    }
    Ok(())
}

pub(super) async fn start_mongo(stage: &mut Stage) -> Result<()> {
    stage.system.own_mongo()?.restart().await?;
    for processor in &mut stage.system.processors {
        processor.await_ready().await?;
    }
    Ok(())
}

pub(super) async fn stop_redis(stage: &mut Stage) -> Result<()> {
    stage.system.own_redis()?.stop().await;
    Ok(())
}

pub(super) async fn start_redis(stage: &mut Stage) -> Result<()> {
    stage.system.own_redis()?.restart().await?;
    let system = &mut stage.system;
    for node in system.ingests.iter_mut().chain(&mut system.processors) {
        node.await_ready().await?;
    }
    Ok(())
}

/// What is kept for live readers goes then; what nobody has stored stays.
pub(super) async fn fill_redis(stage: &mut Stage) -> Result<()> {
    stop_mongo(stage).await?;
    let used = Memory::ask(stage.system.redis.client()).await?.used;
    limit_memory(stage, &(used * 100 / MEMORY_PERCENT).to_string()).await
}

pub(super) async fn empty_redis(stage: &mut Stage) -> Result<()> {
    limit_memory(stage, "1gb").await?;
    start_mongo(stage).await
}

async fn limit_memory(stage: &mut Stage, limit: &str) -> Result<()> {
    let port = stage.system.own_redis()?.port();
    redis_command(port, &format!("CONFIG SET maxmemory {limit}")).await?;
    Ok(())
}

/// As a supervisor's limit that was made for fewer connections.
pub(super) async fn lower_limit(stage: &mut Stage) -> Result<()> {
    let pid = ingest(stage)?;
    let open = std::fs::read_dir(format!("/proc/{pid}/fd"))?.count();
    limit_files(pid, &format!("{}:", open * 11 / 10)).await
}

pub(super) async fn raise_limit(stage: &mut Stage) -> Result<()> {
    limit_files(ingest(stage)?, "4096:").await
}

fn ingest(stage: &Stage) -> Result<u32> {
    let pid = stage.system.ingests.first().and_then(Node::pid);
    pid.context("no ingest")
}

async fn limit_files(pid: u32, soft: &str) -> Result<()> {
    let (pid, limit) = (format!("--pid={pid}"), format!("--nofile={soft}"));
    let status = Command::new("prlimit").args([pid, limit]).status().await?;
    ensure!(status.success(), "prlimit: {status}");
    Ok(())
}
