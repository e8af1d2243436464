//! Why a command failed, and its exit code.

use std::fmt::Display;
use std::process::ExitCode;

use crate::config::ConfigError;
use crate::tls::SelfSignedError;

/// A command's failure. Its text says what, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Failed(String),
    /// It was used wrong, or found something that only a person can mend.
    #[error("{0}")]
    Usage(String),
    #[error("the configuration has {count}\n{0}", count = errors(.0.problems.len()))]
    Config(#[from] ConfigError),
    /// The reader of our output has gone, which is no fault.
    #[error("nobody reads the output any more")]
    OutputClosed,
}

impl Failure {
    pub(super) fn new(text: String, is_for_a_person: bool) -> Self {
        match is_for_a_person {
            true => Self::Usage(text),
            false => Self::Failed(text),
        }
    }

    /// [`Failure::Failed`], for `map_err`.
    pub(super) fn failed(error: impl Display) -> Self {
        Self::Failed(error.to_string())
    }

    /// 1 for what may pass by itself, 2 for what only a person can mend. systemd starts the service again after 1 and not
    /// after 2, so 2 is only for what is certain.
    pub(super) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Failed(_) | Self::OutputClosed => ExitCode::from(1),
            Self::Usage(_) | Self::Config(_) => ExitCode::from(2),
        }
    }
}

impl From<SelfSignedError> for Failure {
    fn from(error: SelfSignedError) -> Self {
        Self::new(
            error.to_string(),
            matches!(error, SelfSignedError::Hosts(_)),
        )
    }
}

fn errors(count: usize) -> String {
    match count {
        1 => "an error:".into(),
        n => format!("{n} errors:"),
    }
}
