//! What systemd hears from the server, and the sockets that it hands over, by the real binary.

// A test that cannot go on fails; clippy takes the helpers of an integration test for production code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_rollcall");
/// How long anything may take. It is waited for, not slept through.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server that ends with its test.
struct Server(Child);

impl Server {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    /// Stops it as systemd would.
    fn stop(mut self) {
        self.signal(Signal::TERM);
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `rollcall serve --dev`, to which nothing was handed over.
fn serve(dir: &Path, listen: SocketAddr) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["serve", "--dev", "--dev-dir"]).arg(dir);
    command.args(["--listen", &listen.to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// The same, with `socket` as the descriptor 3.
fn serve_on(dir: &Path, listen: SocketAddr, socket: OwnedFd) -> Command {
    let mut command = Command::new("sh");
    // The shell becomes the server, so its process id is the right one.
    let script = "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=wss exec \"$@\"";
    let plain = serve(dir, listen);
    command.args(["-c", script, "sh", PROGRAM]);
    command.args(plain.get_args());
    command.stdin(socket).stdout(Stdio::null());
    command
}

/// The messages that systemd would get.
struct Manager {
    socket: UnixDatagram,
}

impl Manager {
    fn at(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket }
    }

    fn next(&self) -> Vec<String> {
        let mut buffer = [0; 4096];
        let length = loop {
            match self.socket.recv(&mut buffer) {
                // Whoever waits with a limit is woken when the machine was frozen.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                length => break length.expect("a message in time"),
            }
        };
        let text = std::str::from_utf8(&buffer[..length]).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// The first message that has `line`.
    fn wait_for(&self, line: &str) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let message = self.next();
            if message.iter().any(|l| l == line) {
                return message;
            }
        }
        panic!("no {line} in time");
    }
}

#[test]
fn systemd_hears_of_start_life_reload_and_stop() {
    let temp = TempDir::new().unwrap();
    let manager = Manager::at(&temp.path().join("notify"));
    let mut command = serve(&temp.path().join("dev"), "127.0.0.1:0".parse().unwrap());
    command.env("NOTIFY_SOCKET", temp.path().join("notify"));
    command.env("WATCHDOG_USEC", "200000");
    let server = Server(command.spawn().unwrap());

    let serving = "STATUS=Serving 0 connections in 0 channels";
    assert_eq!(manager.next(), ["READY=1", serving]);
    // Half of the limit apart, and more than once.
    for _ in 0..3 {
        let begun = Instant::now();
        manager.wait_for("WATCHDOG=1");
        assert!(begun.elapsed() < PATIENCE);
    }

    server.signal(Signal::HUP);
    let reloading = manager.wait_for("RELOADING=1");
    let moment = reloading[1].strip_prefix("MONOTONIC_USEC=").unwrap();
    assert!(moment.parse::<u64>().unwrap() > 0);
    assert_eq!(manager.wait_for("READY=1"), ["READY=1", serving]);

    server.signal(Signal::TERM);
    assert_eq!(
        manager.wait_for("STOPPING=1"),
        ["STOPPING=1", "STATUS=Closing 0 connections"]
    );
    server.stop();
}

/// Speaks plain HTTP, which the server answers in plain HTTP: that it must be TLS.
fn is_served(mut early: TcpStream) {
    early.set_read_timeout(Some(PATIENCE)).unwrap();
    early
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
        .unwrap();
    let mut answer = [0; 24];
    early.read_exact(&mut answer).expect("an answer in time");
    assert_eq!(&answer, b"HTTP/1.1 400 Bad Request");
}

#[test]
fn who_connects_while_the_server_is_down_is_served_when_it_is_up() {
    let temp = TempDir::new().unwrap();
    // It cannot be listened on twice, so a start that did not ignore it would fail.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    for _ in 0..2 {
        let early = TcpStream::connect(address).unwrap();
        let socket = socket.try_clone().unwrap().into();
        let mut command = serve_on(temp.path(), taken.local_addr().unwrap(), socket);
        let server = Server(command.spawn().unwrap());
        is_served(early);
        server.stop();
    }
}

#[test]
fn what_is_no_listening_socket_is_refused() {
    let temp = TempDir::new().unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let connected = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        TcpStream::connect(listener.local_addr().unwrap()).unwrap()
    };
    let (stream, _other) = UnixStream::pair().unwrap();
    for socket in [OwnedFd::from(connected), OwnedFd::from(stream)] {
        let Output { status, stderr, .. } = serve_on(temp.path(), any, socket)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        let stderr = String::from_utf8(stderr).unwrap();
        // A configuration error: to start again would not mend it.
        assert_eq!(status.code(), Some(2), "{stderr}");
        assert!(
            stderr.contains("the socket 1 (wss) that systemd handed over cannot be used"),
            "{stderr}"
        );
    }
}

#[test]
fn a_shortage_of_memory_is_heeded() {
    let temp = TempDir::new().unwrap();
    let manager = Manager::at(&temp.path().join("notify"));
    let pressure = temp.path().join("pressure");
    let made = Command::new("mkfifo").arg(&pressure).status().unwrap();
    assert!(made.success());
    // Open at both ends, so that opening it does not wait for the server.
    let mut told = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&pressure)
        .unwrap();
    let mut command = serve(&temp.path().join("dev"), "127.0.0.1:0".parse().unwrap());
    command.env("NOTIFY_SOCKET", temp.path().join("notify"));
    command.env("MEMORY_PRESSURE_WATCH", &pressure);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let stderr = child.stderr.take().unwrap();
    let server = Server(child);
    manager.wait_for("READY=1");
    told.write_all(b"x").unwrap();
    let heeded = BufReader::new(stderr)
        .lines()
        .map_while(Result::ok)
        .any(|line| line.contains("memory is short") && line.contains("dropped=0"));
    assert!(heeded);
    // Nobody reads its log any more, which must not matter.
    server.stop();
}
