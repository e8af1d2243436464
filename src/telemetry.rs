//! Logs: one line an event, on stderr, for a person, for the systemd journal or for a machine.
//!
//! In the journal a line begins with its sd-daemon priority (`<3>` for an error), and journald adds the time. Each line of a
//! message of several lines is an entry with the same priority.

use std::fmt;
use std::io::{self, IsTerminal as _};
use std::os::unix::fs::MetadataExt as _;

use tracing::{Event, Level, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

use crate::config::{Log, LogFormat, LogLevel};

#[derive(Debug, thiserror::Error)]
#[error("the log was set up twice")]
pub(crate) struct AlreadyInitialised;

/// Sends the log of this process to stderr. Can be called once.
pub(crate) fn init(log: &Log) -> Result<(), AlreadyInitialised> {
    let surroundings = Surroundings {
        journal: stderr_is_journal(),
        terminal: io::stderr().is_terminal(),
    };
    let subscriber = subscriber(log, surroundings, io::stderr);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| AlreadyInitialised)
}

/// What stderr leads to.
#[derive(Debug, Clone, Copy)]
struct Surroundings {
    journal: bool,
    terminal: bool,
}

fn subscriber<W>(
    log: &Log,
    surroundings: Surroundings,
    writer: W,
) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let level = match log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let builder = tracing_subscriber::fmt()
        .with_max_level(level)
        // The library would print them to stderr too, and panic where that fails. A closed stderr must not end the server.
        .log_internal_errors(false)
        .with_writer(writer);
    let format = match log.format {
        LogFormat::Auto if surroundings.journal => LogFormat::Journal,
        LogFormat::Auto => LogFormat::Text,
        chosen => chosen,
    };
    match format {
        LogFormat::Journal => Box::new(
            builder
                .with_ansi(false)
                .event_format(JournalFormat)
                .finish(),
        ),
        LogFormat::Json => Box::new(builder.json().flatten_event(true).finish()),
        LogFormat::Text | LogFormat::Auto => Box::new(
            builder
                .with_ansi(surroundings.terminal && !surroundings.journal)
                .finish(),
        ),
    }
}

/// Whether stderr is the stream that systemd connected to the journal. A child whose stderr leads elsewhere inherits
/// `JOURNAL_STREAM` too, so its device and inode are compared.
fn stderr_is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    std::fs::metadata("/proc/self/fd/2").is_ok_and(|stderr| is_stream(&stream, &stderr))
}

fn is_stream(stream: &str, file: &std::fs::Metadata) -> bool {
    stream.split_once(':').is_some_and(|(device, inode)| {
        device.parse() == Ok(file.dev()) && inode.parse() == Ok(file.ino())
    })
}

/// `<6>rollcall::server: listening address=0.0.0.0:8443`
struct JournalFormat;

impl<S, N> FormatEvent<S, N> for JournalFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut text = format!("{}: ", event.metadata().target());
        context
            .field_format()
            .format_fields(Writer::new(&mut text), event)?;
        let priority = priority(*event.metadata().level());
        for line in text.lines() {
            writeln!(writer, "<{priority}>{line}")?;
        }
        Ok(())
    }
}

/// The syslog priority.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What a warning and a debug message look like.
    fn logged(format: LogFormat, level: LogLevel, journal: bool, terminal: bool) -> String {
        let memory = Memory::default();
        let log = Log { level, format };
        let writer = memory.clone();
        let subscriber = subscriber(&log, Surroundings { journal, terminal }, move || {
            writer.clone()
        });
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(target: "rollcall::server", address = "[::]:1", "first\nsecond");
            tracing::debug!(target: "rollcall::server", "detail");
        });
        String::from_utf8(memory.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn journal_lines_have_a_priority_and_no_time() {
        for (format, journal) in [(LogFormat::Auto, true), (LogFormat::Journal, false)] {
            assert_eq!(
                logged(format, LogLevel::Debug, journal, false),
                "<4>rollcall::server: first\n<4>second address=\"[::]:1\"\n<7>rollcall::server: detail\n"
            );
        }
    }

    #[test]
    fn the_level_holds_back_what_is_less_important() {
        let text = logged(LogFormat::Journal, LogLevel::Info, false, false);
        assert!(text.contains("first") && !text.contains("detail"), "{text}");
        assert_eq!(logged(LogFormat::Text, LogLevel::Error, false, false), "");
    }

    #[test]
    fn json_is_one_object_a_line() {
        let text = logged(LogFormat::Json, LogLevel::Info, true, true);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["level"], "WARN");
        assert_eq!(value["target"], "rollcall::server");
        assert_eq!(value["address"], "[::]:1");
        assert_eq!(value["message"], "first\nsecond");
        assert!(value["timestamp"].is_string());
    }

    #[test]
    fn text_is_coloured_on_a_terminal_only() {
        let plain = logged(LogFormat::Auto, LogLevel::Info, false, false);
        assert!(plain.contains(" WARN rollcall::server: first"), "{plain}");
        assert!(!plain.contains('\u{1b}'), "{plain}");
        let coloured = logged(LogFormat::Auto, LogLevel::Info, false, true);
        assert!(coloured.contains('\u{1b}'), "{coloured}");
    }

    #[test]
    fn the_journal_is_told_by_device_and_inode() {
        let file = tempfile::tempfile().unwrap().metadata().unwrap();
        assert!(is_stream(&format!("{}:{}", file.dev(), file.ino()), &file));
        assert!(!is_stream(
            &format!("{}:{}", file.dev(), file.ino() + 1),
            &file
        ));
        assert!(!is_stream("", &file));
    }
}
