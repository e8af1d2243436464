//! The server under load: the real binary, with TLS on, and with a certificate, keys and a database of its own.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rollcall::auth::{Algorithm, KeyError, SigningKey};
use rustix::process::{Resource, getrlimit, setrlimit};
use rustls::RootCertStore;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::Result;
use crate::client::{Client, Target};
use crate::process::Process;

/// The key to the server HTTP API.
const API_KEY: &str = "load-generator-load-generator-load-generator";
/// What events are signed with; Base64.
const WEBHOOK_SECRET: &str = "bG9hZC1nZW5lcmF0b3ItbG9hZC1nZW5lcmF0b3I=";
/// How long a message of the event `brief` is kept, in seconds.
pub(crate) const KEPT_SECONDS: u64 = 2;
/// How long a start may take before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(120);

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
    folder: TempDir,
    binary: PathBuf,
    signer: SigningKey,
    roots: RootCertStore,
    run: Run,
}

/// One run of it.
struct Run {
    child: Child,
    log: mpsc::UnboundedReceiver<(Instant, Value)>,
    target: Target,
    started: Instant,
    ready: Instant,
}

impl Drop for Run {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Starts a server with an empty database and waits until it is ready.
    pub(crate) async fn start(place: &Place, settings: &Settings) -> Result<Self> {
        let folder = match &place.folder {
            Some(folder) => tempfile::tempdir_in(folder)?,
            None => tempfile::tempdir()?,
        };
        let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        fs::write(folder.path().join("cert.pem"), certificate.cert.pem())?;
        fs::write(
            folder.path().join("key.pem"),
            certificate.signing_key.serialize_pem(),
        )?;
        let mut roots = RootCertStore::empty();
        roots.add(certificate.cert.der().clone())?;
        // An HMAC has a secret instead of a pair.
        let (signer, key, key_file) = match SigningKey::generate(settings.algorithm, None) {
            Ok((signer, pair)) => (signer, pair.public_pem, "public_key_file"),
            Err(KeyError::NeedsSecret { .. }) => {
                let (signer, secret) = SigningKey::generate_secret(settings.algorithm, None)?;
                (signer, secret, "secret_file")
            }
            Err(error) => return Err(error.into()),
        };
        fs::write(folder.path().join("jwt"), key)?;
        fs::write(
            folder.path().join("rollcall.toml"),
            configuration(folder.path(), settings, key_file),
        )?;
        let run = Run::start(&place.binary, folder.path(), &roots).await?;
        Ok(Self {
            folder,
            binary: place.binary.clone(),
            signer,
            roots,
            run,
        })
    }

    /// Kills the server, as `kill -9` would, and starts it again on the same database.
    pub(crate) async fn crash_and_start(&mut self) -> Result<()> {
        self.run.child.kill()?;
        self.run.child.wait()?;
        self.run = Run::start(&self.binary, self.folder.path(), &self.roots).await?;
        Ok(())
    }

    pub(crate) fn target(&self) -> &Target {
        &self.run.target
    }

    pub(crate) fn process(&self) -> Process {
        Process::new(self.run.child.id())
    }

    /// From starting the process until its ready line.
    pub(crate) fn time_to_ready(&self) -> Duration {
        self.run.ready - self.run.started
    }

    pub(crate) fn ready_at(&self) -> Instant {
        self.run.ready
    }

    /// Waits for a line of the log with this message; returns when it came, and the line.
    pub(crate) async fn logged(&mut self, message: &str) -> Result<(Instant, Value)> {
        self.run.logged(message).await
    }

    /// A connect token for `uid` that may subscribe to, read, and send to everything.
    pub(crate) fn token(&self, uid: &str, umd: &Value) -> Result<String> {
        let expires = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() + 3_600;
        Ok(self.signer.sign(&json!({
            "exp": expires,
            "scope": "connect",
            "uid": uid,
            "umd": umd,
            "channels": {"*": {
                "subscribe": true,
                "historyStart": 0,
                "messages": {"*": {"publish": true, "broadcast": true}, "kept": {"store": -1},
                    "brief": {"store": KEPT_SECONDS}},
            }},
        }))?)
    }

    /// A connected client.
    pub(crate) async fn client(&self, uid: &str) -> Result<Client> {
        let token = self.token(uid, &json!({"name": uid}))?;
        Client::connect(self.target(), &token).await
    }

    /// What the server HTTP API says at this path.
    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        Ok(serde_json::from_str(
            &self.target().get(path, API_KEY).await?,
        )?)
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
        self.folder.path().join("data")
    }
}

impl Run {
    async fn start(binary: &Path, folder: &Path, roots: &RootCertStore) -> Result<Self> {
        let started = Instant::now();
        let mut child = Command::new(binary)
            .args(["serve", "--config", "rollcall.toml"])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", binary.display()))?;
        let stderr = child.stderr.take().ok_or("the server has no stderr")?;
        let (lines, log) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(|line| line.ok()) {
                let now = Instant::now();
                match serde_json::from_str::<Value>(&line) {
                    Ok(line) if line["level"] == "INFO" => drop(lines.send((now, line))),
                    _ => eprintln!("server: {line}"),
                }
            }
        });
        let unknown = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut run = Self {
            child,
            log,
            target: Target::new(unknown, roots.clone())?,
            started,
            ready: started,
        };
        let (ready, line) = run.logged("ready").await?;
        let address = line["listen"].as_str().ok_or("ready, but where?")?;
        run.target = Target::new(address.parse()?, roots.clone())?;
        run.ready = ready;
        Ok(run)
    }

    async fn logged(&mut self, message: &str) -> Result<(Instant, Value)> {
        let found = timeout(PATIENCE, async {
            loop {
                match self.log.recv().await {
                    Some((at, line)) if line["message"] == message => return Some((at, line)),
                    Some(_) => {}
                    None => return None,
                }
            }
        });
        match found.await {
            Ok(Some(found)) => Ok(found),
            Ok(None) => Err(format!("the server ended before it logged `{message}`").into()),
            Err(_) => Err(format!("the server did not log `{message}` in {PATIENCE:?}").into()),
        }
    }
}

/// A configuration that holds nobody back: the load generator is to find the server's limits, not the operator's.
fn configuration(folder: &Path, settings: &Settings, key_file: &str) -> String {
    let folder = folder.display();
    let algorithm = settings.algorithm;
    let boot_grace = settings.boot_grace.as_millis();
    let queue_bytes = settings.queue_bytes;
    let webhook = settings.webhook.as_ref().map_or(String::new(), |url| {
        // Any secret will do: the receiver does not look at signatures.
        format!("[[events.webhooks]]\nname = \"load\"\nurl = \"{url}\"\nsecret = \"whsec_{WEBHOOK_SECRET}\"\n")
    });
    format!(
        r#"listen = ["127.0.0.1:0"]
data_dir = "{folder}/data"

[tls]
certificate = "{folder}/cert.pem"
private_key = "{folder}/key.pem"

[[auth.keys]]
algorithm = "{algorithm}"
{key_file} = "{folder}/jwt"

[api]
keys = ["{API_KEY}"]

[presence]
boot_grace = "{boot_grace}ms"
fanout_bytes_per_second = "1024GiB"
fanout_burst_bytes = "1024GiB"

[connection]
max_connections = 18000
frames_per_second = 1000000
queue_bytes = {queue_bytes}

[log]
format = "json"

{webhook}"#
    )
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
