use std::net::TcpListener;

use evp_devstack::{Error, RedisOptions, RedisServer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

async fn ask(server: &RedisServer, command: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port()))
        .await
        .unwrap();
    stream
        .write_all(format!("{command}\r\nQUIT\r\n").as_bytes())
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
        .strip_suffix("+OK\r\n")
        .unwrap()
        .trim_end()
        .to_owned()
}

#[tokio::test]
async fn an_answered_write_survives_sigkill() {
    let mut redis = RedisServer::start(RedisOptions::default()).await.unwrap();
    let (url, pid) = (redis.url(), redis.pid());
    for round in 0..3 {
        assert_eq!(
            ask(&redis, &format!("RPUSH rounds {round}")).await,
            format!(":{}", round + 1)
        );
        redis.kill().await;
        assert!(
            TcpStream::connect(("127.0.0.1", redis.port()))
                .await
                .is_err()
        );
        redis.restart().await.unwrap();
    }
    assert_eq!(ask(&redis, "LLEN rounds").await, ":3");
    assert_eq!(redis.url(), url);
    assert_ne!(redis.pid(), pid);
}

#[tokio::test]
async fn the_default_is_durable_and_evicts_nothing() {
    let redis = RedisServer::start(RedisOptions::default()).await.unwrap();
    for (key, value) in [
        ("appendonly", "yes"),
        ("appendfsync", "always"),
        ("maxmemory-policy", "noeviction"),
        ("maxmemory", "1073741824"),
        ("save", ""),
    ] {
        let answer = ask(&redis, &format!("CONFIG GET {key}")).await;
        assert_eq!(answer.lines().nth(4).unwrap_or_default(), value, "{key}");
    }
}

#[tokio::test]
async fn an_orderly_stop_removes_the_temporary_data() {
    let mut redis = RedisServer::start(RedisOptions::default()).await.unwrap();
    let dir = redis.dir().to_path_buf();
    assert!(dir.join("appendonlydir").is_dir());
    redis.stop().await;
    assert!(redis.pid().is_none());
    drop(redis);
    assert!(!dir.exists());
}

#[tokio::test]
async fn data_in_a_given_directory_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let options = || RedisOptions {
        dir: Some(dir.path().to_path_buf()),
        ..Default::default()
    };
    let redis = RedisServer::start(options()).await.unwrap();
    ask(&redis, "SET key value").await;
    drop(redis);
    let redis = RedisServer::start(options()).await.unwrap();
    assert_eq!(ask(&redis, "GET key").await, "$5\r\nvalue");
}

#[tokio::test]
async fn a_paused_server_answers_nothing_until_resumed() {
    let redis = RedisServer::start(RedisOptions::default()).await.unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", redis.port()))
        .await
        .unwrap();
    redis.pause();
    stream.write_all(b"PING\r\n").await.unwrap();
    let mut answer = [0; 7];
    let paused = tokio::time::timeout(
        std::time::Duration::from_millis(200),
        stream.read_exact(&mut answer),
    );
    assert!(paused.await.is_err());
    redis.resume();
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"+PONG\r\n");
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port();
    let options = RedisOptions {
        port: Some(port),
        ..Default::default()
    };
    let error = RedisServer::start(options).await.unwrap_err();
    assert!(
        matches!(error, Error::PortTaken { port: taken, .. } if taken == port),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_refuses_to_start_says_why() {
    let options = RedisOptions {
        extra: vec!["--no-such-option".into()],
        ..Default::default()
    };
    let error = RedisServer::start(options).await.unwrap_err();
    assert!(matches!(error, Error::Exited { .. }));
    assert!(error.to_string().contains("no-such-option"), "{error}");
}
