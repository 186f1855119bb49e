use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_evp-devstack");
const KEY: &str = "evp_sec_demo";

fn demo(ingest: &str) -> Child {
    Command::new(BINARY)
        .args(["demo", "--rate", "40", "--ingest", ingest])
        .env("EVP_WRITE_KEY", KEY)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Plays ingest for one request, on a connection of its own; gives what was sent.
fn answer(listener: &TcpListener, status: &str) -> Value {
    let (stream, _) = listener.accept().unwrap();
    let mut reader = BufReader::new(stream);
    let (mut length, mut shown) = (0, false);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line == "\r\n" {
            break;
        }
        shown |= line.trim_end() == format!("authorization: Bearer {KEY}");
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    assert!(shown, "the key of the environment is shown");
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let mut stream: TcpStream = reader.into_inner();
    let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}");
    stream.write_all(head.as_bytes()).unwrap();
    serde_json::from_slice(&body).unwrap()
}

#[test]
fn it_sends_until_it_is_interrupted_and_what_was_refused_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let running = demo(&url);
    let first = answer(&listener, "202 Accepted");
    let refused = answer(&listener, "503 Service Unavailable");
    let again = answer(&listener, "202 Accepted");
    assert_eq!(refused, again);
    assert_ne!(first, refused);
    assert!(
        first
            .as_array()
            .unwrap()
            .iter()
            .all(|event| event["eventType"].is_string())
    );

    let pid = running.id().to_string();
    let killed = Command::new("kill").args(["-INT", &pid]).status().unwrap();
    assert!(killed.success());
    let output = running.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("until Ctrl-C"), "{text}");
    assert!(text.contains("stopped;"), "{text}");
}

#[test]
fn without_ingest_it_says_what_is_missing() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let output = demo(&url).wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("is make run up?"), "{text}");
}
