//! Rollcall's one program: parse the command line, run one command.

use std::process::ExitCode;

fn main() -> ExitCode {
    rollcall::main()
}
