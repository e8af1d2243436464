//! The real binary, with a certificate, keys, a configuration and a database of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rollcall::auth::{Algorithm, SigningKey};
use rustix::process::Signal;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::{Process, in_time};

/// The key to the server HTTP API.
pub const API_KEY: &str = "an-api-key-that-only-the-tests-know-and-use";
/// What tokens are signed with, unless a test says otherwise.
const SECRET: &[u8] = b"a secret that only the tests know and use, by HS256";

/// What a server is started with.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// Lines of the configuration by section; `""` is the top.
    lines: Vec<(String, String)>,
    /// The keys of tokens, in place of the usual one.
    keys: Option<String>,
    /// What the binary is started through, such as strace.
    through: Vec<String>,
    /// Variables of its environment.
    env: Vec<(String, String)>,
    /// From when to when its certificate is valid (Unix time in seconds), where that is not for ever.
    valid: Option<(u64, u64)>,
}

impl Setup {
    /// The usual one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `line` to a section of the configuration.
    pub fn set(mut self, section: &str, line: &str) -> Self {
        self.lines.push((section.to_owned(), line.to_owned()));
        self
    }

    /// How long the members of before a start have to return.
    pub fn boot_grace(self, grace: &str) -> Self {
        self.set("presence", &format!("boot_grace = {grace:?}"))
    }

    /// `[[auth.keys]]` in place of the usual key.
    pub fn keys(mut self, keys: &str) -> Self {
        self.keys = Some(keys.to_owned());
        self
    }

    /// Starts the binary through another program.
    pub fn through<W: AsRef<str>>(mut self, command: &[W]) -> Self {
        self.through = command
            .iter()
            .map(|word| word.as_ref().to_owned())
            .collect();
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

    /// Makes everything that a server needs, and starts none.
    pub fn prepare(self) -> Server {
        Server::prepare(self)
    }

    /// Starts a server and waits until it is ready.
    pub fn start(self) -> Server {
        Server::start_with(self)
    }

    /// Everything but the process, which [`Server::run_again`] starts.
    pub fn prepared(self) -> Server {
        Server::prepare(self)
    }

    /// Runs the binary where it must refuse to start; returns how it ended and what it said.
    pub fn refused(self) -> (ExitStatus, String) {
        Server::prepare(self).refused_start()
    }

    fn config(&self, folder: &Path) -> String {
        let usual = [
            ("", "listen = [\"127.0.0.1:0\"]".to_owned()),
            ("", format!("data_dir = {:?}", folder.join("data"))),
            (
                "tls",
                format!("certificate = {:?}", folder.join("cert.pem")),
            ),
            ("tls", format!("private_key = {:?}", folder.join("key.pem"))),
            ("api", format!("keys = [{API_KEY:?}]")),
            ("log", "level = \"debug\"".to_owned()),
            ("log", "format = \"text\"".to_owned()),
        ];
        let given = self.lines.iter().map(|(s, l)| (s.as_str(), l.clone()));
        let key = |line: &str| line.split('=').next().unwrap_or_default().trim().to_owned();
        let mut sections: Vec<(String, Vec<String>)> = vec![(String::new(), Vec::new())];
        for (section, line) in usual.into_iter().chain(given) {
            let index = sections.iter().position(|(name, _)| name == section);
            let index = index.unwrap_or_else(|| {
                sections.push((section.to_owned(), Vec::new()));
                sections.len() - 1
            });
            let lines = &mut sections[index].1;
            // What a test sets counts in place of what is usual.
            lines.retain(|there| key(there) != key(&line));
            lines.push(line);
        }
        let mut text = String::new();
        for (name, lines) in &sections {
            match name.as_str() {
                "" => {}
                // What stands behind a `#` tells entries of one array apart.
                array if array.starts_with("[[") => text += &format!("{array}\n"),
                name => text += &format!("[{name}]\n"),
            }
            for line in lines {
                text += &format!("{line}\n");
            }
        }
        text += &self.keys.clone().unwrap_or_else(|| {
            format!(
                "[[auth.keys]]\nalgorithm = \"HS256\"\nsecret = {:?}\n",
                STANDARD.encode(SECRET)
            )
        });
        text
    }
}

/// A running server.
pub struct Server {
    folder: TempDir,
    setup: Setup,
    roots: RootCertStore,
    run: Option<Run>,
}

struct Run {
    process: Process,
    address: SocketAddr,
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

    fn start_with(setup: Setup) -> Self {
        let mut server = Self::prepare(setup);
        server.run_again();
        server
    }

