//! The reference: every key, as a configuration file with comments.

use super::declare::{Key, Shown, Standing};

/// What stands above the keys.
const ABOUT: &str = r##"# Every key of Rollcall's configuration. A line that begins with "#" and a key shows the default (or, where there is
# none, an example); the lines without "#" have no default and must be there.
#
# Durations: "500ms", "10s", "5m", "2h", "1d". Sizes: bytes, or "64KiB", "32MiB", "1GiB". A relative path starts from
# the directory of this file, and ${CREDENTIALS_DIRECTORY} is expanded in paths. An environment variable overrides its
# key: ROLLCALL_DATA_DIR, ROLLCALL_PRESENCE__BOOT_GRACE; a flag overrides both.

"##;

/// The columns that comments begin in: the first one that is free.
const COLUMNS: [usize; 2] = [36, 48];

/// The reference of these keys.
pub(super) fn reference(keys: &[Key]) -> String {
    let mut out = ABOUT.to_owned();
    lines(&mut out, keys, "", "");
    out
}

/// The lines of one table, `off` in front of each.
fn lines(out: &mut String, keys: &[Key], table: &str, off: &str) {
    for Key {
        name,
        meaning,
        shown,
    } in keys
    {
        match shown {
            Shown::Value(toml, standing) => {
                let off = off_unless_wanted(*standing, off);
                line(out, &format!("{off}{name} = {toml}"), meaning);
            }
            Shown::Table(keys) => {
                line(out, &format!("\n[{table}{name}]"), meaning);
                lines(out, keys, &format!("{table}{name}."), off);
            }
            Shown::Tables(keys, standing) => {
                let off = off_unless_wanted(*standing, off);
                line(out, &format!("\n{off}[[{table}{name}]]"), meaning);
                lines(out, keys, &format!("{table}{name}."), off);
            }
        }
    }
}

fn off_unless_wanted(standing: Standing, off: &str) -> &str {
    match standing {
        Standing::Default | Standing::Example => "#",
        Standing::Usual | Standing::Required => off,
    }
}

fn line(out: &mut String, setting: &str, comment: &str) {
    let length = setting.trim_start().chars().count();
    let column = COLUMNS.into_iter().find(|column| *column > length);
    let column = column.unwrap_or(length + 2);
    let pad = " ".repeat(column - length);
    out.push_str(&format!("{setting}{pad}# {comment}\n"));
}

/// The dotted paths of these keys and of all within them.
pub(super) fn paths(keys: &[Key]) -> Vec<String> {
    let mut all = Vec::new();
    for Key { name, shown, .. } in keys {
        all.push((*name).to_owned());
        if let Shown::Table(keys) | Shown::Tables(keys, _) = shown {
            all.extend(paths(keys).iter().map(|path| format!("{name}.{path}")));
        }
    }
    all
}
