//! The document that describes both HTTP APIs, for programs and people, with the limits that are configured.

use super::body;
use crate::protocol::Limits;

/// It names the protocol's own limits.
const DOCUMENT: &str = include_str!("openapi.json");

/// The document for these limits.
pub(super) fn document(limits: &Limits) -> String {
    let named = |limits: &Limits| {
        [
            bytes(limits.data_bytes),
            bytes(limits.umd_bytes),
            bytes(body::max_bytes(limits)),
            uid_schema(limits.uid_characters),
        ]
    };
    // In two steps, so that what has been put in is not taken for what is yet to be replaced.
    let place = |n: usize| format!("\0{n}\0");
    let own = named(&Limits::default()).into_iter().enumerate();
    let marked = own.fold(DOCUMENT.to_owned(), |text, (n, own)| {
        text.replace(&own, &place(n))
    });
    let configured = named(limits).into_iter().enumerate();
    configured.fold(marked, |text, (n, configured)| {
        text.replace(&place(n), &configured)
    })
}

/// As the document writes a number of bytes, and no other number.
fn bytes(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + 8);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out + " bytes"
}

/// As the document writes what a uid is.
fn uid_schema(characters: usize) -> String {
    format!(r#""Uid": {{"type": "string", "minLength": 1, "maxLength": {characters}}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn the_defaults_are_what_the_file_says() {
        assert_eq!(document(&Limits::default()), DOCUMENT);
    }

    #[test]
    fn what_is_configured_takes_the_place_of_every_default() {
        let limits = Limits {
            // As much as the default of another, which must not be replaced again.
            data_bytes: 1_024,
            uid_characters: 200,
            umd_bytes: 2_000,
        };
        let text = document(&limits);
        let document: Value = serde_json::from_str(&text).unwrap();
        let schemas = &document["components"]["schemas"];
        assert_eq!(schemas["Uid"]["maxLength"], 200);
        let described = |name: &str| schemas[name]["description"].as_str().unwrap().to_owned();
        assert!(described("Data").contains("up to 1,024 bytes"));
        assert!(described("Umd").contains("up to 2,000 bytes"));
        for default in ["32,768", "262,144"] {
            assert!(!text.contains(default), "{default}");
        }
        // Every body, and what is said of one that is too large.
        assert_eq!(
            text.matches("77,536 bytes").count(),
            DOCUMENT.matches("262,144 bytes").count()
        );
    }
}
