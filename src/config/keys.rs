//! Keys and secrets: read from the configuration or from the files that it names, checked, and made ready for use. No
//! message holds any of their content.

use crate::auth::{Algorithm, VerificationKey};

use super::error::Origin;
use super::reader::{Reader, Sourced};
use super::units::base64;
use super::{ApiKey, WebhookSecret};

/// An API key that is shorter could be guessed.
const API_KEY_CHARS: std::ops::RangeInclusive<usize> = 32..=512;

/// What the Standard Webhooks specification asks of a secret, in bytes.
const WEBHOOK_SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// The keys of one entry of `[[auth.keys]]`.
pub(super) const VERIFICATION_KEYS: &[&str] = &[
    "id",
    "algorithm",
    "public_key",
    "public_key_file",
    "secret",
    "secret_file",
    "allow_short",
];

/// Reads one entry of `[[auth.keys]]`.
pub(super) fn verification_key(reader: &mut Reader<'_>) -> Option<VerificationKey> {
    let id = reader.text("id").map(|id| id.value);
    let algorithm = reader.text("algorithm");
    let public_key = reader.text("public_key").map(|text| ("public_key", text));
    let public_key_file = reader
        .file("public_key_file")
        .map(|text| ("public_key_file", text));
    let secret = reader.text("secret").map(|text| ("secret", text));
    let secret_file = reader.file("secret_file").map(|text| ("secret_file", text));
    let allow_short = reader.flag("allow_short", false);

    let Some(algorithm) = algorithm else {
        if !reader.has("algorithm") {
            reader.missing(
                "algorithm",
                "say how tokens are signed, as in algorithm = \"ES256\"",
            );
        }
        return None;
    };
    let algorithm: Algorithm = match algorithm.value.trim().parse() {
        Ok(known) => known,
        Err(unknown) => {
            reader.report(&algorithm.origin, "algorithm", format!("{unknown}"));
            return None;
        }
    };
    let (wanted, unwanted, mend) = if algorithm.is_hmac() {
        (
            [secret, secret_file],
            [public_key, public_key_file],
            "secret or secret_file",
        )
    } else {
        (
            [public_key, public_key_file],
            [secret, secret_file],
            "public_key or public_key_file",
        )
    };
    for (key, Sourced { origin, .. }) in unwanted.iter().flatten() {
        reader.report(
            origin,
            key,
            format!("{algorithm} has no use for it; give {mend} instead"),
        );
    }
    if !algorithm.is_hmac() && allow_short {
        let origin = reader.origin_of("allow_short");
        reader.report(
            &origin,
            "allow_short",
            format!("{algorithm} has no use for it; it is for secrets"),
        );
    }
    let mut wanted = wanted.into_iter().flatten();
    let (key, text) = match (wanted.next(), wanted.next()) {
        (Some(only), None) => only,
        (Some(_), Some((second, text))) => {
            reader.report(
                &text.origin,
                second,
                format!("give one of {mend}, not both"),
            );
            return None;
        }
        (None, _) => {
            let named = ["public_key", "public_key_file", "secret", "secret_file"];
            // A file that was named but could not be read, or the wrong kind, has been reported already.
            if !named.iter().any(|key| reader.has(key)) {
                let origin = reader.origin_of("algorithm");
                reader.report(
                    &origin,
                    "algorithm",
                    format!("{algorithm} needs a key; give {mend}"),
                );
            }
            return None;
        }
    };
    let made = if algorithm.is_hmac() {
        let Some(bytes) = base64(&text.value) else {
            reader.report(
                &text.origin,
                key,
                "must be Base64; `rollcall keygen --algorithm HS256` makes a secret, and \
                 `base64 -w0 FILE` turns an existing one into Base64",
            );
            return None;
        };
        if allow_short {
            VerificationKey::new_short_secret(id, algorithm, &bytes)
        } else {
            VerificationKey::new_secret(id, algorithm, &bytes)
        }
    } else {
        VerificationKey::new_public(id, algorithm, &text.value)
    };
    made.map_err(|error| reader.report(&text.origin, key, error.to_string()))
        .ok()
}

/// Reads `api.keys` and `api.keys_file`.
pub(super) fn api_keys(reader: &mut Reader<'_>) -> Vec<ApiKey> {
    let mut keys = Vec::new();
    for (position, key) in reader.texts("keys").into_iter().flatten().enumerate() {
        let what = format!("the {} key", ordinal(position + 1));
        keys.extend(api_key(reader, &key.origin, "keys", &what, &key.value));
    }
    if let Some(Sourced { value, origin }) = reader.file("keys_file") {
        for (position, line) in value.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let what = format!("the key on line {} of the file", position + 1);
            keys.extend(api_key(reader, &origin, "keys_file", &what, line));
        }
    }
    keys
}

fn api_key(
    reader: &Reader<'_>,
    origin: &Origin,
    key: &str,
    what: &str,
    text: &str,
) -> Option<ApiKey> {
    let printable = text.chars().all(|c| c.is_ascii_graphic());
    if printable && API_KEY_CHARS.contains(&text.len()) {
        return Some(ApiKey::new(text.to_owned()));
    }
    let wrong = if printable {
        format!("has {} characters", text.len())
    } else {
        "has a space or a character that is not printable ASCII".to_owned()
    };
    reader.report(
        origin,
        key,
        format!(
            "{what} {wrong}; it must have {} to {} printable characters without spaces, so that nobody can guess it \
             (`rollcall keygen --api-key` makes one)",
            API_KEY_CHARS.start(),
            API_KEY_CHARS.end()
        ),
    );
    None
}

/// Reads `secret` or `secret_file` of a webhook.
pub(super) fn webhook_secret(reader: &mut Reader<'_>) -> Option<WebhookSecret> {
    let plain = reader.text("secret");
    let file = reader.file("secret_file");
    let (key, Sourced { value, origin }) = match (plain, file) {
        (Some(_), Some(file)) => {
            reader.report(
                &file.origin,
                "secret_file",
                "give one of secret or secret_file, not both",
            );
            return None;
        }
        (Some(text), None) => ("secret", text),
        (None, Some(text)) => ("secret_file", text),
        (None, None) => {
            if !reader.has("secret") && !reader.has("secret_file") {
                reader.missing(
                    "secret",
                    "every webhook is signed; give a secret, as in secret = \"whsec_…\", or secret_file",
                );
            }
            return None;
        }
    };
    let bytes = value.trim().strip_prefix("whsec_").and_then(base64);
    match bytes {
        Some(bytes) if WEBHOOK_SECRET_BYTES.contains(&bytes.len()) => Some(WebhookSecret(bytes)),
        _ => {
            reader.report(
                &origin,
                key,
                format!(
                    "must be whsec_ and the Base64 of {} to {} random bytes; \
                     `echo whsec_$(openssl rand -base64 32)` makes one",
                    WEBHOOK_SECRET_BYTES.start(),
                    WEBHOOK_SECRET_BYTES.end()
                ),
            );
            None
        }
    }
}

/// `1st`, `2nd`, `3rd`, `4th` …
fn ordinal(number: usize) -> String {
    let suffix = match (number % 10, number % 100) {
        (1, tens) if tens != 11 => "st",
        (2, tens) if tens != 12 => "nd",
        (3, tens) if tens != 13 => "rd",
        _ => "th",
    };
    format!("{number}{suffix}")
}
