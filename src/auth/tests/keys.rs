//! Keys: every algorithm there and back, and everything that must be refused.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;

use super::*;
use crate::auth::signing::GeneratedKey;

/// RSA keys are slow to make, so all tests share one.
static RSA: LazyLock<GeneratedKey> =
    LazyLock::new(|| SigningKey::generate(Algorithm::RS256, None).unwrap().1);

fn signing_key(algorithm: Algorithm, id: Option<&str>) -> SigningKey {
    let id = id.map(str::to_owned);
    match algorithm.name().get(..2) {
        Some("RS" | "PS") => SigningKey::from_pem(algorithm, id, &RSA.private_pem).unwrap(),
        Some("HS") => SigningKey::generate_secret(algorithm, id).unwrap().0,
        _ => SigningKey::generate(algorithm, id).unwrap().0,
    }
}

fn trusting(keys: Vec<VerificationKey>) -> Verifier {
    Verifier::new(keys, None, None)
}

fn valid() -> Value {
    json!({ "exp": NOW + 60, "scope": "connect", "uid": "Jim" })
}

fn refused(verifier: &Verifier, token: &str) {
    assert_eq!(
        verifier.verify(token, NOW).unwrap_err(),
        TokenError::SignatureInvalid
    );
}

/// A token's parts: header, payload, signature.
fn parts(token: &str) -> [&str; 3] {
    token.split('.').collect::<Vec<_>>().try_into().unwrap()
}

/// The token with one bit of one part's decoded bytes flipped.
fn tampered(token: &str, part: usize) -> String {
    let mut parts = parts(token).map(str::to_owned);
    let mut bytes = URL_SAFE_NO_PAD.decode(&parts[part]).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    parts[part] = URL_SAFE_NO_PAD.encode(bytes);
    parts.join(".")
}

#[test]
fn every_algorithm_goes_there_and_back() {
    for algorithm in Algorithm::ALL {
        let key = signing_key(algorithm, Some("k1"));
        let verifier = trusting(vec![key.verification_key().unwrap()]);
        let token = key.sign(&valid()).unwrap();
        let claims = verifier.verify(&token, NOW).unwrap();
        assert_eq!(claims.uid.as_deref(), Some("Jim"), "{algorithm}");

        let header = URL_SAFE_NO_PAD.decode(parts(&token)[0]).unwrap();
        let header: Value = serde_json::from_slice(&header).unwrap();
        assert_eq!(
            header,
            json!({ "alg": algorithm.name(), "typ": "JWT", "kid": "k1" })
        );

        refused(&verifier, &tampered(&token, 1));
        refused(&verifier, &tampered(&token, 2));
        let [header, payload, signature] = parts(&token);
        refused(&verifier, &format!("{header}.{payload}."));
        refused(&verifier, &format!("{header}.{payload}.{signature}AA"));
    }
}

#[test]
fn each_algorithm_refuses_every_other_ones_tokens() {
    let keys = Algorithm::ALL.map(|algorithm| signing_key(algorithm, None));
    for signer in &keys {
        let token = signer.sign(&valid()).unwrap();
        for key in &keys {
            let verifier = trusting(vec![key.verification_key().unwrap()]);
            let same = key.algorithm() == signer.algorithm();
            assert_eq!(verifier.verify(&token, NOW).is_ok(), same);
        }
    }
}

#[test]
fn another_key_of_the_same_algorithm_is_refused() {
    for algorithm in [
        Algorithm::HS512,
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::ES512,
        Algorithm::EdDSA,
    ] {
        let (key, other) = (signing_key(algorithm, None), signing_key(algorithm, None));
        let verifier = trusting(vec![key.verification_key().unwrap()]);
        refused(&verifier, &other.sign(&valid()).unwrap());
    }
}

/// Signs with a header of our own making.
fn with_header(header: &Value, algorithm: jsonwebtoken::Algorithm, secret: &[u8]) -> String {
    let message = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header.to_string()),
        URL_SAFE_NO_PAD.encode(valid().to_string())
    );
    let key = jsonwebtoken::EncodingKey::from_secret(secret);
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, algorithm).unwrap();
    format!("{message}.{signature}")
}

