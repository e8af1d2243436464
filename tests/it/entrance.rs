//! The way in while others crowd it: those who are silent, those who dribble, and very many at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::{
    API_KEY, Client, Server, Setup, Token, connector, handshake, in_time, tls, upgrade,
};

/// The beginning of a TLS handshake: a record of 512 bytes, of which one is there.
const BEGINNING: &[u8] = &[22, 3, 1, 2, 0, 1];

/// What the log says where connections have all the descriptors that they may have.
const NO_DESCRIPTOR: &str = "there is no descriptor for them";

/// Sockets that say nothing; each that the server closes is opened again, until this is dropped.
struct Silent {
    _tasks: JoinSet<()>,
    renewed: Arc<AtomicUsize>,
}

impl Silent {
    /// When it returns, they are all connected, as far as a client can know.
    async fn crowd(server: &Server, count: usize) -> Self {
        let address = server.address();
        let renewed = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        for _ in 0..count {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let renewed = Arc::clone(&renewed);
            tasks.spawn(async move {
                loop {
                    let mut nothing = [0; 1];
                    let _ = stream.read(&mut nothing).await;
                    renewed.fetch_add(1, Ordering::Relaxed);
                    stream = loop {
                        match TcpStream::connect(address).await {
                            Ok(stream) => break stream,
                            Err(_) => tokio::task::yield_now().await,
                        }
                    };
                }
            });
        }
        Self {
            _tasks: tasks,
            renewed,
        }
    }
}

