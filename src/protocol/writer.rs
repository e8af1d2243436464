//! JSON as the server writes it: frames and events out. The keys come in the order of the protocol, and nothing is built
//! before it is written, which is why the text is written by hand and not derived from structs.

use std::fmt::Display;
use std::io::Write as _;

use super::Json;

/// Writes a document from its beginning to its end. Every method is given the text that comes before a value.
pub(super) struct Writer(Vec<u8>);

impl Writer {
    /// Behind `front` zeros, with room for `capacity` bytes.
    pub(super) fn behind(front: usize, capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(front + capacity);
        bytes.resize(front, 0);
        Self(bytes)
    }

    /// Text as it stands.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    /// A value that is JSON already.
    pub(super) fn json(&mut self, before: &str, json: &[u8]) -> &mut Self {
        self.text(before).0.extend_from_slice(json);
        self
    }

    /// A string, in the shortest spelling.
    pub(super) fn string(&mut self, before: &str, text: &str) -> &mut Self {
        // Writing a string into a Vec has no way to fail.
        let _ = serde_json::to_writer(&mut self.text(before).0, text);
        self
    }

    /// A string, or `null`.
    pub(super) fn optional(&mut self, before: &str, text: Option<&str>) -> &mut Self {
        match text {
            Some(text) => self.string(before, text),
            None => self.text(before).text("null"),
        }
    }

    /// What shows itself in letters and digits.
    pub(super) fn plain(&mut self, before: &str, value: impl Display) -> &mut Self {
        // Writing into a Vec has no way to fail.
        let _ = write!(self.text(before).0, "{value}");
        self
    }

    /// The fields of who somebody is.
    pub(super) fn who(&mut self, before: &str, uid: Option<&str>, umd: &Json) -> &mut Self {
        self.text(before)
            .optional(r#""uid":"#, uid)
            .json(r#","umd":"#, umd.as_str().as_bytes())
    }

    /// The bytes; it writes no more.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }
}
