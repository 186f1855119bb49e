use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What a receiver does with what is posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It takes it.
    Takes,
    /// It reads it, and never answers.
    Hangs,
}

/// Somebody who is posted notices, or messages of Alertmanager.
#[derive(Debug)]
pub(crate) struct Receiver {
    posted: Arc<Mutex<Vec<Value>>>,
    url: String,
    _running: JoinSet<()>,
}

impl Receiver {
    /// Starts it.
    pub(crate) async fn start(manner: Manner) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/hook", listener.local_addr()?);
        let posted = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&posted);
        let mut running = JoinSet::new();
        running.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, manner, Arc::clone(&kept)));
            }
        });
        Ok(Self {
            posted,
            url,
            _running: running,
        })
    }

    /// Where it is posted to.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What was posted.
    pub(crate) fn posts(&self) -> Vec<Value> {
        let posted = self.posted.lock().unwrap_or_else(PoisonError::into_inner);
        posted.clone()
    }

    /// Source and state of what was posted.
    pub(crate) fn told(&self) -> Vec<String> {
        let text = |notice: &Value, name: &str| notice[name].as_str().unwrap_or("?").to_owned();
        let posts = self.posts();
        let told = posts.iter();
        told.map(|one| format!("{} {}", text(one, "source"), text(one, "state")))
            .collect()
    }
}

async fn serve(stream: TcpStream, manner: Manner, kept: Arc<Mutex<Vec<Value>>>) {
    let mut stream = BufReader::new(stream);
    let Ok(posted) = body(&mut stream).await else {
        return;
    };
    kept.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(posted);
    match manner {
        // As Slack does.
        Manner::Takes => {
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
            stream.write_all(answer).await.ok();
        }
        Manner::Hangs => std::future::pending().await,
    }
}

/// The JSON of one request.
async fn body(stream: &mut BufReader<TcpStream>) -> Result<Value> {
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
    Ok(serde_json::from_slice(&body)?)
}
