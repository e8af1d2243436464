//! What tests do to a server and its process: stop it, start it where it must fail, run the operator's commands on it.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rollcall::{Algorithm, SigningKey};
use rustix::process::Signal;
use rustls::RootCertStore;
use serde_json::Value;
use tokio::task::JoinHandle;

use super::certificate::Certificate;
use super::setup::SECRET;
use super::{Process, Server, Setup, in_time};

impl Setup {
    /// Starts the binary through another program.
    pub fn through<W: AsRef<str>>(mut self, command: &[W]) -> Self {
        let words = command.iter().map(|word| word.as_ref().to_owned());
        self.through = words.collect();
        self
    }

    /// Sets a variable of its environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// From when to when its certificate is valid: Unix time in seconds.
    pub fn valid(mut self, from: u64, until: u64) -> Self {
        self.valid = Some((from, until));
        self
    }

    /// Nobody is held back for the haste with which it sends.
    pub fn hasty(self) -> Self {
        self.set("connection", "frames_per_second = 1000000")
    }

    /// The log has no line for each connection.
    pub fn terse(self) -> Self {
        self.set("log", "level = \"info\"")
    }

    /// With an admin socket, which [`Server::operator`] uses.
    pub fn operated(self) -> Self {
        self.set("admin", "socket = \"admin.sock\"")
    }

    /// Makes everything that a server needs, and starts none.
    pub fn prepare(self) -> Server {
        Server::prepare(self)
    }

    /// The start must be refused with this exit code, and say all of these; returns all that it said.
    #[track_caller]
    pub fn refused(self, code: i32, texts: &[&str]) -> String {
        self.prepare().refused(code, texts)
    }
}

impl Server {
    /// Starts the usual one and waits until it is ready.
    pub fn start() -> Self {
        Setup::new().start()
    }

    /// Starts one with this line in a section of its configuration.
    pub fn with(section: &str, line: &str) -> Self {
        Setup::new().set(section, line).start()
    }

    /// The key that it accepts tokens of, unless a test says otherwise.
    pub fn key(&self) -> SigningKey {
        SigningKey::from_secret(Algorithm::HS256, None, SECRET).unwrap()
    }

    /// Starts the binary through another program from now on.
    pub fn through<W: AsRef<str>>(mut self, command: &[W]) -> Self {
        self.setup = self.setup.through(command);
        self
    }

    /// Starts the binary through nothing from now on.
    pub fn directly(self) -> Self {
        self.through::<&str>(&[])
    }

    /// Runs the binary where it must refuse to start, with this exit code, and say all of these; returns all that it said.
    #[track_caller]
    pub fn refused(&self, code: i32, texts: &[&str]) -> String {
        let (status, said) = Process::start(&mut self.command("serve")).ended();
        assert_eq!(status.code(), Some(code), "{said}");
        expect_all(&said, texts);
        said
    }

    /// Runs the binary until it ends, and returns what it said; `None` where it comes up.
    pub fn died(&self) -> Option<String> {
        let process = Process::start(&mut self.command("serve"));
        match process.line(" ready listen=") {
            Some(_) => None,
            None => Some(process.ended().1),
        }
    }

    /// `rollcall check` must end with this exit code, and say all of these; returns all that it said.
    #[track_caller]
    pub fn check(&self, code: i32, texts: &[&str]) -> String {
        let (ended, said) = self.checked();
        assert_eq!(ended, Some(code), "{said}");
        expect_all(&said, texts);
        said
    }

    /// The exit code of `rollcall check`, and what it said.
    pub fn checked(&self) -> (Option<i32>, String) {
        let (status, said) = Process::start(&mut self.command("check")).ended();
        (status.code(), said)
    }

    /// A command over its admin socket.
    pub fn operator(&self, words: &[&str]) -> Command {
        let mut command = rollcall(self.folder(), words);
        command.args(["--socket", "admin.sock"]);
        command
    }

    /// What such a command prints. It must end well.
    #[track_caller]
    pub fn operate(&self, words: &[&str]) -> String {
        let output = self.operator(words).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What `rollcall status` shows, as JSON and to a person.
    #[track_caller]
    pub fn status(&self) -> (Value, String) {
        let json = self.operate(&["status", "--json"]);
        (
            serde_json::from_str(&json).unwrap(),
            self.operate(&["status"]),
        )
    }

    /// Puts a new certificate in place, and returns whom clients must trust from then on.
    pub fn renew_certificate(&self) -> RootCertStore {
        let made = Certificate::make(None);
        // As a renewal tool would: the file appears whole.
        for (name, text) in [("key.pem", made.key), ("cert.pem", made.certificate)] {
            let new = self.folder().join("new");
            fs::write(&new, text).unwrap();
            fs::rename(&new, self.folder().join(name)).unwrap();
        }
        made.roots
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.run().process.signal(signal);
    }

    /// A power cut, as far as a process can have one.
    pub fn kill(&mut self) {
        self.run = None;
    }

    /// Stops it as systemd does; it must end well.
    pub fn terminate(&mut self) {
        self.signal(Signal::TERM);
        if let Some(run) = self.run.take() {
            let (status, log) = run.process.ended();
            assert!(status.success(), "{status}\n{log}");
        }
    }

    /// Stops it and starts it again.
    pub fn restart(&mut self) {
        self.terminate();
        self.run_again();
    }

    /// Sends it a signal while `tasks` use it. When they have come to an end by that, it is started again. Returns what
    /// the tasks did.
    pub async fn end_under<T>(
        server: &mut Arc<Self>,
        signal: Signal,
        tasks: Vec<JoinHandle<T>>,
    ) -> Vec<T> {
        server.signal(signal);
        let mut done = Vec::new();
        for task in tasks {
            done.push(in_time("the end of a task", task).await.unwrap());
        }
        Arc::get_mut(server).expect("nobody else has it").crash();
        done
    }
}

impl Process {
    /// Types a line.
    pub fn type_line(&mut self, line: &str) {
        let input = self.child.stdin.as_mut().unwrap();
        writeln!(input, "{line}").unwrap();
    }
}

/// All of these must be in what was said.
#[track_caller]
pub fn expect_all(said: &str, texts: &[&str]) {
    for text in texts {
        assert!(said.contains(text), "no {text:?} in:\n{said}");
    }
}

/// A command of this build's binary, in a folder.
pub fn rollcall(folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollcall"));
    command.args(words).current_dir(folder);
    command
}
