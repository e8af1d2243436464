//! `rollcall serve`: the server, and `--dev` for one that needs nothing.

use std::net::SocketAddr;
use std::path::Path;

use rustix::fs::Mode;
use rustix::process::umask;

use crate::config::{Config, Flag, reference};
use crate::server::{Sockets, Starts};
use crate::telemetry;

use super::configuration::{ConfigFile, sources};
use super::dev::{DEFAULT_DIR, DevDir, DevFolder, HOST};
use super::output::{self, shell_word};
use super::{Failure, check};

/// Run the server
///
/// Reads the configuration file, the environment (ROLLCALL_DATA_DIR, ROLLCALL_PRESENCE__BOOT_GRACE and so on) and these
/// flags, each overriding the one before; `rollcall check` says whether that is all right. SIGTERM or Ctrl-C stops the
/// server, and who is present stays known; SIGHUP makes it read its certificate again. A certificate that has expired, or
/// whose time has not come by the clock of this machine, is served with a warning, and replaced as soon as its file is.
///
/// Under systemd, a start that follows failed ones waits first: 2 s, twice as long each time, up to 60 s. How many have
/// failed is kept in the service's runtime directory, until a start has been ready for a minute or the service is stopped.
///
/// With --dev it needs nothing at all: it makes a certificate, a signing key and an API key in ./rollcall-dev, listens on
/// 127.0.0.1:8443 and prints what to try.
#[derive(Debug, clap::Args)]
#[command(after_long_help = format!("The configuration file:\n\n{}", reference()))]
pub(super) struct Args {
    #[command(flatten)]
    file: ConfigFile,
    /// Listen here instead; may be repeated
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Vec<String>,
    /// Keep the database here instead
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Run a server for development, which needs no configuration
    #[arg(long, conflicts_with = "config")]
    dev: bool,
    #[command(flatten)]
    dev_dir: DevDir,
}

impl Args {
    fn flags(&self) -> Vec<Flag> {
        let mut flags = Vec::new();
        if !self.listen.is_empty() {
            flags.push(Flag {
                name: "--listen",
                key: "listen",
                value: self.listen.join(","),
            });
        }
        if let Some(dir) = &self.data_dir {
            flags.push(Flag {
                name: "--data-dir",
                key: "data_dir",
                value: dir.clone(),
            });
        }
        flags
    }
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    if !args.dev && args.dev_dir.dev_dir != Path::new(DEFAULT_DIR) {
        return Err(Failure::Usage("--dev-dir goes with --dev".into()));
    }
    let starts = Starts::count();
    let folder = match args.dev {
        true => Some(DevFolder::open_or_make(&args.dev_dir.dev_dir)?),
        false => None,
    };
    let file = match &folder {
        Some(folder) => folder.config_file(),
        None => args.file.file(),
    };
    let config = Config::load(&sources(file, args.flags()))?;
    check::check_configuration(&config)?;
    telemetry::init(&config.log).map_err(Failure::failed)?;
    for warning in check::warnings(&config) {
        tracing::warn!("{warning}");
    }
    let sockets = Sockets::from_environment().map_err(|error| Failure::Usage(error.to_string()))?;
    let on_ready = move |addresses: &[SocketAddr]| {
        if let Some(folder) = &folder {
            welcome(folder, &args.dev_dir.dev_dir, addresses);
        }
    };
    // The files made from here on are the database, for its owner alone, and the sockets, which set their own modes.
    umask(Mode::from_raw_mode(0o077));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("no threads to run on: {error}")))?;
    runtime
        .block_on(crate::server::run(config, sockets, starts, on_ready))
        .map_err(|error| Failure::new(error.to_string(), error.is_for_a_person()))
}

/// Prints what a developer can try.
fn welcome(folder: &DevFolder, dev_dir: &Path, addresses: &[SocketAddr]) {
    let Some(address) = addresses.first() else {
        return;
    };
    let host = dev_host(*address);
    if let Err(error) = folder.remember_url(&format!("wss://{host}/v1")) {
        tracing::warn!(%error, "`rollcall join` will not find this server by itself");
    }
    let program = std::env::args().next().unwrap_or_else(|| "rollcall".into());
    let mut join = shell_word(&program);
    join.push_str(" join presence.lobby");
    if dev_dir != Path::new(DEFAULT_DIR) {
        join.push_str(&format!(
            " --dev-dir {}",
            shell_word(&dev_dir.display().to_string())
        ));
    }
    let text = instructions(
        &join,
        &host,
        &folder.certificate().display().to_string(),
        &folder.api_key().display().to_string(),
    );
    // The server runs on even if nobody reads this.
    let _ = output::say(&text);
}

fn instructions(join: &str, host: &str, certificate: &str, api_key: &str) -> String {
    let certificate = shell_word(certificate);
    format!(
        "Rollcall is ready on wss://{host}/v1, for development only: its keys are on this disk, unprotected.\n\
         \n\
         To see who is here, type in two other terminals, in this directory:\n\
         \n  {join} --uid Jim\
         \n  {join} --uid Dwight\n\
         \n\
         Whether it is alive:\n\
         \n  curl --cacert {certificate} https://{host}/healthz\n\
         \n\
         A token for a client of your own comes from `rollcall token --uid Jim --subscribe 'presence.*'`; the API key is \
         in {api_key}. Ctrl-C stops the server."
    )
}

/// The host and port for a client on this machine: by the certificate's name, where that leads to the address.
fn dev_host(address: SocketAddr) -> String {
    if address.ip().is_loopback() || address.ip().is_unspecified() {
        format!("{HOST}:{}", address.port())
    } else {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_address_goes_by_the_certificates_name() {
        for (address, host) in [
            ("127.0.0.1:8443", "localhost:8443"),
            ("[::1]:9000", "localhost:9000"),
            ("0.0.0.0:8443", "localhost:8443"),
            ("192.0.2.1:8443", "192.0.2.1:8443"),
        ] {
            assert_eq!(dev_host(address.parse().unwrap()), host);
        }
    }

    #[test]
    fn the_instructions_can_be_typed_as_they_stand() {
        let text = instructions(
            "./target/release/rollcall join presence.lobby",
            "localhost:8443",
            "rollcall-dev/tls-cert.pem",
            "rollcall-dev/api-key",
        );
        for line in [
            "  ./target/release/rollcall join presence.lobby --uid Jim",
            "  ./target/release/rollcall join presence.lobby --uid Dwight",
            "  curl --cacert rollcall-dev/tls-cert.pem https://localhost:8443/healthz",
        ] {
            assert!(text.lines().any(|l| l == line), "{text}");
        }
        assert!(text.contains("for development only"), "{text}");
    }
}
