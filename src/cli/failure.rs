//! Why a command did not do what it was asked to, and the exit code that says so.

use std::process::ExitCode;

use crate::config::ConfigError;

/// A command's failure. Its text says what, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It was used right, and failed.
    #[error("{0}")]
    Failed(String),
    /// It was used wrong.
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
    /// 1 for what failed, 2 for wrong usage or configuration.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Failed(_) | Self::OutputClosed => ExitCode::from(1),
            Self::Usage(_) | Self::Config(_) => ExitCode::from(2),
        }
    }
}

fn errors(count: usize) -> String {
    match count {
        1 => "an error:".into(),
        n => format!("{n} errors:"),
    }
}
