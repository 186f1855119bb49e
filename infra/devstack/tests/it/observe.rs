use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use evp_devstack::free_port;

const TOKEN: &str = "0123456789abcdef";

/// Stands in for the admin ports: has one metric for who shows the token.
fn answer(stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut has_token = false;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        has_token |= line.trim() == format!("Authorization: Bearer {TOKEN}");
        if line.trim().is_empty() {
            break;
        }
    }
    let (status, text) = if has_token {
        ("200 OK", "evp_ready{condition=\"mongo\"} 0\n")
    } else {
        ("401 Unauthorized", "")
    };
    let stream = reader.get_mut();
    let head = "content-type: text/plain\r\nconnection: close";
    write!(stream, "HTTP/1.1 {status}\r\n{head}\r\n\r\n{text}")
}

fn admin_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        listener
            .incoming()
            .flatten()
            .for_each(|one| drop(answer(one)))
    });
    port
}

/// Ended however the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Waits until an answer of Prometheus holds this text. A scrape and an evaluation are 15 s apart each.
async fn until(url: &str, text: &str) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let asking = async {
        loop {
            let asked = client.get(url).send().await;
            let answer = match asked {
                Ok(answer) => answer.text().await.unwrap_or_default(),
                Err(_) => String::new(),
            };
            if answer.contains(text) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(90), asking).await;
    assert!(waited.is_ok(), "{url}: never {text}");
}

#[tokio::test]
async fn the_shipped_files_watch_a_system_on_other_ports_that_asks_for_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let (prometheus, alertmanager) = (free_port().unwrap(), free_port().unwrap());
    let mut command = Command::new(env!("CARGO_BIN_EXE_evp-devstack"));
    command
        .arg("observe")
        .env("EVP_DATA_DIR", folder.path())
        .env("EVP__ADMIN__TOKEN", TOKEN)
        .env("EVP_PROMETHEUS_PORT", prometheus.to_string())
        .env("EVP_ALERTMANAGER_PORT", alertmanager.to_string())
        .stdout(Stdio::null());
    for variable in [
        "EVP_INGEST_ADMIN_PORT",
        "EVP_PROCESSOR_ADMIN_PORT",
        "EVP_AGGREGATOR_ADMIN_PORT",
    ] {
        command.env(variable, admin_port().to_string());
    }
    let mut running = Running(command.spawn().unwrap());
    let api = format!("http://127.0.0.1:{prometheus}/api/v1");
    // The targets are scraped with their token, the rules are loaded, and Alertmanager is found.
    until(&format!("{api}/query?query=sum(evp_ready)%2B3"), "\"3\"").await;
    until(&format!("{api}/alerts"), "EvpNotReady").await;
    let place = format!("127.0.0.1:{alertmanager}/");
    until(&format!("{api}/alertmanagers"), &place).await;
    assert!(TcpStream::connect(("127.0.0.1", alertmanager)).is_ok());

    let pid = running.0.id().to_string();
    let asked = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
    assert!(asked.success());
    assert!(running.0.wait().unwrap().success());
    assert!(TcpStream::connect(("127.0.0.1", prometheus)).is_err());
}
