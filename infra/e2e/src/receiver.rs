use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
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

/// Somebody who is posted notices.
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

    /// Source and state of what was posted.
    pub(crate) fn told(&self) -> Vec<String> {
        let posted = self.posted.lock().unwrap_or_else(PoisonError::into_inner);
        let text = |notice: &Value, name: &str| notice[name].as_str().unwrap_or("?").to_owned();
        let told = posted.iter();
        told.map(|one| format!("{} {}", text(one, "source"), text(one, "state")))
            .collect()
    }
}

async fn serve(mut stream: TcpStream, manner: Manner, kept: Arc<Mutex<Vec<Value>>>) {
    let mut request = Vec::new();
    while !request.ends_with(b"}") {
        match stream.read_buf(&mut request).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return,
        }
    }
    let text = String::from_utf8_lossy(&request);
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let notice = serde_json::from_str(body).unwrap_or_default();
    kept.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(notice);
    match manner {
        Manner::Takes => {
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            stream.write_all(answer).await.ok();
        }
        Manner::Hangs => std::future::pending().await,
    }
}
