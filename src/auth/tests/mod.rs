//! The room as its neighbours see it: from a signed token to the answer.

mod keys;
mod patterns;
mod permissions;
mod tokens;

use serde_json::{Value, json};

use super::*;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const NOW: i64 = 1_700_000_000;

/// A verifier that trusts [`SECRET`] for HS256.
fn verifier() -> Verifier {
    let key = VerificationKey::new_secret(None, Algorithm::HS256, SECRET).unwrap();
    Verifier::new(vec![key], None, None)
}

/// Signs claims with [`SECRET`], exactly as they are.
fn sign(claims: &Value) -> String {
    SigningKey::from_secret(Algorithm::HS256, None, SECRET)
        .unwrap()
        .sign(claims)
        .unwrap()
}

/// Verifies claims at [`NOW`], with `exp` and `scope` filled in where missing.
fn claims(mut claims: Value) -> Result<Claims, TokenError> {
    let object = claims.as_object_mut().unwrap();
    object.entry("exp").or_insert(json!(NOW + 60));
    object.entry("scope").or_insert(json!("connect"));
    verifier().verify(&sign(&claims), NOW)
}

/// The grants of a `channels` claim.
fn grants(channels: Value) -> std::sync::Arc<Grants> {
    claims(json!({ "channels": channels })).unwrap().grants
}

/// The claim that a refusal names.
fn invalid(result: Result<Claims, TokenError>) -> String {
    match result {
        Err(TokenError::ClaimInvalid { claim, expected }) => {
            assert!(!expected.is_empty());
            claim
        }
        other => panic!("expected an invalid claim, got {other:?}"),
    }
}
