use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitCode, ExitStatus};

use tokio::process::Command;

use super::signals::Signals;
use crate::{Error, MongoOptions, MongoServer, RedisOptions, RedisServer, Result, console, find};

/// Runs a command with `EVP_TEST_REDIS_URL` and `EVP_TEST_MONGO_URL` of servers started for it,
/// which end with it and leave no data.
///
/// `REDIS_SERVER_BIN` and `MONGOD_BIN` are set as well, for tests that start servers of their own.
///
/// # Errors
/// Those of starting the servers, and [`Error::Spawn`] when there is no such command.
pub async fn test(command: &[String]) -> Result<ExitCode> {
    let (program, args) = command
        .split_first()
        .ok_or_else(|| Error::Usage("test needs a command: evp-devstack test -- CMD".to_owned()))?;
    let mut signals = Signals::new()?;
    let mut redis = RedisServer::start(RedisOptions::default()).await?;
    let mut mongo = MongoServer::start(MongoOptions::default()).await?;
    console::say(
        "devstack",
        &format!("tests use {} and {}", redis.url(), mongo.url()),
    );
    // The command stays in our process group, so that Ctrl-C reaches it from the terminal; it
    // decides when to end, and the servers live until then.
    let mut child = Command::new(program)
        .args(args)
        .env("EVP_TEST_REDIS_URL", redis.url())
        .env("EVP_TEST_MONGO_URL", mongo.url())
        .env("REDIS_SERVER_BIN", find::redis_server().await?)
        .env("MONGOD_BIN", find::mongod().await?)
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| Error::Spawn {
            name: "the command".to_owned(),
            program: program.into(),
            source,
        })?;
    let ended = tokio::select! {
        ended = child.wait() => Some(ended.map_err(Error::io("wait for the command"))?),
        () = signals.asked_to_end() => None,
    };
    drop(child);
    redis.stop().await;
    mongo.stop().await;
    Ok(ended.map_or(ExitCode::FAILURE, exit_code))
}

/// The code a shell would report: 128 and the signal's number for a command that was killed.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
