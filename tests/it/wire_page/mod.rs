//! The page of the wire, `src/protocol/PROTOCOL.md`: every frame that it prints is played against a real server, and every
//! code, limit, event and route that it names is one of the program's.

mod compare;
mod play;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;
use rollcall::Algorithm;
use rollcall::Via;
use rollcall::{EventKind, Limits, RemovalReason, names};
use serde_json::{Map, Value, json};

use crate::support::{Client, Server, now, rows};

const PAGE: &str = include_str!("../../../src/protocol/PROTOCOL.md");

/// A fenced block of the page.
struct Block {
    /// What it is, as its fence says.
    kind: String,
    /// Its lines, each with its number in the page.
    lines: Vec<(usize, String)>,
}

fn blocks() -> Vec<Block> {
    let (mut blocks, mut open) = (Vec::new(), None::<Block>);
    for (n, line) in PAGE.lines().enumerate() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(kind), None) => {
                open = Some(Block {
                    kind: kind.to_owned(),
                    lines: Vec::new(),
                });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(block)) => block.lines.push((n + 1, line.to_owned())),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block does not end");
    blocks
}

/// What stands outside of blocks.
fn text() -> String {
    let mut inside = false;
    let lines = PAGE.lines().filter(|line| {
        let fence = line.starts_with("```");
        inside ^= fence;
        !inside && !fence
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The text of a section, blocks and all.
fn section(number: usize) -> &'static str {
    let start = PAGE
        .find(&format!("\n## {number} "))
        .unwrap_or_else(|| panic!("there is no section {number}"));
    let rest = &PAGE[start + 1..];
    &rest[..rest.find("\n## ").unwrap_or(rest.len())]
}

/// What is printed as code in a text.
fn codes(text: &str) -> BTreeSet<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// A file of the program.
fn source(path: impl AsRef<Path>) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}

fn sources(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, files);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            files.push(path);
        }
    }
}

#[tokio::test]
async fn every_dialogue_goes_as_the_page_says() {
    let mut played = 0;
    for block in blocks().iter().filter(|block| block.kind == "dialogue") {
        play::play(&block.lines).await;
        played += 1;
    }
    assert!(played >= 15, "{played}");
}

#[tokio::test]
async fn every_token_of_the_page_is_taken() {
    let server = Server::start();
    let mut taken = 0;
    for block in blocks().iter().filter(|block| block.kind == "claims") {
        for (n, line) in &block.lines {
            let mut claims: Map<String, Value> =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("line {n}: {error}"));
            claims.insert("exp".to_owned(), json!(now() + 600));
            let token = server.key().sign(&Value::Object(claims)).unwrap();
            let client = Client::try_connect(&server, &token).await;
            if let Err(refused) = client {
                panic!("line {n}: {refused:?}");
            }
            taken += 1;
        }
    }
    assert!(taken > 0);
}

#[test]
fn no_frame_stands_outside_of_what_is_played() {
    for block in blocks() {
        assert!(
            ["dialogue", "claims"].contains(&&*block.kind),
            "a block of another kind is not checked: {:?}",
            block.kind
        );
    }
    assert!(
        !text().contains("\"event\":"),
        "a frame stands in the text, where nobody checks it"
    );
}

#[test]
fn the_errors_of_the_page_are_those_of_the_program() {
    let mut files = vec![
        PathBuf::from("protocol/error.rs"),
        PathBuf::from("auth/error.rs"),
        PathBuf::from("hub/admission.rs"),
    ];
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    sources(&root.join("server"), &mut files);
    let code = Regex::new(r#""([A-Z]+(?:_[A-Z]+)+)""#).unwrap();
    // Of the environment, which has names like those of errors.
    let environment = |name: &str| {
        let prefixes = [
            "CARGO_",
            "LISTEN_",
            "MEMORY_",
            "NOTIFY_",
            "RUNTIME_",
            "SYSTEMD_",
            "WATCHDOG_",
        ];
        prefixes.iter().any(|prefix| name.starts_with(prefix))
    };
    let mut written = BTreeSet::new();
    for file in files {
        let text = source(file);
        let found = code.captures_iter(&text).map(|found| found[1].to_owned());
        written.extend(found.filter(|name| !environment(name)));
    }
    assert!(written.len() > 40, "{written:?}");
    let code = Regex::new("^[A-Z]+(_[A-Z]+)+$").unwrap();
    let tables: String = section(14)
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.split('|').nth(1).unwrap_or_default())
        .collect();
    let told: BTreeSet<String> = codes(&tables)
        .into_iter()
        .filter(|text| code.is_match(text))
        .map(str::to_owned)
        .collect();
    let missing: Vec<_> = written.difference(&told).collect();
    let unknown: Vec<_> = told.difference(&written).collect();
    assert!(missing.is_empty(), "the page does not tell of {missing:?}");
    assert!(unknown.is_empty(), "the program does not know {unknown:?}");
}

