//! The real binary, with a certificate, keys, a configuration and a database of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustls::RootCertStore;
use tempfile::TempDir;

use super::certificate::Certificate;
use super::{Process, Setup};

/// A server's folder, and its process while that runs.
pub(crate) struct Server {
    folder: TempDir,
    pub(crate) setup: Setup,
    roots: RootCertStore,
    pub(crate) run: Option<Run>,
}

/// A process that is ready.
pub(crate) struct Run {
    pub(crate) process: Process,
    address: SocketAddr,
}

impl Server {
    /// Everything but the process, which [`Server::run_again`] starts.
    pub(crate) fn prepare(setup: Setup) -> Self {
        let folder = match &setup.within {
            Some(folder) => TempDir::new_in(folder),
            None => TempDir::new(),
        };
        let folder = folder.unwrap();
        let made = Certificate::make(setup.valid);
        fs::write(folder.path().join("cert.pem"), made.certificate).unwrap();
        fs::write(folder.path().join("key.pem"), made.key).unwrap();
        Self {
            folder,
            setup,
            roots: made.roots,
            run: None,
        }
    }

    /// Starts it, and waits until it is ready.
    pub(crate) fn run_again(&mut self) {
        let process = Process::start(&mut self.command("serve"));
        let line = process.wait_for(" ready listen=");
        let address = line.split("listen=").nth(1).unwrap();
        let address = address.split_whitespace().next().unwrap().parse().unwrap();
        self.run = Some(Run { process, address });
    }

    /// A command of the binary that reads its configuration.
    pub(crate) fn command(&self, command: &str) -> Command {
        let config = self.folder().join("rollcall.toml");
        fs::write(&config, self.setup.config(self.folder())).unwrap();
        let binary = self.setup.binary.clone();
        let binary = binary.unwrap_or_else(|| env!("CARGO_BIN_EXE_rollcall").into());
        let mut words = self.setup.through.iter().map(Into::into).chain([binary]);
        let mut process = Command::new(words.next().unwrap());
        process.envs(self.setup.env.iter().map(|(name, value)| (name, value)));
        process.args(words).args([command, "--config"]).arg(config);
        process
    }

    /// What it has been started as last.
    pub(crate) fn run(&self) -> &Run {
        self.run.as_ref().expect("a running server")
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.run().address
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.run().process.id()
    }

    /// Its folder: certificate, configuration, data.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its database's folder.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder().join("data")
    }

    /// Whom its clients trust.
    pub(crate) fn roots(&self) -> &RootCertStore {
        &self.roots
    }

    /// Waits for a line of its log that has `text`.
    #[track_caller]
    pub(crate) fn wait_for_log(&self, text: &str) -> String {
        self.run().process.wait_for(text)
    }

    /// Its log so far.
    pub(crate) fn log(&self) -> String {
        self.run().process.text()
    }

    /// A power cut, as far as a process can have one, and the start after it.
    pub(crate) fn crash(&mut self) {
        self.run = None;
        self.run_again();
    }
}
