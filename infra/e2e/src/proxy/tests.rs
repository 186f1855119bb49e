use super::*;

const MARKED: Marker = Marker::of(&[b"mark"]);
const SOON: Duration = Duration::from_secs(20);

/// Answers every chunk with itself and counts them.
async fn echo() -> (SocketAddr, Arc<Mutex<Vec<String>>>, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let mut serving = JoinSet::new();
    let noted = seen.clone();
    serving.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let noted = noted.clone();
            connections.spawn(async move {
                let mut buffer = [0; 64];
                while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                    lock(&noted).push(String::from_utf8_lossy(&buffer[..read]).into_owned());
                    stream.write_all(&buffer[..read]).await.ok();
                }
            });
        }
    });
    (address, seen, serving)
}

/// Sends `text` and returns what comes back; `None` when the connection ends instead.
async fn ask(stream: &mut TcpStream, text: &str) -> Option<String> {
    stream.write_all(text.as_bytes()).await.ok()?;
    let mut buffer = [0; 64];
    let read = tokio::time::timeout(SOON, stream.read(&mut buffer)).await;
    match read.expect("an answer or an end") {
        Ok(read @ 1..) => Some(String::from_utf8_lossy(&buffer[..read]).into_owned()),
        _ => None,
    }
}

#[tokio::test]
async fn the_nth_marked_request_is_done_and_its_answer_lost() {
    let (target, seen, _serving) = echo().await;
    let proxy = Proxy::start(target).await.unwrap();
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    proxy.lose_answer(MARKED, 2);
    assert_eq!(ask(&mut stream, "mark 1").await.as_deref(), Some("mark 1"));
    assert_eq!(ask(&mut stream, "other").await.as_deref(), Some("other"));
    assert_eq!(ask(&mut stream, "mark 2").await, None);
    proxy.lost_more_than(0).await.unwrap();
    assert_eq!(*lock(&seen), ["mark 1", "other", "mark 2"]);
    let mut again = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(ask(&mut again, "mark 3").await.as_deref(), Some("mark 3"));
    assert_eq!(proxy.losses(), 1);
}

#[tokio::test]
async fn a_connection_that_has_lost_an_answer_loses_no_other() {
    let (target, _, _serving) = echo().await;
    let proxy = Proxy::start(target).await.unwrap();
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    proxy.lose_answer(MARKED, 1);
    stream.write_all(b"mark 1").await.unwrap();
    proxy.lost_more_than(0).await.unwrap();
    proxy.lose_answer(MARKED, 1);
    assert_eq!(ask(&mut stream, "mark 2").await, None);
    let mut again = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(ask(&mut again, "mark 3").await, None);
    proxy.lost_more_than(1).await.unwrap();
}

#[tokio::test]
async fn a_stalled_connection_stays_and_goes_on() {
    let (target, _, _serving) = echo().await;
    let proxy = Proxy::start(target).await.unwrap();
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    proxy.stall();
    let mut buffer = [0; 8];
    stream.write_all(b"late").await.unwrap();
    let silent = tokio::time::timeout(Duration::from_millis(50), stream.read(&mut buffer));
    assert!(silent.await.is_err());
    proxy.flow();
    stream.read_exact(&mut buffer[..4]).await.unwrap();
    assert_eq!(&buffer[..4], b"late");
}

#[tokio::test]
async fn cut_connections_end_and_refused_ones_never_begin() {
    let (target, _, _serving) = echo().await;
    let proxy = Proxy::start(target).await.unwrap();
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(ask(&mut stream, "a").await.is_some());
    proxy.cut();
    assert_eq!(ask(&mut stream, "b").await, None);
    proxy.refuse();
    let refused = TcpStream::connect(proxy.address()).await;
    if let Ok(mut stream) = refused {
        assert_eq!(ask(&mut stream, "c").await, None);
    }
    proxy.flow();
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(ask(&mut stream, "d").await.is_some());
}

#[tokio::test]
async fn bytes_are_late_and_in_order() {
    let (target, _, _serving) = echo().await;
    let proxy = Proxy::start(target).await.unwrap();
    proxy.delay(Duration::from_millis(20), Duration::from_millis(20));
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    let since = Instant::now();
    for text in ["1", "2", "3"] {
        assert_eq!(ask(&mut stream, text).await.as_deref(), Some(text));
    }
    assert!(since.elapsed() >= Duration::from_millis(120));
}
