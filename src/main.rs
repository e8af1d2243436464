//! `rollcall serve --config FILE`, until the command line is whole.

use std::process::ExitCode;

use rollcall::config::{Config, File, Sources};
use rollcall::{server, telemetry};

fn main() -> ExitCode {
    let file = std::env::args().nth(3).unwrap_or_default();
    let sources = Sources {
        file: File::Required(file.into()),
        ..Sources::default()
    };
    let config = match Config::load(&sources) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    telemetry::init(&config.log);
    let Ok(runtime) = tokio::runtime::Runtime::new() else {
        return ExitCode::FAILURE;
    };
    match runtime.block_on(server::run(config, |_| {})) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
