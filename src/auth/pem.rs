//! PEM (RFC 7468), as far as key files need it: one labelled block of Base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A decoded block.
pub(super) struct Pem<'a> {
    /// Such as `PUBLIC KEY`.
    pub(super) label: &'a str,
    pub(super) der: Vec<u8>,
}

/// Reads the first block and skips text before it. Also skips a block of EC parameters, which `openssl ecparam` puts before
/// a key.
pub(super) fn decode(text: &str) -> Option<Pem<'_>> {
    let mut rest = text;
    loop {
        let (_, from_label) = rest.split_once("-----BEGIN ")?;
        let (label, body) = from_label.split_once("-----")?;
        let (body, after) = body.split_once("-----END ")?;
        let after = after.strip_prefix(label)?.strip_prefix("-----")?;
        if label == "EC PARAMETERS" {
            rest = after;
            continue;
        }
        let base64: Vec<u8> = body.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
        let der = STANDARD.decode(base64).ok()?;
        return Some(Pem { label, der });
    }
}

/// Writes a block, 64 characters to the line.
pub(super) fn encode(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        // Base64 is ASCII, so every index is a character boundary.
        let (line, tail) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = tail;
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_pem_is_refused() {
        for text in [
            "",
            "PUBLIC KEY",
            "-----BEGIN PUBLIC KEY-----",
            "-----BEGIN PUBLIC KEY-----\nAAAA\n",
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PRIVATE KEY-----",
            "-----BEGIN PUBLIC KEY-----\n!!!!\n-----END PUBLIC KEY-----",
        ] {
            assert!(decode(text).is_none(), "{text}");
        }
    }

    #[test]
    fn comments_and_ec_parameters_are_passed_over() {
        let text = format!(
            "made by hand\n{}{}",
            encode("EC PARAMETERS", b"curve"),
            encode("EC PRIVATE KEY", b"key")
        );
        let pem = decode(&text).unwrap();
        assert_eq!((pem.label, &*pem.der), ("EC PRIVATE KEY", &b"key"[..]));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(der: Vec<u8>) {
            let text = encode("PUBLIC KEY", &der);
            prop_assert!(text.lines().all(|line| line.len() <= 64));
            // Windows line ends are as good.
            for text in [text.clone(), text.replace('\n', "\r\n")] {
                let pem = decode(&text).unwrap();
                prop_assert_eq!(pem.label, "PUBLIC KEY");
                prop_assert_eq!(&pem.der, &der);
            }
        }

        #[test]
        fn no_text_makes_it_panic(text: String) {
            let _ = decode(&text);
        }
    }
}
