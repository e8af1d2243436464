//! `rollcall check`: finds what would stop a start, before the start.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD};

use crate::config::{Config, Durability, show_duration, show_size};
use crate::server;
use crate::store::disk_space;
use crate::store::{OpenError, Soundness, Store};
use crate::tls::read_validity;
use crate::world::clock;

use super::configuration::{ConfigFile, sources};
use super::{Failure, output};

/// Check the configuration as `serve` would read it
///
/// Reads file and environment, every key and certificate that they name, and the database, unless a server uses it. Prints
/// a summary, or everything that is wrong and what mends it. Changes nothing, and may be run beside a server.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    file: ConfigFile,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let config = Config::load(&sources(args.file.file(), Vec::new()))?;
    check_configuration(&config)?;
    usable(&config.data_dir).map_err(|reason| {
        Failure::Failed(format!("the server cannot start: data_dir: {reason}"))
    })?;
    let database = database(&config.data_dir)?;
    for warning in warnings(&config) {
        output::remark(&format!("rollcall: warning: {warning}"));
    }
    output::say(&summary(&args.file.path(), &config, &database))
}

/// Reads the files that the configuration names.
///
/// # Errors
/// When a start would fail. It is [`Failure::Failed`] where the problem may pass by itself: a renewal has replaced one of two
/// files, or the disk does not read.
pub(super) fn check_configuration(config: &Config) -> Result<(), Failure> {
    let wrong = server::problems(config);
    if wrong.is_empty() {
        return Ok(());
    }
    let texts: Vec<&str> = wrong.iter().map(|(text, _)| text.as_str()).collect();
    let text = format!("the configuration cannot be used\n{}", texts.join("\n"));
    let is_for_a_person = wrong.iter().any(|(_, is_for_a_person)| *is_for_a_person);
    Err(Failure::new(text, is_for_a_person))
}

/// The directory, or the nearest one above it that exists.
fn nearest(data_dir: &Path) -> PathBuf {
    let existing = data_dir.ancestors().find(|dir| dir.exists());
    existing.map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// Whether the directory, or the nearest one above it that exists, can be written to. Makes nothing.
fn usable(data_dir: &Path) -> Result<(), String> {
    let dir = &nearest(data_dir);
    if !dir.is_dir() {
        return Err(format!(
            "{} is not a directory; choose another place",
            dir.display()
        ));
    }
    let wanted = Access::WRITE_OK | Access::EXEC_OK;
    rustix::fs::accessat(CWD, dir, wanted, AtFlags::EACCESS).map_err(|error| {
        format!(
            "{} cannot be written to ({}); let the user that rollcall runs as own it, or check as that user",
            dir.display(),
            std::io::Error::from(error)
        )
    })
}

/// Reads the whole database, unless a server has it open, and says what was found.
fn database(data_dir: &Path) -> Result<String, Failure> {
    match Store::inspect(data_dir) {
        Ok(Soundness::None) => Ok("none yet; the first start makes it".into()),
        Ok(Soundness::Sound) => Ok("sound: all of it has been read".into()),
        Ok(Soundness::LogIsSound) => Ok("its log has been read, without memory for more".into()),
        Err(error @ OpenError::InUse { .. }) => Ok(format!("not looked at: {error}")),
        Err(error) => Err(Failure::new(error.to_string(), error.is_for_a_person())),
    }
}

/// What does not stop a start, but is unwise.
pub(super) fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    let key = &config.tls.private_key;
    if let Ok(metadata) = std::fs::metadata(key)
        && metadata.permissions().mode() & 0o004 != 0
    {
        warnings.push(format!(
            "everybody on this machine can read the private key {}; chmod 0600 or 0640 it",
            key.display()
        ));
    }
    let short = config.auth.keys.iter().filter(|key| key.is_short());
    warnings.extend(short.map(|key| {
        let id = key.id().map(|id| format!(" (kid {id})")).unwrap_or_default();
        format!(
            "the {} secret{id} of [[auth.keys]] is shorter than 32 bytes: whoever has a token that is signed with it can \
             find it by trying, and then sign tokens of his own; make a longer one with `rollcall keygen`",
            key.algorithm()
        )
    }));
    let certificate = &config.tls.certificate;
    if let Some(standing) = read_validity(certificate).map(|v| v.standing(clock::now_seconds()))
        && let Some(advice) = standing.advice()
    {
        warnings.push(format!(
            "the certificate {}: {standing}; {advice}",
            certificate.display()
        ));
    }
    if let Ok(space) = disk_space::look(&nearest(&config.data_dir)) {
        let free = show_size(space.free >> 20 << 20);
        if space.free < space.reserve() {
            warnings.push(format!(
                "the disk of data_dir has {free} left: the server stores no messages until there is room"
            ));
        } else if space.free < space.warn_below() {
            warnings.push(format!(
                "the disk of data_dir has {free} left: make room before it is full"
            ));
        }
    }
    warnings
}

