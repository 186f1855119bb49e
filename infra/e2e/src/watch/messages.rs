//! What people are told by Alertmanager, with the shipped files as they are.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use evp_devstack::MongoOptions;
use evp_shared::clock::Clock;
use tokio::time::{Instant, sleep};

use super::Watch;
use super::trickle::Trickle;
use crate::System;
use crate::attack::MailServer;
use crate::receiver::{Manner, Receiver};
use crate::servers::SmallDisk;

/// Of MongoDB.
const DISK_MB: u32 = 1_500;
/// How long mongod is away.
const AWAY: Duration = Duration::from_secs(120);
/// Before it: what is measured over two minutes has its value.
const BEFORE: Duration = Duration::from_secs(150);
/// After the end of it: twice the `group_interval` and more, so that whatever else would be told is told.
const AFTER: Duration = Duration::from_secs(330);

/// Stops mongod for two minutes: exactly one message and one "over" to a receiver of HTTP and one of mail.
///
/// # Errors
/// There were more, or fewer.
pub(crate) async fn check() -> Result<String> {
    // Whatever else lies on this machine's disk is not to be told of.
    let disk = SmallDisk::mount(DISK_MB)?;
    let mongo = MongoOptions {
        dir: Some(disk.path().to_owned()),
        cache_gb: 0.25,
        ..MongoOptions::default()
    };
    let builder = System::of("messages").mongo(mongo).aggregator();
    let mut system = builder.start().await?;
    let (mail, receiver) = (
        MailServer::start().await?,
        Receiver::start(Manner::Takes).await?,
    );
    let relay = format!("127.0.0.1:{}", mail.port());
    let watch = Watch::start(&system, |text| text.replace("127.0.0.1:25", &relay)).await?;
    let slack = watch.observers.folder.join("slack-url");
    std::fs::write(slack, receiver.url())?;
    let _trickle = Trickle::start(&system);
    sleep(BEFORE).await;
    let before = watch.firing().await?;
    ensure!(before.is_empty(), "fires in a healthy system: {before:?}");

    let clock = Clock::system();
    let since = clock.now();
    system.own_mongo()?.stop().await;
    sleep(AWAY).await;
    system.own_mongo()?.restart().await?;
    let deadline = Instant::now() + AFTER;
    let mut first = None;
    while Instant::now() < deadline {
        if first.is_none() && !receiver.posts().is_empty() {
            first = Some(clock.now() - since);
        }
        sleep(Duration::from_secs(1)).await;
    }
    let mails = mail.mails()?;
    let mails = mails
        .iter()
        .map(|mail| mail["text"].as_str().unwrap_or_default().to_owned());
    let posts = receiver.posts();
    let posts: Vec<_> = posts.iter().map(ToString::to_string).collect();
    one_and_over("HTTP", &posts)?;
    one_and_over("mail", &mails.collect::<Vec<_>>())?;
    system.pass();
    let first = first.context("no message")?.as_secs();
    Ok(format!(
        "mongod away for {} s: one message and one \"over\", by HTTP and by mail; the first one by {first} s",
        AWAY.as_secs()
    ))
}

fn one_and_over(channel: &str, told: &[String]) -> Result<()> {
    let text = || told.join("\n---\n");
    ensure!(told.len() == 2, "{} by {channel}:\n{}", told.len(), text());
    let is_over = |message: &String| message.contains("RESOLVED") && !message.contains("FIRING");
    ensure!(
        told[0].contains("FIRING") && is_over(&told[1]),
        "{channel}:\n{}",
        text()
    );
    Ok(())
}