    /// All but the process.
    fn prepare(setup: Setup) -> Self {
        let folder = TempDir::new().unwrap();
        let (certificate, roots) = certificate(setup.valid);
        fs::write(folder.path().join("cert.pem"), certificate.0).unwrap();
        fs::write(folder.path().join("key.pem"), certificate.1).unwrap();
        Self {
            folder,
            setup,
            roots,
            run: None,
        }
    }

    /// Starts it again after [`Server::kill`] or [`Server::terminate`], and waits until it is ready.
    pub fn run_again(&mut self) {
        let process = Process::start(&mut self.command());
        let line = process.wait_for(" ready listen=");
        let address = line.split("listen=").nth(1).unwrap();
        let address = address.split_whitespace().next().unwrap().parse().unwrap();
        self.run = Some(Run { process, address });
    }

    /// Runs the binary where it must refuse to start; returns how it ended and what it said.
    pub fn refused_start(&self) -> (ExitStatus, String) {
        Process::start(&mut self.command()).ended()
    }

    /// Runs the binary until it ends, and returns what it said; `None` where it comes up.
    pub fn died(&self) -> Option<String> {
        let process = Process::start(&mut self.command());
        match process.line(" ready listen=") {
            Some(_) => None,
            None => Some(process.ended().1),
        }
    }

    /// Its configuration's file.
    pub fn config_file(&self) -> PathBuf {
        self.folder.path().join("rollcall.toml")
    }

    /// Starts the binary through another program from now on.
    pub fn through(mut self, command: &[&str]) -> Self {
        self.setup = self.setup.through(command);
        self
    }

    fn command(&self) -> Command {
        self.rollcall("serve")
    }

    /// A command that reads its configuration.
    pub fn rollcall(&self, command: &str) -> Command {
        let config = self.config_file();
        fs::write(&config, self.setup.config(self.folder.path())).unwrap();
        let binary = env!("CARGO_BIN_EXE_rollcall").to_owned();
        let mut words = self.setup.through.iter().cloned().chain([binary]);
        let mut process = Command::new(words.next().unwrap());
        process.envs(self.setup.env.iter().map(|(name, value)| (name, value)));
        process.args(words).args([command, "--config"]).arg(config);
        process
    }

    /// Whether its configuration is good as `rollcall check` sees it: the exit code, and what was said.
    pub fn check(&self) -> (Option<i32>, String) {
        let (status, said) = Process::start(&mut self.rollcall("check")).ended();
        (status.code(), said)
    }

    fn run(&self) -> &Run {
        self.run.as_ref().expect("a running server")
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.run().address
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.run().process.id()
    }

    /// What it trusts and keeps.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its database's folder.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Whom its clients trust.
    pub fn roots(&self) -> &RootCertStore {
        &self.roots
    }

    /// Puts a new certificate in place, and returns whom clients must trust from then on.
    pub fn renew_certificate(&self) -> RootCertStore {
        let (certificate, roots) = certificate(None);
        // As a renewal tool would: the file appears whole.
        for (name, text) in [("key.pem", certificate.1), ("cert.pem", certificate.0)] {
            let new = self.folder.path().join("new");
            fs::write(&new, text).unwrap();
            fs::rename(&new, self.folder.path().join(name)).unwrap();
        }
        roots
    }

    /// The key that it accepts tokens of.
    pub fn key(&self) -> SigningKey {
        SigningKey::from_secret(Algorithm::HS256, None, SECRET).unwrap()
    }

    /// Waits for a line of its log that has `text`.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str) -> String {
        self.run().process.wait_for(text)
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        self.run().process.text()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.run().process.signal(signal);
    }

    /// A power cut, as far as a process can have one.
    pub fn kill(&mut self) {
        self.run = None;
    }

    /// A power cut, and the start after it.
    pub fn crash(&mut self) {
        self.kill();
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

    /// Stops it as systemd does; it must end well.
    pub fn terminate(&mut self) {
        self.signal(Signal::TERM);
        if let Some(run) = self.run.take() {
            let (status, log) = run.process.ended();
            assert!(status.success(), "{status}\n{log}");
        }
    }
}

/// A certificate for localhost (certificate, key), and a store that trusts it.
fn certificate(valid: Option<(u64, u64)>) -> ((String, String), RootCertStore) {
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    if let Some((from, until)) = valid {
        let at = |unix| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(unix);
        (params.not_before, params.not_after) = (at(from), at(until));
    }
    let key = rcgen::KeyPair::generate().unwrap();
    let made = params.self_signed(&key).unwrap();
    let pem = made.pem();
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
        .unwrap();
    ((pem, key.serialize_pem()), roots)
}
