//! What people are told by Alertmanager, with the shipped files as they are.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use evp_devstack::MongoOptions;
use evp_shared::clock::Clock;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::Watch;
use super::trickle::Trickle;
use crate::System;
use crate::attack::MailServer;
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
    let (mail, receiver) = (MailServer::start().await?, Receiver::start().await?);
    let relay = format!("127.0.0.1:{}", mail.port());
    let watch = Watch::start(&system, |text| text.replace("127.0.0.1:25", &relay)).await?;
    let slack = watch.observers.folder.join("slack-url");
    std::fs::write(slack, format!("{}/", receiver.url))?;
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
    one_and_over("HTTP", &receiver.posts(), "FIRING")?;
    one_and_over("mail", &mails.collect::<Vec<_>>(), "FIRING")?;
    system.pass();
    let first = first.context("no message")?.as_secs();
    Ok(format!(
        "mongod away for {} s: one message and one \"over\", by HTTP and by mail; the first one by {first} s",
        AWAY.as_secs()
    ))
}

fn one_and_over(channel: &str, told: &[String], begins: &str) -> Result<()> {
    let text = || told.join("\n---\n");
    ensure!(told.len() == 2, "{} by {channel}:\n{}", told.len(), text());
    let is_over = |message: &String| message.contains("RESOLVED") && !message.contains(begins);
    ensure!(
        told[0].contains(begins) && is_over(&told[1]),
        "{channel}:\n{}",
        text()
    );
    Ok(())
}

/// Takes what is posted, and answers `ok` as Slack does.
struct Receiver {
    url: String,
    posts: Arc<Mutex<Vec<String>>>,
    _task: JoinSet<()>,
}

impl Receiver {
    async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let posts = Arc::new(Mutex::default());
        let mut task = JoinSet::new();
        let kept = Arc::clone(&posts);
        task.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Ok(text) = take(stream).await {
                    let mut posts = kept.lock().unwrap_or_else(PoisonError::into_inner);
                    Vec::push(&mut posts, text);
                }
            }
        });
        Ok(Self {
            url,
            posts,
            _task: task,
        })
    }

    fn posts(&self) -> Vec<String> {
        self.posts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// The body of one request.
async fn take(stream: TcpStream) -> Result<String> {
    let mut stream = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let line = line.trim().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
    stream.write_all(answer.as_bytes()).await?;
    let body: Value = serde_json::from_slice(&body)?;
    Ok(body.to_string())
}