#[test]
fn a_public_key_is_never_used_as_a_secret() {
    let (_, pair) = SigningKey::generate(Algorithm::ES256, None).unwrap();
    for (algorithm, pem) in [
        (Algorithm::ES256, &pair.public_pem),
        (Algorithm::RS256, &RSA.public_pem),
    ] {
        let key = VerificationKey::new_public(None, algorithm, pem).unwrap();
        let verifier = trusting(vec![key]);
        for header in [
            json!({ "alg": "HS256" }),
            json!({ "alg": algorithm.name() }),
        ] {
            let token = with_header(&header, jsonwebtoken::Algorithm::HS256, pem.as_bytes());
            refused(&verifier, &token);
        }
        assert_eq!(
            VerificationKey::new_secret(None, Algorithm::HS256, pem.as_bytes()).unwrap_err(),
            KeyError::SecretIsPem
        );
    }
}

#[test]
fn none_is_refused_whatever_it_carries() {
    let signed = sign(&valid());
    for alg in ["none", "None", "NONE", "", "hs256", "HS256 "] {
        let header = URL_SAFE_NO_PAD.encode(json!({ "alg": alg }).to_string());
        let [_, payload, signature] = parts(&signed);
        refused(&verifier(), &format!("{header}.{payload}."));
        refused(&verifier(), &format!("{header}.{payload}.{signature}"));
    }
}

#[test]
fn kid_chooses_the_key_and_a_key_without_id_takes_any() {
    let old = signing_key(Algorithm::ES256, Some("old"));
    let new = signing_key(Algorithm::ES256, Some("new"));
    let unnamed = signing_key(Algorithm::ES256, None);
    let token = |key: &SigningKey| key.sign(&valid()).unwrap();

    let both = trusting(vec![
        old.verification_key().unwrap(),
        new.verification_key().unwrap(),
    ]);
    assert!(both.verify(&token(&old), NOW).is_ok());
    assert!(both.verify(&token(&new), NOW).is_ok());
    refused(&both, &token(&unnamed));

    // A key with an id takes neither another kid nor none, even where the signature is its own.
    let pem = unnamed.public_pem().unwrap();
    let named = VerificationKey::new_public(Some("x".into()), Algorithm::ES256, pem).unwrap();
    refused(&trusting(vec![named]), &token(&unnamed));
    let pem = old.public_pem().unwrap();
    let renamed = VerificationKey::new_public(Some("x".into()), Algorithm::ES256, pem).unwrap();
    refused(&trusting(vec![renamed]), &token(&old));

    // Several without an id are all tried.
    let any = trusting(
        [&new, &old, &unnamed]
            .map(|key| {
                let pem = key.public_pem().unwrap();
                VerificationKey::new_public(None, Algorithm::ES256, pem).unwrap()
            })
            .into(),
    );
    for key in [&old, &new, &unnamed] {
        assert!(any.verify(&token(key), NOW).is_ok());
    }
    refused(&trusting(Vec::new()), &token(&old));
}

#[test]
fn header_rules() {
    let verify = |header: Value| {
        let token = with_header(&header, jsonwebtoken::Algorithm::HS256, SECRET);
        verifier().verify(&token, NOW)
    };
    for header in [
        json!({ "alg": "HS256" }),
        json!({ "alg": "HS256", "typ": "JWT" }),
        json!({ "alg": "HS256", "typ": "jwt", "kid": "any", "cty": 7, "x5t": [] }),
    ] {
        assert!(verify(header.clone()).is_ok(), "{header}");
    }
    for header in [
        json!({}),
        json!({ "alg": 256 }),
        json!({ "alg": null }),
        json!({ "alg": "HS256", "typ": "at+jwt" }),
        json!({ "alg": "HS256", "typ": 1 }),
        json!({ "alg": "HS256", "kid": 1 }),
        json!({ "alg": "HS256", "crit": ["b64"], "b64": false }),
        json!(["HS256"]),
        json!("HS256"),
    ] {
        let error = verify(header.clone()).unwrap_err();
        assert_eq!(error.code(), "TOKEN_MALFORMED", "{header}");
    }
}

