//! The OpenAPI document of both HTTP APIs. Limits stand in it as placeholders such as `${data_bytes}`.

use super::{body, server_api};
use crate::hub::PAGE;
use crate::protocol::{Json, Limits, MAX_KEEP_SECONDS, names};

const DOCUMENT: &str = include_str!("openapi.json");

/// The document with the limits filled in.
pub(super) fn document(limits: &Limits) -> String {
    let values = [
        ("data_bytes", limits.data_bytes as u64),
        ("umd_bytes", limits.umd_bytes as u64),
        ("uid_characters", limits.uid_characters as u64),
        ("body_bytes", body::max_bytes(limits) as u64),
        ("body_seconds", body::BODY_TIMEOUT.as_secs()),
        ("json_levels", Json::MAX_DEPTH as u64),
        ("page", PAGE as u64),
        ("channel_characters", names::MAX_CHANNEL_CHARS as u64),
        ("event_characters", names::MAX_EVENT_CHARS as u64),
        ("reaction_bytes", names::MAX_REACTION_BYTES as u64),
        (
            "deduplication_bytes",
            server_api::MAX_DEDUPLICATION_ID as u64,
        ),
        ("keep_seconds", MAX_KEEP_SECONDS.unsigned_abs()),
    ];
    // A JSON string that is only a placeholder becomes a number. Inside a text the number has commas, for people.
    values
        .into_iter()
        .fold(DOCUMENT.to_owned(), |text, (name, value)| {
            text.replace(&format!("\"${{{name}}}\""), &value.to_string())
                .replace(&format!("${{{name}}}"), &grouped(value))
        })
}

/// A number with a comma before every three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + 8);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn every_limit_is_filled_in() {
        let limits = Limits {
            data_bytes: 1_024,
            uid_characters: 200,
            umd_bytes: 2_000,
        };
        let text = document(&limits);
        assert!(!text.contains("${"), "{:?}", text.split("${").nth(1));
        let document: Value = serde_json::from_str(&text).unwrap();
        let schemas = &document["components"]["schemas"];
        assert_eq!(schemas["Uid"]["maxLength"], 200);
        assert_eq!(schemas["ChannelName"]["maxLength"], 256);
        let store = &schemas["PublishMessage"]["properties"]["store"];
        assert_eq!(store["maximum"], 3_155_695_200_u64);
        let described = |name: &str| schemas[name]["description"].as_str().unwrap().to_owned();
        assert!(described("Data").contains("up to 1,024 bytes"));
        assert!(described("Umd").contains("up to 2,000 bytes"));
        // Every body, and what is said of one that is too large.
        assert!(text.matches("77,536 bytes").count() > 5);
    }

    #[test]
    fn a_number_for_people_has_commas() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }
}
