use evp_shared::config::Source as Layers;
use evp_shared::service::ServiceConfig as _;
use evp_shared::testing::install_crypto;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::config::AggregatorConfig;
use crate::notices::notice::State;
use crate::notices::source::Source;

const NOTICE: Notice = Notice {
    source: Source::MongodbAway,
    state: State::Begun,
    number: 0,
    lasts: Duration::from_secs(30),
};

fn channels(toml: &str) -> (Channels, Vec<Courier>) {
    install_crypto();
    let mut layers = Layers::from_text(toml, &[]).unwrap();
    let config = AggregatorConfig::read(&mut layers);
    let config = layers.finish(config).unwrap();
    Channels::new(&config.notices, &config.mail)
}

/// Who posts to a listener of its own.
async fn poster() -> (Channels, Courier, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let toml = format!("[notices]\nwebhook_url = \"http://127.0.0.1:{port}/secret?a=b\"");
    let (channels, mut couriers) = channels(&toml);
    (channels, couriers.remove(0), listener)
}

/// Answers one request after the other so; what was asked.
async fn answer(listener: &TcpListener, answers: &[&str]) -> Vec<String> {
    let mut asked = Vec::new();
    for answer in answers {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = String::new();
        while !request.ends_with('}') {
            let mut piece = [0; 1_024];
            let length = stream.read(&mut piece).await.unwrap();
            request.push_str(std::str::from_utf8(&piece[..length]).unwrap());
        }
        let answer = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
        asked.push(request);
    }
    asked
}

#[tokio::test]
async fn a_receiver_that_refuses_is_asked_three_times() {
    let (_channels, courier, listener) = poster().await;
    let answers = ["500 No", "429 Later", "204 Taken"];
    let (outcome, asked) = tokio::join!(courier.take(&NOTICE), answer(&listener, &answers));
    assert_eq!(outcome, NoticeOutcome::Sent);
    for request in asked {
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /secret?a=b HTTP/1.1\r\n"), "{head}");
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body, serde_json::json!({ "text": NOTICE.text() }));
    }
    let answers = ["500 No"; 3];
    let (outcome, asked) = tokio::join!(courier.take(&NOTICE), answer(&listener, &answers));
    assert_eq!((outcome, asked.len()), (NoticeOutcome::Failed, 3));
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (_channels, courier, listener) = poster().await;
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let answers = [format!(
        "307 There\r\nlocation: http://{}/",
        elsewhere.local_addr().unwrap()
    )];
    let answers = answers.each_ref().map(String::as_str);
    let (sent, _) = tokio::join!(courier.way.send(&NOTICE), answer(&listener, &answers));
    assert_eq!(sent.unwrap_err(), "the receiver answered 307");
    let followed = tokio::time::timeout(Duration::ZERO, elsewhere.accept()).await;
    assert!(followed.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_hangs_costs_three_tries_and_nobody_waits_for_it() {
    let (channels, mut courier, _listener) = poster().await;
    let began = tokio::time::Instant::now();
    for _ in 0..WAITING_MAX + 3 {
        channels.tell(NOTICE);
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(courier.waiting.len(), WAITING_MAX);
    let first = courier.waiting.recv().await.unwrap();
    assert_eq!(courier.take(&first).await, NoticeOutcome::Failed);
    assert_eq!(began.elapsed(), 3 * TRY_MAX + PAUSES[0] + PAUSES[1]);
}

#[tokio::test]
async fn without_a_receiver_there_is_nobody_to_serve() {
    let (channels, couriers) = channels("");
    assert!(channels.open.is_empty() && couriers.is_empty());
    let both = "[mail]\nsmtp_url = \"smtp://127.0.0.1\"\nfrom = \"evp@h.example\"\n\
                [notices]\nmail_to = \"a@h.example\"\nwebhook_url = \"https://h.example/x\"";
    assert_eq!(self::channels(both).1.len(), 2);
}

#[tokio::test]
async fn what_waits_is_told_when_the_service_ends() {
    let (channels, courier, listener) = poster().await;
    let shutdown = Shutdown::new();
    channels.tell(NOTICE);
    channels.tell(NOTICE);
    shutdown.trigger();
    let (_hand_over, more) = mpsc::channel(1);
    let serving = serve(vec![courier], more, shutdown);
    let (served, asked) = tokio::join!(serving, answer(&listener, &["204 Taken"; 2]));
    assert_eq!((served, asked.len()), (Ok(()), 2));
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_hangs_holds_the_end_of_the_service_for_one_try() {
    let (channels, courier, _listener) = poster().await;
    let shutdown = Shutdown::new();
    for _ in 0..WAITING_MAX {
        channels.tell(NOTICE);
    }
    shutdown.trigger();
    let (_hand_over, more) = mpsc::channel(1);
    let began = tokio::time::Instant::now();
    assert_eq!(serve(vec![courier], more, shutdown).await, Ok(()));
    assert_eq!(began.elapsed(), TRY_MAX);
}
