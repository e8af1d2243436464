//! The development server, by what the README promises of it: one command in an empty folder, and two lines that it prints
//! to type in two other terminals.

use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::Process;

/// `rollcall serve --dev`, on a free port.
fn serve(folder: &Path) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollcall"));
    command.args(["serve", "--dev", "--listen", "127.0.0.1:0"]);
    Process::start(command.current_dir(folder))
}

/// What is typed in a terminal, in the same folder.
fn terminal(folder: &Path, line: &str) -> Process {
    let mut shell = Command::new("sh");
    // The shell becomes the command, so that a Ctrl-C reaches that.
    shell.args(["-c", &format!("exec {line}")]);
    Process::start(shell.current_dir(folder))
}

/// The lines that a server tells to type.
fn printed(server: &Process) -> Vec<String> {
    server.wait_for("Ctrl-C stops the server");
    let text = server.text();
    let lines = text.lines().map(str::trim);
    let joins = lines.filter(|line| line.contains(" join "));
    joins.map(str::to_owned).collect()
}

/// Ctrl-C, or what it hears when its terminal is closed; after either a process must end well.
fn end(process: Process, signal: Signal) {
    process.signal(signal);
    let (status, said) = process.ended();
    assert!(status.success(), "{status}\n{said}");
}

#[test]
fn two_who_type_what_the_development_server_prints_see_each_other_come_and_go() {
    let folder = TempDir::new().unwrap();
    let server = serve(folder.path());
    let [jims, dwights] = &printed(&server)[..] else {
        panic!("two lines to type are printed:\n{}", server.text());
    };
    let mut jim = terminal(folder.path(), jims);
    jim.wait_for("= Jim joined presence.lobby (1 here: Jim)");
    let dwight = terminal(folder.path(), dwights);
    dwight.wait_for("= Dwight joined presence.lobby (2 here: Jim, Dwight)");
    jim.wait_for("+ Dwight came (2 here: Jim, Dwight)");
    jim.type_line("Bears. Beets.");
    dwight.wait_for("> Jim, chat: Bears. Beets.");
    end(dwight, Signal::INT);
    jim.wait_for("- Dwight left (1 here: Jim)");

    // Who closes the terminal leaves, too.
    let dwight = terminal(folder.path(), dwights);
    dwight.wait_for("= Dwight joined presence.lobby (2 here: Jim, Dwight)");
    end(jim, Signal::HUP);
    dwight.wait_for("- Jim left (1 here: Dwight)");
    end(server, Signal::INT);
    dwight.wait_for("trying again");
}

#[test]
fn a_development_server_that_starts_again_knows_its_clients() {
    let folder = TempDir::new().unwrap();
    let server = serve(folder.path());
    let lines = printed(&server);
    let keys = |name: &str| std::fs::read(folder.path().join("rollcall-dev").join(name)).unwrap();
    let before = ["tls-cert.pem", "jwt-public.pem", "api-key"].map(keys);
    end(server, Signal::INT);
    let server = serve(folder.path());
    assert_eq!(printed(&server), lines);
    assert_eq!(
        ["tls-cert.pem", "jwt-public.pem", "api-key"].map(keys),
        before
    );
    let jim = terminal(folder.path(), &lines[0]);
    jim.wait_for("= Jim joined presence.lobby (1 here: Jim)");
}