#[test]
fn a_public_key_of_the_wrong_kind_or_curve_is_refused() {
    let families = [
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::ES512,
        Algorithm::EdDSA,
        Algorithm::RS256,
        Algorithm::PS512,
    ];
    for made_for in families {
        let key = signing_key(made_for, None);
        let pem = key.public_pem().unwrap();
        for used_for in families {
            let rsa = |algorithm| matches!(algorithm, Algorithm::RS256 | Algorithm::PS512);
            let same = made_for == used_for || (rsa(made_for) && rsa(used_for));
            let made = VerificationKey::new_public(None, used_for, pem);
            match made {
                Ok(_) => assert!(same, "{made_for} key for {used_for}"),
                Err(error) => {
                    assert!(!same, "{made_for} key for {used_for}: {error}");
                    assert!(matches!(error, KeyError::Unfit { .. }));
                }
            }
        }
        assert!(matches!(
            VerificationKey::new_public(None, Algorithm::HS256, pem).unwrap_err(),
            KeyError::NeedsSecret { .. }
        ));
    }
}

#[test]
fn a_private_key_of_the_wrong_kind_or_curve_is_refused() {
    let (_, p256) = SigningKey::generate(Algorithm::ES256, None).unwrap();
    for algorithm in [
        Algorithm::ES384,
        Algorithm::ES512,
        Algorithm::EdDSA,
        Algorithm::RS256,
    ] {
        assert!(matches!(
            SigningKey::from_pem(algorithm, None, &p256.private_pem).unwrap_err(),
            KeyError::Unfit { .. }
        ));
    }
    // A private key where a public one belongs, and the other way round, is named as such.
    let error = VerificationKey::new_public(None, Algorithm::ES256, &p256.private_pem).unwrap_err();
    assert!(error.to_string().contains("PRIVATE KEY"), "{error}");
    let error = SigningKey::from_pem(Algorithm::ES256, None, &p256.public_pem).unwrap_err();
    assert!(error.to_string().contains("PUBLIC KEY"), "{error}");
}

/// 1,024 bits.
const SHORT_RSA: &str = "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCbqa08n/bQ8rQ8kkKjbdByK7BY
4e89DQNUGZIItrquuoCBFpN9C7x/Km1t/Joz3lRoV2Zwau8FnifgJvKnSaD+BZ+i
l/v9LH9ATgL+LQavhhSx+8F8mYloFzBxVx/vHhfn+yyfSTkJTBnGd2Ug33Vr3/K+
GDDKUAFn/8OALC0z8wIDAQAB
-----END PUBLIC KEY-----";

#[test]
fn weak_keys_are_refused() {
    assert_eq!(
        VerificationKey::new_public(None, Algorithm::RS256, SHORT_RSA).unwrap_err(),
        KeyError::RsaSize { bits: 1024 }
    );
    assert_eq!(
        VerificationKey::new_secret(None, Algorithm::HS256, &[7; 31]).unwrap_err(),
        KeyError::SecretTooShort { bytes: 31 }
    );
    assert!(VerificationKey::new_secret(None, Algorithm::HS256, &[7; 32]).is_ok());
    let lenient = |secret: &[u8]| VerificationKey::new_short_secret(None, Algorithm::HS256, secret);
    assert!(lenient(&[7; 31]).unwrap().is_short() && lenient(&[7]).unwrap().is_short());
    assert!(!lenient(&[7; 32]).unwrap().is_short());
    assert_eq!(
        lenient(&[]).unwrap_err(),
        KeyError::SecretTooShort { bytes: 0 }
    );
    assert_eq!(lenient(b"-----BEGIN X").unwrap_err(), KeyError::SecretIsPem);
    assert!(matches!(
        VerificationKey::new_secret(None, Algorithm::ES256, &[7; 32]).unwrap_err(),
        KeyError::NeedsPem { .. }
    ));
}

#[test]
fn damaged_keys_are_refused() {
    let (_, pair) = SigningKey::generate(Algorithm::ES256, None).unwrap();
    let der = super::super::pem::decode(&pair.public_pem).unwrap().der;
    // Off the curve.
    let mut moved = der.clone();
    *moved.last_mut().unwrap() ^= 1;
    let short = &der[..der.len() - 1];
    for der in [&moved, short, &[]] {
        let pem = super::super::pem::encode("PUBLIC KEY", der);
        assert!(matches!(
            VerificationKey::new_public(None, Algorithm::ES256, &pem).unwrap_err(),
            KeyError::Unfit { .. }
        ));
    }
    for text in ["", "secret", "-----BEGIN PUBLIC KEY-----"] {
        assert_eq!(
            VerificationKey::new_public(None, Algorithm::ES256, text).unwrap_err(),
            KeyError::NotPem
        );
    }
}

