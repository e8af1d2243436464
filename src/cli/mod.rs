//! The command line: one file per command. A command takes its parsed arguments, and returns or fails with a
//! [`Failure`], which knows its exit code. `configuration` finds the configuration, `dev` keeps the folder of the
//! development server, `files` writes key files, `output` prints, `admin` reaches a running server.
//!
//! A new command is a file with an `Args` and a `run`, and a line each in [`Command`] and [`Command::run`].

mod admin;
mod check;
mod configuration;
mod dev;
mod events;
mod failure;
mod files;
mod join;
mod keygen;
mod output;
mod serve;
mod status;
mod token;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use failure::Failure;

/// Rollcall: a presence server in one binary. It knows who is in the room, tells everybody who comes and goes, and
/// still knows after a restart, a crash or a power cut.
#[derive(Debug, Parser)]
#[command(
    name = "rollcall",
    version,
    arg_required_else_help = true,
    max_term_width = 110,
    after_help = "To see it work, type `rollcall serve --dev` and do what it says.\n\n\
                  Exit codes: 0 done, 1 failed (trying again may help), 2 wrong usage or configuration, or anything \
                  else that only a person can mend."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Args),
    Check(check::Args),
    Token(token::Args),
    Keygen(keygen::Args),
    Join(join::Args),
    Status(status::Args),
    Events(events::Args),
}

impl Command {
    fn run(self) -> Result<(), Failure> {
        match self {
            Self::Serve(args) => serve::run(args),
            Self::Check(args) => check::run(&args),
            Self::Token(args) => token::run(&args),
            Self::Keygen(args) => keygen::run(&args),
            Self::Join(args) => join::run(args),
            Self::Status(args) => status::run(&args),
            Self::Events(args) => events::run(&args),
        }
    }
}

/// The definition of the command line, for manual pages and completions.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Parses this process's command line and runs the command. Wrong usage ends the process at once, with code 2.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::complain(&failure);
            failure.exit_code()
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use clap::error::ErrorKind;

    use super::*;

    pub(super) fn parse(line: &[&str]) -> Result<Command, clap::Error> {
        Cli::try_parse_from(std::iter::once("rollcall").chain(line.iter().copied()))
            .map(|cli| cli.command)
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_contract_parses() {
        for line in [
            &["serve"][..],
            &[
                "serve",
                "--config",
                "x.toml",
                "--listen",
                "0.0.0.0:1",
                "--listen",
                "[::1]:2",
                "--data-dir",
                "d",
            ],
            &["serve", "--dev"],
            &["serve", "--dev", "--listen", "127.0.0.1:9000"],
            &["check", "--config", "x.toml"],
            &[
                "token",
                "--uid",
                "Jim",
                "--umd",
                r#"{"name":"Jim"}"#,
                "--subscribe",
                "presence.*",
            ],
            &[
                "token",
                "--uid",
                "Jim",
                "--subscribe",
                "a",
                "--subscribe",
                "b",
                "--publish",
                "chat",
                "--publish",
                "x",
            ],
            &[
                "token",
                "--uid",
                "Jim",
                "--channels",
                r#"{"a":{"subscribe":true}}"#,
                "--scope",
                "connect",
                "--ttl",
                "1h",
            ],
            &[
                "token",
                "--uid",
                "Jim",
                "--key",
                "k.pem",
                "--algorithm",
                "ES256",
                "--kid",
                "1",
            ],
            &[
                "token",
                "--uid",
                "Jim",
                "--keep-alive",
                "--heartbeat-timeout",
                "10",
                "--single-use",
            ],
            &["keygen", "--algorithm", "ES256", "--out", "d"],
            &[
                "keygen",
                "--tls",
                "--host",
                "a.example",
                "--host",
                "10.0.0.1",
            ],
            &["keygen", "--tls", "--host", "a.example", "10.0.0.1"],
            &["keygen", "--api-key"],
            &["join", "presence.lobby", "--uid", "Jim"],
            &["status", "--json"],
            &["status", "--socket", "/run/rollcall/admin.sock"],
            &[
                "events",
                "--follow",
                "--types",
                "memberAdded,memberRemoved",
                "--json",
            ],
            &["events", "--config", "x.toml", "--after", "5f0c9a31-42"],
            &[
                "join",
                "presence.lobby",
                "--uid",
                "Jim",
                "--umd",
                "null",
                "--url",
                "wss://h:1",
                "--token",
                "t",
                "--ca",
                "f",
                "--raw",
            ],
        ] {
            if let Err(error) = parse(line) {
                panic!("{line:?}: {error}");
            }
        }
    }

    #[test]
    fn wrong_usage_is_refused_with_code_2() {
        for (line, kind) in [
            (&[][..], ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand),
            (&["frobnicate"], ErrorKind::InvalidSubcommand),
            (
                &["serve", "--dev", "--config", "x"],
                ErrorKind::ArgumentConflict,
            ),
            (&["serve", "--dve"], ErrorKind::UnknownArgument),
            (&["token", "--umd", "{"], ErrorKind::ValueValidation),
            (&["token", "--uid", ""], ErrorKind::ValueValidation),
            (&["token", "--ttl", "soon"], ErrorKind::ValueValidation),
            (&["token", "--ttl", "0s"], ErrorKind::ValueValidation),
            (
                &["token", "--heartbeat-timeout", "4"],
                ErrorKind::ValueValidation,
            ),
            (
                &["token", "--algorithm", "none"],
                ErrorKind::ValueValidation,
            ),
            (&["keygen", "--tls"], ErrorKind::MissingRequiredArgument),
            (
                &["keygen", "--tls", "--host", "a", "--api-key"],
                ErrorKind::ArgumentConflict,
            ),
            (&["join"], ErrorKind::MissingRequiredArgument),
            (
                &["join", "presence.lobby"],
                ErrorKind::MissingRequiredArgument,
            ),
            (
                &[
                    "join",
                    "presence.lobby",
                    "--uid",
                    "Jim",
                    "--url",
                    "wss://h:1",
                ],
                ErrorKind::MissingRequiredArgument,
            ),
        ] {
            let error = parse(line).expect_err("wrong usage");
            assert_eq!(error.kind(), kind, "{line:?}: {error}");
            assert_eq!(error.exit_code(), 2, "{line:?}");
        }
    }
}
