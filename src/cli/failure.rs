//! Why a command did not do what it was asked to, and the exit code that says so.

use std::process::ExitCode;

use crate::config::ConfigError;
use crate::tls::SelfSignedError;

/// A command's failure. Its text says what, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It was used right, and failed.
    #[error("{0}")]
    Failed(String),
    /// It was used wrong, or finds something that only a person can mend.
    #[error("{0}")]
    Usage(String),
    /// The configuration is wrong.
    #[error("the configuration has {count}\n{0}", count = errors(.0.problems.len()))]
    Config(#[from] ConfigError),
    /// Whoever read our output has gone, which is no one's fault.
    #[error("nobody reads the output any more")]
    OutputClosed,
}

impl Failure {
    /// 1 for what failed and may pass, 2 for what only a person can mend. A service is started again after 1 and not after
    /// 2, so 2 is only for what is certain.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Failed(_) | Self::OutputClosed => ExitCode::from(1),
            Self::Usage(_) | Self::Config(_) => ExitCode::from(2),
        }
    }
}

impl From<SelfSignedError> for Failure {
    fn from(error: SelfSignedError) -> Self {
        let text = error.to_string();
        match error {
            SelfSignedError::Hosts(_) => Self::Usage(text),
            SelfSignedError::Made(_) => Self::Failed(text),
        }
    }
}

fn errors(count: usize) -> String {
    match count {
        1 => "an error:".into(),
        n => format!("{n} errors:"),
    }
}
