//! From a token's text to its claims.
//!
//! The structure and header are checked first, then the signature, and only when that is good the claims. So an answer tells
//! nothing more to a client without a key.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::claims::{Claims, Expectations};
use super::error::TokenError;
use super::keys::VerificationKey;
use super::pattern::KnownExpressions;
use crate::protocol::{Limits, Object};

/// Checks tokens against the configured keys, audience and issuer. Shared by all connections.
pub struct Verifier {
    keys: Vec<VerificationKey>,
    expected: Expectations,
    expressions: KnownExpressions,
}

impl Verifier {
    /// Tokens must be signed by one of `keys`, and be for `audience` and from `issuer` where those are given.
    pub fn new(
        keys: Vec<VerificationKey>,
        audience: Option<String>,
        issuer: Option<String>,
    ) -> Self {
        Self {
            keys,
            expected: Expectations {
                audience,
                issuer,
                limits: Limits::default(),
            },
            expressions: KnownExpressions::default(),
        }
    }

    /// Sets the limits of `uid` and `umd`, in place of the protocol's own (section 15).
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.expected.limits = limits;
        self
    }

    /// Verifies a token at `now` (unix seconds).
    ///
    /// The caller checks its scopes, its connection and its single use.
    ///
    /// # Errors
    /// Says what is wrong with the token.
    pub fn verify(&self, token: &str, now: i64) -> Result<Claims, TokenError> {
        let parts = token.rsplit_once('.').and_then(|(message, signature)| {
            let (header, payload) = message.split_once('.')?;
            (!payload.contains('.')).then_some((message, header, payload, signature))
        });
        let Some((message, header, payload, signature)) = parts else {
            return Err(TokenError::Malformed(
                "expected three parts separated by dots",
            ));
        };
        self.check_signature(message, header, signature)?;
        let payload = URL_SAFE_NO_PAD
            .decode(payload)
            .map_err(|_| TokenError::Malformed("its payload is not Base64url"))?;
        Claims::from_payload(&payload, now, &self.expected, self.expressions.for_token())
    }

    /// The algorithm is the key's. The header's `alg` and `kid` only select the keys that are tried.
    fn check_signature(
        &self,
        message: &str,
        header: &str,
        signature: &str,
    ) -> Result<(), TokenError> {
        let header = URL_SAFE_NO_PAD
            .decode(header)
            .map_err(|_| TokenError::Malformed("its header is not Base64url"))?;
        // Other fields of the header are ignored.
        let header = std::str::from_utf8(&header)
            .ok()
            .and_then(|header| Object::read(header).ok())
            .ok_or(TokenError::Malformed("its header is no JSON object"))?;
        let malformed = |what| move |_| TokenError::Malformed(what);
        let text = |name| header.field(name).text("a string");
        let no_alg = TokenError::Malformed("its header has no alg");
        let Ok(Some(alg)) = text("alg") else {
            return Err(no_alg);
        };
        let kid = text("kid").map_err(malformed("its header's kid is no string"))?;
        let not_jwt = "its header's typ is not JWT";
        match text("typ").map_err(malformed(not_jwt))? {
            // RFC 7515, section 4.1.9: media types know no case.
            Some(typ) if !typ.eq_ignore_ascii_case("JWT") => {
                return Err(TokenError::Malformed(not_jwt));
            }
            _ => {}
        }
        if header.field("crit").raw().is_some() {
            return Err(TokenError::Malformed(
                "its header demands an extension (crit), and none is known here",
            ));
        }
        let good = self
            .keys
            .iter()
            .filter(|key| key.is_candidate(&alg, kid.as_deref()))
            .any(|key| key.verifies(message.as_bytes(), signature));
        if good {
            Ok(())
        } else {
            Err(TokenError::SignatureInvalid)
        }
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier")
            .field("keys", &self.keys)
            .field("expected", &self.expected)
            .finish_non_exhaustive()
    }
}
