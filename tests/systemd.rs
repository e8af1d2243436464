//! What systemd hears from the server, and the sockets that it hands over, by the real binary.

// A test that cannot go on fails; clippy takes the helpers of an integration test for production code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

#[path = "support/process.rs"]
mod process;
#[path = "support/signals.rs"]
mod signals;

use process::Process;

const PROGRAM: &str = env!("CARGO_BIN_EXE_rollcall");
/// How long anything may take. It is waited for, not slept through.
const DEADLINE: Duration = Duration::from_secs(30);

/// Says why something is not tried, also where the test passes, whose output nobody sees.
fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

/// Stops a server as systemd would.
fn stop(server: Process) {
    server.signal(Signal::TERM);
    let (status, said) = server.ended();
    assert!(status.success(), "{said}");
}

/// `rollcall serve --dev`, to which nothing was handed over.
fn serve(dir: &Path, listen: SocketAddr) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["serve", "--dev", "--dev-dir"]).arg(dir);
    command.args(["--listen", &listen.to_string()]);
    command.stdin(Stdio::null());
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
    command.stdin(socket);
    command
}

/// The messages that systemd would get.
struct Manager {
    socket: UnixDatagram,
}

impl Manager {
    fn at(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
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

    /// Throws away what has come so far.
    fn forget(&self) {
        self.socket.set_nonblocking(true).unwrap();
        while self.socket.recv(&mut [0; 4096]).is_ok() {}
        self.socket.set_nonblocking(false).unwrap();
    }

    /// The first message that has `line`.
    fn wait_for(&self, line: &str) -> Vec<String> {
        let deadline = Instant::now() + DEADLINE;
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
    let server = Process::follow(&mut command);

    let serving = "STATUS=Serving 0 connections in 0 channels";
    assert_eq!(manager.next(), ["READY=1", serving]);
    // Half of the limit apart, and more than once.
    for _ in 0..3 {
        let begun = Instant::now();
        manager.wait_for("WATCHDOG=1");
        assert!(begun.elapsed() < DEADLINE);
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
    stop(server);
}

/// Speaks plain HTTP, which the server answers in plain HTTP: that it must be TLS.
fn is_served(mut early: TcpStream) {
    early.set_read_timeout(Some(DEADLINE)).unwrap();
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
        let server = Process::follow(&mut command);
        is_served(early);
        stop(server);
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
        let mut command = serve_on(temp.path(), any, socket);
        let (status, said) = Process::follow(&mut command).ended();
        // A configuration error: to start again would not mend it.
        assert_eq!(status.code(), Some(2), "{said}");
        let refusal = "the socket 1 (wss) that systemd handed over cannot be used";
        assert!(said.contains(refusal), "{said}");
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
    let server = Process::follow(&mut command);
    manager.wait_for("READY=1");
    told.write_all(b"x").unwrap();
    let heeded = server.wait_for("memory is short");
    assert!(heeded.contains("dropped=0"), "{heeded}");
    stop(server);
}

/// A service whose starts are counted, as systemd would start it.
struct Service {
    temp: TempDir,
    manager: Manager,
}

impl Service {
    fn new() -> Self {
        let temp = TempDir::new().unwrap();
        let manager = Manager::at(&temp.path().join("notify"));
        std::fs::create_dir(temp.path().join("run")).unwrap();
        Self { temp, manager }
    }

    /// What it says from then on is heard, and nothing that an earlier one said.
    fn command(&self, listen: SocketAddr) -> Command {
        self.manager.forget();
        let mut command = serve(&self.temp.path().join("dev"), listen);
        command.env("NOTIFY_SOCKET", self.temp.path().join("notify"));
        command.env("RUNTIME_DIRECTORY", self.temp.path().join("run"));
        command.env_remove("SYSTEMD_EXEC_PID");
        command
    }

    fn start(&self) -> Process {
        let any = "127.0.0.1:0".parse().unwrap();
        Process::follow(&mut self.command(any))
    }

    /// A start that fails, and how long it took.
    fn fail(&self) -> Duration {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let begun = Instant::now();
        let failed = Process::follow(&mut self.command(taken.local_addr().unwrap()));
        let (status, said) = failed.ended();
        assert_eq!(status.code(), Some(1), "{said}");
        begun.elapsed()
    }

    fn file(&self) -> std::path::PathBuf {
        self.temp.path().join("run/failed-starts")
    }

    /// The first message of a start that waits: how long systemd should have patience, and what it is told.
    fn waits(&self) -> (u64, String) {
        let message = self.manager.next();
        let more = message[0].strip_prefix("EXTEND_TIMEOUT_USEC=").unwrap();
        let status = message[1].strip_prefix("STATUS=").unwrap();
        (more.parse().unwrap(), status.to_owned())
    }
}

#[test]
fn a_start_that_follows_failed_ones_waits_first_and_longer_each_time() {
    let service = Service::new();
    assert!(
        service.fail() < Duration::from_secs(2),
        "the first is not delayed"
    );
    for (n, seconds) in [(1, 2), (2, 4)] {
        let took = service.fail();
        let pause = Duration::from_secs(seconds);
        assert!(
            took >= pause && took < pause + Duration::from_secs(8),
            "{took:?}"
        );
        let (more, status) = service.waits();
        // The time that a start may take begins after the pause.
        assert!(more > seconds * 1_000_000 + 60_000_000, "{more}");
        let starts = if n == 1 { "start" } else { "starts" };
        assert_eq!(
            status,
            format!("Waiting {seconds} s, after {n} {starts} that failed")
        );
    }
    // A stop is somebody's will: it ends the pause at once, and the next start has none.
    let server = service.start();
    let (_, status) = service.waits();
    assert!(status.starts_with("Waiting 8 s"), "{status}");
    let begun = Instant::now();
    stop(server);
    assert!(begun.elapsed() < Duration::from_secs(4));
    assert!(!service.file().exists());
    let server = service.start();
    assert_eq!(service.manager.next()[0], "READY=1");
    stop(server);
}

#[test]
fn a_start_that_dies_soon_after_it_was_ready_counts_as_failed() {
    let service = Service::new();
    let server = service.start();
    assert_eq!(service.manager.next()[0], "READY=1");
    drop(server);
    let server = service.start();
    assert_eq!(service.waits().1, "Waiting 2 s, after 1 start that failed");
    service.manager.wait_for("READY=1");
    stop(server);
}

#[test]
fn no_file_of_failed_starts_stops_a_start() {
    let service = Service::new();
    let spoils: [(&[u8], &str); 5] = [
        (b"", "Waiting 2 s, after 1 start that failed"),
        (
            b"\xff\xfe garbage",
            "Waiting 2 s, after 1 start that failed",
        ),
        (b"-4", "Waiting 2 s, after 1 start that failed"),
        (b"6", "Waiting 60 s, after 6 starts that failed"),
        (
            b"99999999999999999999999",
            "Waiting 2 s, after 1 start that failed",
        ),
    ];
    for (content, said) in spoils {
        std::fs::write(service.file(), content).unwrap();
        let server = service.start();
        assert_eq!(service.waits().1, said);
        stop(server);
    }
    // It can be neither read nor written: there is nothing to go by, and nothing to wait for.
    std::fs::create_dir(service.file()).unwrap();
    let server = service.start();
    assert_eq!(service.manager.next()[0], "READY=1");
    stop(server);
}

#[test]
fn where_systemd_starts_something_else_nothing_waits() {
    let service = Service::new();
    std::fs::write(service.file(), "5").unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let mut command = service.command(any);
    // It started the shell that starts us, say.
    command.env("SYSTEMD_EXEC_PID", "1");
    let server = Process::follow(&mut command);
    assert_eq!(service.manager.next()[0], "READY=1");
    stop(server);
    let mut command = service.command(any);
    command.env_remove("RUNTIME_DIRECTORY");
    let server = Process::follow(&mut command);
    assert_eq!(service.manager.next()[0], "READY=1");
    stop(server);
    assert_eq!(std::fs::read(service.file()).unwrap(), b"5");
}

#[test]
fn the_watchdog_is_not_told_that_all_is_well_while_the_disk_hangs() {
    if Command::new("strace").arg("-V").output().is_err() {
        skipped("strace is not installed");
        return;
    }
    let temp = TempDir::new().unwrap();
    let manager = Manager::at(&temp.path().join("notify"));
    let dev = temp.path().join("dev");
    let mut command = serve(&dev, "127.0.0.1:0".parse().unwrap());
    command.env("NOTIFY_SOCKET", temp.path().join("notify"));
    command.env("WATCHDOG_USEC", "3000000");
    let server = Process::follow(&mut command);
    manager.wait_for("READY=1");
    manager.wait_for("WATCHDOG=1");

    let delay = "inject=fdatasync:delay_enter=60000000";
    let mut strace = Command::new("strace");
    strace.args(["-f", "-o", "/dev/null", "-e", "trace=fdatasync"]);
    strace.args(["-e", delay, "-p", &server.id().to_string()]);
    let strace = Process::start(&mut strace);
    if strace.line("attached").is_none() {
        skipped("strace may not look on here");
        return;
    }
    // Somebody comes, which must be on disk.
    let mut join = Command::new(PROGRAM);
    join.args(["join", "presence.a", "--uid", "Jim", "--dev-dir"]);
    let _jim = Process::start(join.arg(&dev));
    let is_waiting = |message: &[String]| {
        let mut lines = message.iter();
        lines.any(|line| line.starts_with("STATUS=Waiting for the disk for "))
    };
    let deadline = Instant::now() + DEADLINE;
    while !is_waiting(&manager.next()) {
        assert!(Instant::now() < deadline, "it looks well for too long");
    }
    for _ in 0..2 {
        let message = manager.next();
        assert!(is_waiting(&message), "{message:?}");
        assert!(!message.contains(&"WATCHDOG=1".to_owned()), "{message:?}");
    }
    strace.signal(Signal::TERM);
    strace.ended();
    manager.wait_for("WATCHDOG=1");
    drop(server);
}