#[test]
fn generated_secrets_are_as_long_as_the_hash() {
    for (algorithm, bytes) in [
        (Algorithm::HS256, 32),
        (Algorithm::HS384, 48),
        (Algorithm::HS512, 64),
    ] {
        let (key, secret) = SigningKey::generate_secret(algorithm, None).unwrap();
        let secret = STANDARD.decode(secret).unwrap();
        assert_eq!(secret.len(), bytes);
        let trusted = VerificationKey::new_secret(None, algorithm, &secret).unwrap();
        let token = key.sign(&valid()).unwrap();
        assert!(trusting(vec![trusted]).verify(&token, NOW).is_ok());
    }
    assert!(SigningKey::generate(Algorithm::HS256, None).is_err());
    assert!(SigningKey::generate_secret(Algorithm::ES256, None).is_err());
}

#[test]
fn only_objects_are_signed_and_text_is_kept_to_the_letter() {
    let key = signing_key(Algorithm::HS256, None);
    for text in ["", "[]", "7", "{", "{}x"] {
        assert_eq!(key.sign_json(text).unwrap_err(), KeyError::ClaimsNoObject);
    }
    assert!(key.sign(&json!([])).is_err());
    let text = r#"{ "umd": 1.10 }"#;
    let token = key.sign_json(text).unwrap();
    assert_eq!(
        URL_SAFE_NO_PAD.decode(parts(&token)[1]).unwrap(),
        text.as_bytes()
    );
}

#[test]
fn no_debug_output_shows_a_key() {
    let (key, pair) = SigningKey::generate(Algorithm::ES256, Some("k1".into())).unwrap();
    let secret = VerificationKey::new_secret(None, Algorithm::HS256, SECRET).unwrap();
    let shown = format!("{key:?} {pair:?} {secret:?} {:?}", verifier());
    assert!(shown.contains("k1"));
    assert!(!shown.contains("PRIVATE") && !shown.contains("0123456789"));
    let bytes = format!("{:?}", &SECRET[..4]);
    assert!(!shown.contains(bytes.trim_matches(['[', ']'])), "{shown}");
}

/// The examples of RFC 7515, appendices A.3 and A.4: signatures that nobody here made.
#[test]
fn the_standards_own_examples_verify() {
    let p256 = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV7
6e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==
-----END PUBLIC KEY-----";
    let es256 = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    let key = VerificationKey::new_public(None, Algorithm::ES256, p256).unwrap();
    let verifier = trusting(vec![key]);
    // The signature is good, so the claims are looked at: this one lacks a scope, and later it is expired.
    assert_eq!(invalid(verifier.verify(es256, 1_300_819_379)), "scope");
    assert_eq!(
        verifier.verify(es256, 1_300_819_382).unwrap_err(),
        TokenError::Expired { seconds: 2 }
    );

    let p521 = "-----BEGIN PUBLIC KEY-----
MIGbMBAGByqGSM49AgEGBSuBBAAjA4GGAAQB6SkFDxJPxrxVx9U5M2Xfne9KsMIs
sleY+TTrBOPGuuNwGlenkQ6dgb82MVno68sVXWNJ9L22zPipTFxZx6rBAaQANKZE
DjdnUNI3H9G9wsjztx0vTuXqNDLIFcyjFWD+XZOH7HdLVYOGMOXLv1qMvgqR3QBk
xpmaH25uZ/rd7eTIyPY=
-----END PUBLIC KEY-----";
    let es512 = "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn";
    let key = VerificationKey::new_public(None, Algorithm::ES512, p521).unwrap();
    let verifier = trusting(vec![key]);
    // Its payload is the word "Payload", which is found out only past the signature.
    assert_eq!(
        verifier.verify(es512, 0).unwrap_err().code(),
        "TOKEN_MALFORMED"
    );
    refused(&verifier, &tampered(es512, 1));
}
