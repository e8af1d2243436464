//! The server under load: the real binary, with a configuration that holds nobody back. The load generator is to find the
//! server's limits, not the operator's.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rollcall::{Algorithm, KeyError, SigningKey};
use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::{Value, json};

use crate::Result;
use crate::client::{Client, Target};
use crate::harness::{self, Setup, Token, api_request, ask, now, public_key, secret_key, usage};

/// What events are signed with; Base64. Any will do: the receiver does not look at signatures.
const WEBHOOK_SECRET: &str = "bG9hZC1nZW5lcmF0b3ItbG9hZC1nZW5lcmF0b3I=";
/// How long a message of the event `brief` is kept, in seconds.
pub(crate) const KEPT_SECONDS: u64 = 2;

/// Where the binary is and where it may work.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) binary: PathBuf,
    pub(crate) folder: Option<PathBuf>,
}

/// What differs from one measurement to another.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) algorithm: Algorithm,
    pub(crate) boot_grace: Duration,
    pub(crate) queue_bytes: u64,
    /// Where all events out are posted to.
    pub(crate) webhook: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::ES256,
            boot_grace: Duration::from_secs(10),
            queue_bytes: 8 << 20,
            webhook: None,
        }
    }
}

/// A running server. It is killed when this is dropped.
pub(crate) struct Server {
    inner: harness::Server,
    signer: SigningKey,
    target: Target,
    time_to_ready: Duration,
    ready_at: Instant,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.print_warnings();
    }
}

impl Server {
    /// Starts a server with an empty database and waits until it is ready.
    pub(crate) fn start(place: &Place, settings: &Settings) -> Result<Self> {
        // An HMAC has a secret instead of a pair.
        let (signer, keys) = match SigningKey::generate(settings.algorithm, None) {
            Ok((signer, _)) => {
                let keys = public_key(&signer);
                (signer, keys)
            }
            Err(KeyError::NeedsSecret { .. }) => {
                let (signer, secret) = SigningKey::generate_secret(settings.algorithm, None)?;
                (signer, secret_key(settings.algorithm, &secret))
            }
            Err(error) => return Err(error.into()),
        };
        let mut setup = configuration(settings).keys(&keys);
        setup.binary = Some(place.binary.clone());
        setup.within.clone_from(&place.folder);
        let begun = Instant::now();
        let inner = setup.start();
        Ok(Self {
            target: Target::new(inner.address(), inner.roots()),
            inner,
            signer,
            time_to_ready: begun.elapsed(),
            ready_at: Instant::now(),
        })
    }

    /// Kills the server, as `kill -9` would, and starts it again on the same database.
    pub(crate) fn crash_and_start(&mut self) {
        self.print_warnings();
        let begun = Instant::now();
        self.inner.crash();
        self.ready_at = Instant::now();
        self.time_to_ready = self.ready_at - begun;
        self.target = Target::new(self.inner.address(), self.inner.roots());
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// CPU time so far.
    pub(crate) fn cpu(&self) -> Duration {
        usage::cpu(self.pid())
    }

    /// Resident memory, in bytes.
    pub(crate) fn resident(&self) -> u64 {
        usage::resident(self.pid())
    }

    /// The most memory that was ever resident, in bytes.
    pub(crate) fn peak(&self) -> u64 {
        usage::peak(self.pid())
    }

    /// Bytes that it had written to storage so far.
    pub(crate) fn written(&self) -> u64 {
        usage::number(self.pid(), "io", "write_bytes:")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.inner.pid()
    }

    /// From starting the process until it was ready.
    pub(crate) fn time_to_ready(&self) -> Duration {
        self.time_to_ready
    }

    pub(crate) fn ready_at(&self) -> Instant {
        self.ready_at
    }

    /// Waits for a line of the log with this text.
    pub(crate) fn logged(&self, text: &str) -> String {
        self.inner.wait_for_log(text)
    }

    /// A connect token for `uid` that may subscribe to, read, and send to everything.
    pub(crate) fn token(&self, uid: &str, umd: &Value) -> Result<String> {
        let token = Token::of(uid).umd(umd.clone()).channels(json!({"*": {
            "subscribe": true,
            "historyStart": 0,
            "messages": {"*": {"publish": true, "broadcast": true}, "kept": {"store": -1},
                "brief": {"store": KEPT_SECONDS}},
        }}));
        let token = token.claim("exp", json!(now() + 3_600));
        Ok(self.signer.sign(&token.claims())?)
    }

    /// A connected client.
    pub(crate) async fn client(&self, uid: &str) -> Result<Client> {
        let token = self.token(uid, &json!({"name": uid}))?;
        Client::connect(self.target(), &token).await
    }

    /// What the server HTTP API says at this path.
    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        let mut requests = self.target.http().await?;
        let answer = ask(&mut requests, api_request("GET", path, "")).await?;
        match answer.status().as_u16() {
            200 => Ok(serde_json::from_str(answer.body())?),
            status => Err(format!("GET {path}: {status} {}", answer.body()).into()),
        }
    }

    /// How many commits there have been since the database was made.
    pub(crate) fn commits(&self) -> Result<u64> {
        let bytes = fs::read(self.data().join("last-commit"))?;
        // Before the first commit the file is empty.
        Ok(bytes
            .first_chunk()
            .map_or(0, |bytes| u64::from_be_bytes(*bytes)))
    }

    /// The bytes that the data folder takes.
    pub(crate) fn data_bytes(&self) -> Result<u64> {
        size(&self.data())
    }

    /// The data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.inner.data_dir()
    }

    /// Prints what the server has found strange.
    fn print_warnings(&self) {
        let log = self.inner.log();
        let strange = |line: &&str| !line.contains(" INFO ");
        for line in log.lines().filter(strange) {
            eprintln!("server: {line}");
        }
    }
}

fn configuration(settings: &Settings) -> Setup {
    let setup = Setup::new()
        .boot_grace(&format!("{}ms", settings.boot_grace.as_millis()))
        .set("presence", "fanout_bytes_per_second = \"1024GiB\"")
        .set("presence", "fanout_burst_bytes = \"1024GiB\"")
        .set("connection", "max_connections = 18000")
        .set("connection", "frames_per_second = 1000000")
        .set(
            "connection",
            &format!("queue_bytes = {}", settings.queue_bytes),
        )
        .set("log", "level = \"info\"");
    let Some(url) = &settings.webhook else {
        return setup;
    };
    let webhook = "[[events.webhooks]]";
    setup
        .set(webhook, "name = \"load\"")
        .set(webhook, &format!("url = {url:?}"))
        .set(webhook, &format!("secret = \"whsec_{WEBHOOK_SECRET}\""))
}

/// The bytes that a folder takes on the disk's books, files that vanish meanwhile not counted.
fn size(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes += size(&entry.path())?,
            Ok(metadata) => bytes += metadata.len(),
            Err(_) => {}
        }
    }
    Ok(bytes)
}

/// A client is a descriptor: takes as many as the system allows.
pub(crate) fn raise_descriptor_limit() -> Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}