#[test]
fn the_closes_of_the_page_are_those_of_the_program() {
    let close = source("protocol/close.rs");
    let close = close.split("fn text").collect::<Vec<_>>();
    let told = section(14);
    let reason = Regex::new(r#"=> "([^"]+)""#).unwrap();
    let mut reasons = BTreeSet::new();
    for found in reason.captures_iter(close[1]) {
        assert!(told.contains(&format!("`{}`", &found[1])), "{}", &found[1]);
        reasons.insert(found[1].to_owned());
    }
    let code = Regex::new(r"=> (\d{4})").unwrap();
    for found in code.captures_iter(close[0]) {
        assert!(
            told.contains(&format!("\n| {} |", &found[1])),
            "{}",
            &found[1]
        );
    }
    let table = told.split("Close codes:").nth(1).unwrap();
    for text in codes(table) {
        assert!(reasons.contains(text), "{text:?} is no reason to close");
    }
}

#[test]
fn the_limits_of_the_page_are_those_of_the_program() {
    let reference = rollcall::reference();
    let mut defaults = std::collections::BTreeMap::new();
    let mut part = "";
    for line in reference.lines() {
        if let Some(name) = line.strip_prefix('[') {
            part = name.split(']').next().unwrap();
        } else if let Some((key, value)) = line.trim_start_matches('#').split_once(" = ") {
            let value = value
                .split("  ")
                .next()
                .unwrap()
                .split(" #")
                .next()
                .unwrap();
            defaults.insert(format!("{part}.{}", key.trim()), value.trim().to_owned());
        }
    }
    let rows = section(15).lines().filter(|line| line.starts_with("| "));
    let mut checked = 0;
    for row in rows.skip(2) {
        let code: Vec<&str> = row.split('`').skip(1).step_by(2).collect();
        let [.., key, value] = code.as_slice() else {
            panic!("{row}");
        };
        assert_eq!(
            defaults.get(*key).map(String::as_str),
            Some(*value),
            "{key}"
        );
        checked += 1;
    }
    assert!(checked > 10);
    // Every key that the page names is one.
    let key = Regex::new(r"^(connection|presence|limits|events|store)\.[a-z_]+$").unwrap();
    let text = text();
    for name in codes(&text).into_iter().filter(|code| key.is_match(code)) {
        assert!(defaults.contains_key(name), "there is no key {name}");
    }
    // And the numbers in the text are the limits.
    let limits = Limits::default();
    let data = format!(
        "{},{:03} bytes",
        limits.data_bytes / 1000,
        limits.data_bytes % 1000
    );
    for (number, text) in rows! {
        2 => format!("at most {} characters", limits.uid_characters);
        2 => format!("at most {},{:03} bytes", limits.umd_bytes / 1000, limits.umd_bytes % 1000);
        3 => format!("1 to {} characters", names::MAX_CHANNEL_CHARS);
        5 => format!("1 to {} characters", names::MAX_EVENT_CHARS);
        5 => data;
        9 => format!("1 to {} bytes", names::MAX_REACTION_BYTES);
    } {
        // Wherever the lines break.
        let words: Vec<_> = section(number).split_whitespace().collect();
        assert!(
            words.join(" ").contains(&text),
            "section {number}: {text:?}"
        );
    }
}

#[test]
fn the_names_of_the_page_are_those_of_the_program() {
    let told = codes(section(13));
    for kind in EventKind::ALL {
        assert!(told.contains(kind.name()), "{}", kind.name());
    }
    for reason in [
        RemovalReason::Unsubscribed,
        RemovalReason::Disconnected,
        RemovalReason::Reconciled,
    ] {
        assert!(told.contains(reason.name()), "{}", reason.name());
    }
    for via in [Via::ClientWebSocket, Via::ClientHttp, Via::ServerHttp] {
        assert!(told.contains(via.name()), "{}", via.name());
    }
    for algorithm in Algorithm::ALL {
        let name = algorithm.to_string();
        assert!(section(2).contains(&name), "{name}");
    }
    let api: Value = serde_json::from_str(&source("server/openapi.json")).unwrap();
    for path in api["paths"].as_object().unwrap().keys() {
        let name = path.rsplit('/').next().unwrap();
        let is_told = match path.strip_prefix("/connection/") {
            Some(verb) => codes(section(11)).contains(verb),
            None => PAGE.contains(path),
        };
        assert!(is_told, "{path} ({name})");
    }
}

#[test]
fn every_section_that_the_program_names_is_there() {
    let mut files = Vec::new();
    sources(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut files,
    );
    let named = Regex::new(r"\(sections? ([0-9, to]+(?:and [0-9]+)?)").unwrap();
    let mut sections = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(file).unwrap();
        for found in named.captures_iter(&text) {
            let numbers = found[1].split(|c: char| !c.is_ascii_digit());
            sections.extend(numbers.filter_map(|number| number.parse::<usize>().ok()));
        }
    }
    assert!(sections.len() > 8, "{sections:?}");
    for number in sections {
        section(number);
    }
}
