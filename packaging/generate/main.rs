//! Makes what the Debian package holds besides the program, from the program's own definitions: manual pages, shell
//! completions, the configuration file, and the notices of the libraries in it. Its one argument is the directory to put
//! them into.

mod configuration;
mod notices;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::args_os()
        .nth(1)
        .map(PathBuf::from)
        .ok_or("name the directory to put the files into")?;
    fs::create_dir_all(dir.join("man"))?;
    manual(&dir.join("man"))?;
    for (shell, name) in [
        (Shell::Bash, "rollcall.bash"),
        (Shell::Zsh, "_rollcall"),
        (Shell::Fish, "rollcall.fish"),
    ] {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut rollcall::command(), "rollcall", &mut script);
        fs::write(dir.join(name), script)?;
    }
    fs::write(dir.join("rollcall.toml"), configuration::file()?)?;
    fs::write(dir.join("third-party-notices"), notices::text()?)?;
    Ok(())
}

/// A page for the program, one for each of its commands, and one for its configuration file.
fn manual(dir: &Path) -> Result<(), Box<dyn Error>> {
    let command = rollcall::command()
        // The terminal shows the whole configuration file here; the manual has a page for it.
        .mut_subcommand("serve", |serve| {
            serve.after_long_help("The configuration file is described in rollcall.toml(5).")
        });
    for page in pages(command) {
        let name = page.get_filename();
        let mut text = Vec::new();
        page.render(&mut text)?;
        let text = String::from_utf8(text)?.replace(".SH EXTRA", ".SH NOTES");
        fs::write(dir.join(name), text)?;
    }
    fs::write(dir.join("rollcall.toml.5"), configuration::page())?;
    Ok(())
}

fn pages(command: Command) -> Vec<Man> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    gather(command, &mut pages);
    pages
}

fn gather(command: Command, pages: &mut Vec<Man>) {
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        gather(sub.clone(), pages);
    }
    pages.push(
        Man::new(command)
            .manual("Rollcall")
            .source(concat!("rollcall ", env!("CARGO_PKG_VERSION"))),
    );
}
