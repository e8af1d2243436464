//! `rollcall status`: how the server is doing.

use std::fmt::Write as _;

use serde_json::Value;

use crate::hub::MAX_DISK_WAIT;

use super::{Failure, admin, output};

/// Show how the server is doing
///
/// Its connections and channels, its database, the events that wait for back ends, and each webhook. It speaks to the
/// server on this machine by its admin socket (admin.socket in the configuration); whoever may open that file may ask.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    server: admin::Server,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let status: Value = admin::block_on(args.server.get_json("/status"))?;
    if args.json {
        output::say(&status.to_string())
    } else {
        output::say(&show(&status))
    }
}

fn show(status: &Value) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<12} {}", output::harmless(&value));
    };
    let plain = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    line(
        "rollcall",
        format!(
            "{}, process {}, up {}",
            plain(&status["version"]),
            status["pid"],
            duration(status["uptimeSeconds"].as_u64().unwrap_or_default())
        ),
    );
    for address in status["listen"].as_array().into_iter().flatten() {
        line("listens on", plain(address));
    }
    let connections = plain(&status["connections"]);
    let silent = &status["silent"];
    line(
        "connections",
        match silent.as_u64() {
            None | Some(0) => connections,
            Some(_) => format!("{connections}; {silent} gave no sign of life and were dropped"),
        },
    );
    line("channels", plain(&status["channels"]));
    line("roll call", plain(&status["rollCall"]));
    let size = |value: &Value| value.as_u64().map_or("unknown".to_owned(), bytes);
    line(
        "database",
        format!(
            "{}, {} free on its disk",
            size(&status["databaseBytes"]),
            size(&status["diskFreeBytes"])
        ),
    );
    line(
        "disk",
        match status["oldestWaitingSeconds"].as_f64() {
            Some(age) if age > MAX_DISK_WAIT.as_secs_f64() => {
                format!("BEHIND: a change has been waiting for {age:.0} s")
            }
            _ => "keeps up".to_owned(),
        },
    );
    let certificate = &status["certificate"];
    if certificate.is_object() {
        let says = plain(&certificate["says"]);
        line(
            "certificate",
            match certificate["state"].as_str() {
                Some("valid") => says,
                _ => format!("ATTENTION: {says}"),
            },
        );
    }
    let outbox = |name: &str| status["outbox"][name].as_u64().unwrap_or_default();
    line(
        "outbox",
        format!(
            "{} of {}, {} events kept",
            bytes(outbox("bytes")),
            bytes(outbox("maxBytes")),
            outbox("last").saturating_sub(outbox("trimmed")),
        ),
    );
    for webhook in status["webhooks"].as_array().into_iter().flatten() {
        let state = if webhook["gone"] == true {
            "GONE: its receiver answered 410, nothing is sent".to_owned()
        } else if webhook["failures"].as_u64() > Some(0) {
            format!(
                "FAILING: {} tries in a row, {}",
                webhook["failures"],
                plain(&webhook["lastError"])
            )
        } else {
            "well".to_owned()
        };
        line(
            "webhook",
            format!(
                "{} ({}), {} behind, {state}",
                plain(&webhook["name"]),
                plain(&webhook["host"]),
                webhook["behind"],
            ),
        );
    }
    for warning in status["warnings"].as_array().into_iter().flatten() {
        line("WARNING", plain(warning));
    }
    text.truncate(text.trim_end().len());
    text
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

fn bytes(n: u64) -> String {
    match n {
        0..1_024 => format!("{n} B"),
        1_024..1_048_576 => format!("{:.1} KiB", n as f64 / 1_024.0),
        _ => format!("{:.1} MiB", n as f64 / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_person_can_read_it() {
        let status = json!({
            "version": "1.2.3", "pid": 7, "uptimeSeconds": 90_000, "listen": ["0.0.0.0:8443"],
            "connections": 12, "channels": 3, "rollCall": "held", "databaseBytes": 5_000_000,
            "oldestWaitingSeconds": 7.3, "certificate": {"state": "expired", "says": "expired 3 days ago"},
            "diskFreeBytes": 70_000_000, "warnings": ["the disk has 66 MiB left\n"],
            "outbox": {"last": 50, "trimmed": 8, "bytes": 2_048, "maxBytes": 268_435_456, "kept": []},
            "webhooks": [
                {"name": "app", "host": "https://a.example", "behind": 0, "failures": 0, "gone": false},
                {"name": "old", "host": "https://b.example", "behind": 9, "failures": 4,
                 "lastError": "status 500\u{1b}", "gone": false},
            ],
        });
        assert_eq!(
            show(&status),
            "rollcall     1.2.3, process 7, up 1 d 1 h\n\
             listens on   0.0.0.0:8443\n\
             connections  12\n\
             channels     3\n\
             roll call    held\n\
             database     4.8 MiB, 66.8 MiB free on its disk\n\
             disk         BEHIND: a change has been waiting for 7 s\n\
             certificate  ATTENTION: expired 3 days ago\n\
             outbox       2.0 KiB of 256.0 MiB, 42 events kept\n\
             webhook      app (https://a.example), 0 behind, well\n\
             webhook      old (https://b.example), 9 behind, FAILING: 4 tries in a row, status 500\\u{1b}\n\
             WARNING      the disk has 66 MiB left\\n"
        );
    }
}
