//! A server that takes mail, and keeps it.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A mail as it came.
#[derive(Debug, Clone)]
pub(crate) struct Mail {
    pub(crate) to: Vec<String>,
    pub(crate) text: String,
}

impl Mail {
    /// The code in it.
    pub(crate) fn code(&self) -> String {
        let is_code = |word: &&str| word.len() == 6 && word.bytes().all(|b| b.is_ascii_digit());
        let (_, body) = self.text.split_once("\r\n\r\n").unwrap();
        body.split_whitespace().find(is_code).unwrap().to_owned()
    }
}

#[derive(Debug)]
pub(crate) struct SmtpServer {
    mails: Arc<Mutex<Vec<Mail>>>,
    url: String,
    _running: JoinSet<()>,
}

impl SmtpServer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("smtp://{}", listener.local_addr().unwrap());
        let mails = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&mails);
        let mut running = JoinSet::new();
        running.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(serve(stream, Arc::clone(&kept)));
            }
        });
        Self {
            mails,
            url,
            _running: running,
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn mails(&self) -> Vec<Mail> {
        self.mails.lock().clone()
    }
}

async fn serve(stream: TcpStream, mails: Arc<Mutex<Vec<Mail>>>) {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    let (mut to, mut text) = (Vec::new(), String::new());
    let mut is_data = false;
    write.write_all(b"220 test ESMTP\r\n").await.unwrap();
    while let Ok(Some(line)) = lines.next_line().await {
        let answer = match line.split([' ', ':']).next().unwrap() {
            "." if is_data => {
                is_data = false;
                let (to, text) = (std::mem::take(&mut to), std::mem::take(&mut text));
                mails.lock().push(Mail { to, text });
                "250 taken"
            }
            _ if is_data => {
                text.push_str(&line);
                text.push_str("\r\n");
                continue;
            }
            "RCPT" => {
                to.push(line);
                "250 ok"
            }
            "DATA" => {
                is_data = true;
                "354 go on"
            }
            "QUIT" => "221 bye",
            _ => "250 ok",
        };
        let answer = format!("{answer}\r\n");
        if write.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}