/// How long a newcomer takes to be connected.
async fn newcomer(server: &Server) -> Duration {
    let begun = Instant::now();
    Client::connect(server, &Token::of("Pam")).await;
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_sockets_keep_nobody_out() {
    let server = Server::start();
    let _silent = Silent::crowd(&server, 1_100).await;
    for _ in 0..5 {
        let took = newcomer(&server).await;
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes as many descriptors as a process may have"]
async fn more_silent_sockets_than_there_are_places_give_way() {
    let server = Server::start();
    let silent = Silent::crowd(&server, 17_500).await;
    server.wait_for_log("gave way");
    let mut slowest = Duration::ZERO;
    for _ in 0..10 {
        slowest = slowest.max(newcomer(&server).await);
    }
    eprintln!("the slowest of ten newcomers took {slowest:?}");
    assert!(slowest < Duration::from_secs(3), "{slowest:?}");
    assert!(silent.renewed.load(Ordering::Relaxed) > 1_000);
}

/// Whether the server has closed it.
fn is_closed(stream: &TcpStream) -> bool {
    match stream.try_read(&mut [0; 64]) {
        Ok(0) => true,
        Ok(_) => false,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    }
}

/// A connection from an address of this machine.
async fn from(address: &str, server: &Server) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket
        .bind(format!("{address}:0").parse().unwrap())
        .unwrap();
    socket.connect(server.address()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_goes_on_does_not_excuse_thousands_that_have_stopped() {
    let server = Server::start();
    let mut stopped = Vec::new();
    for _ in 0..4_200 {
        let mut stream = from("127.0.0.2", &server).await;
        stream.write_all(BEGINNING).await.unwrap();
        stopped.push(stream);
    }
    let mut goes_on = from("127.0.0.2", &server).await;
    let dribble = tokio::spawn(async move {
        goes_on.write_all(BEGINNING).await.unwrap();
        while goes_on.write_all(&[0]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    });
    // Of those that have stopped, one too, and among those that have a place.
    let first = stopped.first_mut().unwrap();
    let begun = Instant::now();
    let mut coming = std::pin::pin!(newcomer(&server));
    let took = loop {
        tokio::select! {
            took = &mut coming => break took,
            () = tokio::time::sleep(Duration::from_millis(500)) => {
                let _ = first.write_all(&[0]).await;
            }
        }
        assert!(begun.elapsed() < Duration::from_secs(30));
    };
    eprintln!("the newcomer took {took:?}");
    assert!(took < Duration::from_secs(4), "{took:?}");
    dribble.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stops_in_its_handshake_gives_way_and_who_goes_on_does_not() {
    let server = Server::start();
    let mut stopped = Vec::new();
    for _ in 0..2 {
        let mut stream = from("127.0.0.2", &server).await;
        stream.write_all(BEGINNING).await.unwrap();
        stopped.push(stream);
    }
    // With these, they are one more than there are places.
    let mut dribbling = Vec::new();
    for _ in 0..4_095 {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(BEGINNING).await.unwrap();
        dribbling.push(stream);
    }
    let begun = Instant::now();
    let mut took = None;
    let mut first_closed = None;
    {
        let mut coming = std::pin::pin!(newcomer(&server));
        while dribbling.iter().any(|stream| !is_closed(stream)) {
            tokio::select! {
                time = &mut coming, if took.is_none() => took = Some(time),
                () = tokio::time::sleep(Duration::from_millis(500)) => {
                    for stream in &mut dribbling {
                        let _ = stream.write_all(&[0]).await;
                    }
                }
            }
            if first_closed.is_none() && dribbling.iter().any(is_closed) {
                first_closed = Some(begun.elapsed());
            }
            assert!(begun.elapsed() < Duration::from_secs(30));
        }
    }
    // Those that stopped were dropped for the newcomer, after two seconds; the others had the time that all have.
    let took = took.expect("it came in");
    assert!(took < Duration::from_secs(7), "{took:?}");
    let first_closed = first_closed.expect("they have been closed");
    assert!(first_closed > Duration::from_secs(8), "{first_closed:?}");
    assert!(first_closed > took);
    assert!(stopped.iter().all(is_closed));
    let line = server.wait_for_log("gave way to newcomers");
    assert!(
        line.contains("silent=0 stalled=1 ") || line.contains("silent=0 stalled=2 "),
        "{line}"
    );
}

/// A client that does only what it must: returns its connection once it is open.
async fn enter(
    server: &Server,
    connector: &TlsConnector,
    token: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(server.address()).await?;
    let mut stream = handshake(connector, stream).await?;
    stream.write_all(upgrade(token).as_bytes()).await?;
    let mut answer = Vec::new();
    let needle = b"hotsock.connected";
    while !answer.windows(needle.len()).any(|part| part == needle) {
        let mut buffer = [0; 1_024];
        let n = stream.read(&mut buffer).await?;
        if n == 0 {
            return Err(std::io::Error::other(String::from_utf8_lossy(&answer)));
        }
        answer.extend_from_slice(&buffer[..n]);
    }
    Ok(stream)
}

/// So many clients at once, with silent sockets beside them: all get in. Returns how long the last one took.
async fn crowd(count: usize, limit: Duration) -> Duration {
    let server = Arc::new(Server::start());
    let _silent = Silent::crowd(&server, 1_100).await;
    let connector = connector(server.roots());
    let token = Token::of("Jim").for_server(&server);
    let begun = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..count {
        let (server, connector, token) = (Arc::clone(&server), connector.clone(), token.clone());
        clients.spawn(async move { enter(&server, &connector, &token).await });
    }
    let all = tokio::time::timeout(limit, clients.join_all());
    let all = all.await.expect("all of them in time");
    let took = begun.elapsed();
    let out = all.iter().filter_map(|client| client.as_ref().err());
    let out: Vec<String> = out.map(ToString::to_string).collect();
    if !out.is_empty() {
        let log = server.log();
        let log = log.lines().filter(|line| line.contains("WARN"));
        let log: Vec<&str> = log.collect();
        panic!(
            "{} of {count} did not get in: {:?}; {log:?}",
            out.len(),
            out.first()
        );
    }
    took
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_one_address_gets_in() {
    crowd(1_500, Duration::from_secs(60)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes half a minute, and as many descriptors as a process may have"]
async fn a_crowd_of_fifteen_thousand_gets_in() {
    let took = crowd(15_000, Duration::from_secs(300)).await;
    eprintln!("15,000 clients at once were in after {took:?}");
}

/// Asks over a connection that is to be used again; `None` where it has been closed.
async fn ask_again(stream: &mut TlsStream<TcpStream>) -> Option<String> {
    let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(request).await.ok()?;
    let mut answer = String::new();
    while !answer.ends_with("\"ok\"}") {
        let mut buffer = [0; 1_024];
        match in_time("an answer", stream.read(&mut buffer)).await {
            Ok(n @ 1..) => answer += std::str::from_utf8(&buffer[..n]).unwrap(),
            _ => return None,
        }
    }
    Some(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_http_connections_keep_nobody_out_and_readers_of_the_feed_stay() {
    let server = Server::start();
    let mut feed = tls(&server, server.roots()).await.unwrap();
    let request = format!(
        "GET /events?types=hotsock.memberAdded HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {API_KEY}\r\n\r\n"
    );
    feed.write_all(request.as_bytes()).await.unwrap();
    let mut told = String::new();
    let mut read = async |until: &str| {
        while !told.contains(until) {
            let mut buffer = [0; 1_024];
            let n = in_time("the feed", feed.read(&mut buffer)).await.unwrap();
            assert!(n > 0, "the feed ended: {told}");
            told += std::str::from_utf8(&buffer[..n]).unwrap();
        }
    };
    read("retry:").await;
    // One more than all that may be kept beside the feed.
    let mut idle = Vec::new();
    for _ in 0..1_024 {
        let mut stream = tls(&server, server.roots()).await.unwrap();
        assert!(ask_again(&mut stream).await.is_some());
        idle.push(stream);
    }
    let took = newcomer(&server).await;
    assert!(took < Duration::from_secs(3), "{took:?}");
    // The last one is kept, and one has given way; the others have only the time that an idle connection has.
    let last = idle.last_mut().unwrap();
    assert!(ask_again(last).await.is_some(), "the last one is kept");
    server.wait_for_log("idle=1");
    let _jim = Client::join(&server, "Jim", "presence.fed").await;
    read("presence.fed").await;
}

/// A server that may have so many descriptors.
fn with_descriptors(limit: usize) -> Server {
    Setup::new()
        .operated()
        .through(&["sh", "-c", &format!("ulimit -n {limit}; exec \"$@\""), "sh"])
        .start()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_descriptors_the_operator_is_answered_and_told_once() {
    let server = Arc::new(with_descriptors(160));
    let token = Token::of("Jim").for_server(&server);
    let mut coming = JoinSet::new();
    for _ in 0..200 {
        let (server, token) = (Arc::clone(&server), token.clone());
        coming.spawn(async move { Client::try_connect(&server, &token).await });
    }
    server.wait_for_log(NO_DESCRIPTOR);
    // As many as the server can have; the others wait.
    let mut clients = Vec::new();
    for _ in 0..60 {
        let client = in_time("a client", coming.join_next()).await;
        clients.push(client.unwrap().unwrap().unwrap());
    }
    for _ in 0..20 {
        let (status, _) = server.status();
        assert!(status["connections"].as_u64() >= Some(60), "{status}");
    }
    let log = server.log();
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| line.contains(NO_DESCRIPTOR))
        .collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("times="), "{lines:?}");
    // Whoever leaves makes room for one who waits.
    let (leaving, staying) = clients.split_at_mut(30);
    for client in leaving {
        client.socket.close(None).await.unwrap();
        let next = in_time("the next one", coming.join_next()).await;
        assert!(next.unwrap().unwrap().is_ok());
    }
    for client in staying {
        client.expect_silence().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_descriptors_the_silent_give_way_and_one_line_says_so() {
    let server = with_descriptors(1_000);
    let silent = Silent::crowd(&server, 1_500).await;
    server.wait_for_log("gave way");
    let mut clients = Vec::new();
    for _ in 0..5 {
        let begun = Instant::now();
        clients.push(Client::connect(&server, &Token::of("Jim")).await);
        // What is promised is a second; what this machine does besides is not counted.
        assert!(begun.elapsed() < Duration::from_secs(4));
    }
    server.status();
    assert!(silent.renewed.load(Ordering::Relaxed) > 500);
    for client in &mut clients {
        client.expect_silence().await;
    }
    let log = server.log();
    let lines: Vec<&str> = log.lines().filter(|l| l.contains("gave way")).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("WARN"), "{lines:?}");
    assert!(lines[0].contains("addresses=1"), "{lines:?}");
}
