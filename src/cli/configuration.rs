//! How a command finds the configuration.

use std::path::PathBuf;

use crate::config::{self, DEFAULT_FILE, ENV_PREFIX, Flag, Sources};

/// Which configuration file a command reads.
#[derive(Debug, clap::Args)]
pub(super) struct ConfigFile {
    /// The configuration file [default: /etc/rollcall/rollcall.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigFile {
    /// A named file must exist. The default file may be missing; then the environment must say everything.
    pub(super) fn file(&self) -> config::File {
        match &self.config {
            Some(path) => config::File::Required(path.clone()),
            None => config::File::IfPresent(DEFAULT_FILE.into()),
        }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.config.clone().unwrap_or_else(|| DEFAULT_FILE.into())
    }
}

/// A file, this process's environment, and flags.
pub(super) fn sources(file: config::File, flags: Vec<Flag>) -> Sources {
    let env = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| name.starts_with(ENV_PREFIX) || name == "CREDENTIALS_DIRECTORY")
        .map(|(name, value)| (name, value.to_string_lossy().into_owned()))
        .collect();
    Sources { file, env, flags }
}
