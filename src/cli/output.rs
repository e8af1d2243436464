//! Printing for people and scripts: results to stdout, the rest to stderr.

use std::io::{self, Write as _};

use super::Failure;

/// Prints a line (or several) to stdout.
pub(super) fn say(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")
        .and_then(|()| out.flush())
        .map_err(|error| unwritable(&error))
}

/// Prints a line to stderr, and ignores a failure.
pub(super) fn remark(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Prints why a command failed.
pub(super) fn complain(failure: &Failure) {
    if !matches!(failure, Failure::OutputClosed) {
        remark(&format!("rollcall: {failure}"));
    }
}

/// The failure for an error of writing to stdout.
pub(super) fn unwritable(error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        Failure::OutputClosed
    } else {
        Failure::Failed(format!("the output cannot be written: {error}"))
    }
}

/// Escapes every character that could move the cursor, or hide or reorder what is shown.
pub(super) fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let reorders = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || reorders || matches!(c, '\u{2028}' | '\u{2029}') {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Quotes a word for a POSIX shell, where it needs that.
pub(super) fn shell_word(word: &str) -> String {
    let plain = !word.is_empty()
        && word
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c));
    if plain {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_shown_can_move_the_cursor() {
        assert_eq!(harmless("Jörg 😀"), "Jörg 😀");
        assert_eq!(
            harmless("a\u{1b}[2Jb\r\nc\u{202e}"),
            "a\\u{1b}[2Jb\\r\\nc\\u{202e}"
        );
    }

    #[test]
    fn words_are_quoted_where_a_shell_needs_it() {
        assert_eq!(shell_word("./target/rollcall"), "./target/rollcall");
        assert_eq!(shell_word("/my dir/rollcall"), "'/my dir/rollcall'");
        assert_eq!(shell_word("it's"), r"'it'\''s'");
        assert_eq!(shell_word(""), "''");
    }
}