fn summary(path: &Path, config: &Config, database: &str) -> String {
    let mut out = format!("{} is good:", path.display());
    let mut line = |name: &str, value: String| {
        let _ = write!(out, "\n  {name:<12} {value}");
    };
    let list = |items: Vec<String>| items.join(", ");
    line(
        "listen",
        list(config.listen.iter().map(ToString::to_string).collect()),
    );
    let durability = match config.store.durability {
        Durability::Commit => "on disk before anybody is told",
        Durability::Periodic => "on disk soon after",
    };
    line(
        "data_dir",
        format!("{} ({durability})", config.data_dir.display()),
    );
    line("database", database.to_owned());
    if let Ok(space) = disk_space::look(&nearest(&config.data_dir)) {
        line("free there", show_size(space.free >> 20 << 20));
    }
    let validity = read_validity(&config.tls.certificate);
    line(
        "certificate",
        format!(
            "{} ({}, and belongs to its key)",
            config.tls.certificate.display(),
            validity.map_or("says not for how long".to_owned(), |validity| validity
                .standing(clock::now_seconds())
                .to_string())
        ),
    );
    let keys = config.auth.keys.iter().map(|key| match key.id() {
        Some(id) => format!("{} (kid {id})", key.algorithm()),
        None => key.algorithm().to_string(),
    });
    line("token keys", list(keys.collect()));
    for (name, value) in [
        ("audience", &config.auth.audience),
        ("issuer", &config.auth.issuer),
    ] {
        line(
            name,
            value.clone().unwrap_or_else(|| "not looked at".into()),
        );
    }
    line(
        "API keys",
        match config.api.keys.len() {
            0 => "none: the server HTTP API refuses everybody".into(),
            n => n.to_string(),
        },
    );
    line(
        "limits",
        format!(
            "{} of data, uid of {} characters, umd of {}",
            show_size(config.limits.data_bytes as u64),
            config.limits.uid_characters,
            show_size(config.limits.umd_bytes as u64)
        ),
    );
    line(
        "presence",
        format!(
            "{} a channel, grace {} after a start, {} after a drop",
            show_size(config.presence.channel_bytes),
            show_duration(config.presence.boot_grace),
            show_duration(config.presence.disconnect_grace)
        ),
    );
    line(
        "connections",
        format!("at most {}", config.connection.max_connections),
    );
    let webhooks = config.events.webhooks.iter().map(|hook| hook.name.clone());
    line(
        "webhooks",
        match config.events.webhooks.len() {
            0 => "none".into(),
            _ => list(webhooks.collect()),
        },
    );
    out
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use crate::config::Sources;

    use super::super::dev::DevFolder;
    use super::*;

    fn dev_config(dir: &Path) -> Config {
        let folder = DevFolder::open_or_make(dir).unwrap();
        Config::load(&Sources {
            file: folder.config_file(),
            ..Sources::default()
        })
        .unwrap()
    }

    #[test]
    fn a_good_configuration_is_summed_up() {
        let temp = TempDir::new().unwrap();
        let config = dev_config(temp.path());
        check_configuration(&config).unwrap();
        assert_eq!(warnings(&config), Vec::<String>::new());
        let text = summary(Path::new("x.toml"), &config, "sound");
        assert!(text.starts_with("x.toml is good:\n"), "{text}");
        assert!(text.contains("127.0.0.1:8443"), "{text}");
        assert!(text.contains("ES256"), "{text}");
        let limits = "32KiB of data, uid of 128 characters, umd of 1KiB";
        assert!(text.contains(limits), "{text}");
        // Nothing was made.
        assert!(!config.data_dir.exists());
    }

    #[test]
    fn what_would_fail_later_is_found() {
        let temp = TempDir::new().unwrap();
        let mut config = dev_config(temp.path());
        config.tls.private_key = config.tls.certificate.clone();
        config.data_dir = temp.path().join("api-key").join("data");
        let wrong = check_configuration(&config).unwrap_err();
        assert!(matches!(wrong, Failure::Usage(_)), "{wrong}");
        let wrong = wrong.to_string();
        assert!(
            wrong.contains("tls: ") && wrong.contains("private key"),
            "{wrong}"
        );
        let wrong = usable(&config.data_dir).unwrap_err();
        assert!(wrong.contains("is not a directory"), "{wrong}");
    }
}
