//! The keys that tokens are verified with. A key is checked when it is loaded, so that a wrong file stops the start and does
//! not wait for the first client.
//!
//! `jsonwebtoken` checks signatures. It has no ES512; for that, `aws-lc-rs` is called directly.

use std::fmt;

use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519,
    ParsedPublicKey, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;

use super::algorithm::{Algorithm, Family};
use super::pem;

/// The shortest HMAC secret, in bytes. A shorter one can be guessed offline from a single token.
const MIN_SECRET_BYTES: usize = 32;

/// The sizes of RSA moduli that are accepted, in bits. Smaller ones can be factored; for larger ones a signature costs too
/// much.
const RSA_BITS: std::ops::RangeInclusive<u32> = 2048..=8192;

/// Why a key cannot be used. No message ever holds a key's content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text has no well-formed PEM block.
    #[error(
        "not a PEM key: expected one block from -----BEGIN … KEY----- to -----END … KEY-----, Base64 between"
    )]
    NotPem,
    /// A PEM block, but of something else.
    #[error("the PEM block is a {found}, expected {expected}")]
    WrongBlock {
        /// The block's label.
        found: String,
        /// What would have been right.
        expected: &'static str,
    },
    /// Damaged, or of another kind or curve than the algorithm needs.
    #[error("{algorithm} needs {}; this key is damaged, of another kind, or on another curve", algorithm.wants())]
    Unfit {
        /// The configured algorithm.
        algorithm: Algorithm,
    },
    /// An RSA modulus out of bounds.
    #[error("the RSA key has {bits} bits, expected 2048 to 8192: make a new one")]
    RsaSize {
        /// The modulus, in bits.
        bits: u32,
    },
    /// An HMAC secret that is too short.
    #[error(
        "the secret has {bytes} bytes, expected at least {MIN_SECRET_BYTES}: make a random one with `rollcall keygen` \
         (allow_short = true on the key takes this one, until you have)"
    )]
    SecretTooShort {
        /// Its length after Base64 decoding.
        bytes: usize,
    },
    /// PEM text given as an HMAC secret. A public key is no secret: anybody who has it could sign tokens.
    #[error(
        "the secret of an HMAC algorithm is a PEM key: configure it as the key of an RS, PS, ES or EdDSA algorithm"
    )]
    SecretIsPem,
    /// An HMAC algorithm with a key file.
    #[error("{algorithm} needs a shared secret, not a PEM key")]
    NeedsSecret {
        /// The configured algorithm.
        algorithm: Algorithm,
    },
    /// A public-key algorithm with a secret.
    #[error("{algorithm} needs a PEM key ({}), not a shared secret", algorithm.wants())]
    NeedsPem {
        /// The configured algorithm.
        algorithm: Algorithm,
    },
    /// The claims to be signed are no JSON object.
    #[error("the claims to sign are no JSON object")]
    ClaimsNoObject,
    /// The cryptographic library refused, for want of randomness or memory.
    #[error("the cryptographic library could not {0}")]
    Failed(&'static str),
}

/// A key that tokens are verified with.
pub struct VerificationKey {
    id: Option<Box<str>>,
    algorithm: Algorithm,
    is_short: bool,
    material: Material,
}

enum Material {
    /// All that `jsonwebtoken` can do.
    Jwt(Box<DecodingKey>, jsonwebtoken::Algorithm),
    /// ES512.
    P521(Box<ParsedPublicKey>),
}

impl VerificationKey {
    /// Takes a PEM public key (`PUBLIC KEY`; for RSA also `RSA PUBLIC KEY`). With an `id` it accepts only tokens of
    /// that `kid`.
    ///
    /// # Errors
    /// When the text is no PEM public key, or the key is not of the kind, curve or size that `algorithm` needs.
    pub fn new_public(
        id: Option<String>,
        algorithm: Algorithm,
        pem: &str,
    ) -> Result<Self, KeyError> {
        if algorithm.is_hmac() {
            return Err(KeyError::NeedsSecret { algorithm });
        }
        let pem = pem::decode(pem).ok_or(KeyError::NotPem)?;
        let pkcs1 = pem.label == "RSA PUBLIC KEY" && algorithm.family() == Family::Rsa;
        if pem.label != "PUBLIC KEY" && !pkcs1 {
            return Err(KeyError::WrongBlock {
                found: pem.label.to_owned(),
                expected: "PUBLIC KEY (openssl pkey -in private.pem -pubout makes one)",
            });
        }
        Ok(Self {
            id: id.map(Into::into),
            algorithm,
            is_short: false,
            material: Material::from_public_der(algorithm, &pem.der)?,
        })
    }

    /// Takes an HMAC secret, as bytes (already Base64-decoded).
    ///
    /// # Errors
    /// When `algorithm` is not HS256, HS384 or HS512, the secret is shorter than 32 bytes, or is a PEM key.
    pub fn new_secret(
        id: Option<String>,
        algorithm: Algorithm,
        secret: &[u8],
    ) -> Result<Self, KeyError> {
        check_secret(algorithm, secret)?;
        Self::from_secret(id, algorithm, secret)
    }

    /// As [`new_secret`](Self::new_secret), for a secret of any length but an empty one. It serves tokens that are signed
    /// with such a secret already. From one token, a short secret can be found by trying.
    ///
    /// # Errors
    /// As for [`new_secret`](Self::new_secret), except for the length.
    pub fn new_short_secret(
        id: Option<String>,
        algorithm: Algorithm,
        secret: &[u8],
    ) -> Result<Self, KeyError> {
        match check_secret(algorithm, secret) {
            Ok(()) => Self::from_secret(id, algorithm, secret),
            Err(KeyError::SecretTooShort { bytes: 1.. }) => Ok(Self {
                is_short: true,
                ..Self::from_secret(id, algorithm, secret)?
            }),
            Err(error) => Err(error),
        }
    }

    fn from_secret(
        id: Option<String>,
        algorithm: Algorithm,
        secret: &[u8],
    ) -> Result<Self, KeyError> {
        Ok(Self {
            id: id.map(Into::into),
            algorithm,
            is_short: false,
            material: Material::Jwt(
                Box::new(DecodingKey::from_secret(secret)),
                jwt_algorithm(algorithm).ok_or(KeyError::Failed("use the algorithm"))?,
            ),
        })
    }

    /// The `kid` that a token must have, if any.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The one algorithm it verifies.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether it is a secret of less than 32 bytes.
    pub fn is_short(&self) -> bool {
        self.is_short
    }

    /// Whether a token with this header may be tried against this key.
    pub(super) fn is_candidate(&self, alg: &str, kid: Option<&str>) -> bool {
        self.algorithm.name() == alg && (self.id.is_none() || self.id.as_deref() == kid)
    }

    /// Whether `signature` (Base64url) is this key's over `message`.
    pub(super) fn verifies(&self, message: &[u8], signature: &str) -> bool {
        match &self.material {
            Material::Jwt(key, algorithm) => {
                jsonwebtoken::crypto::verify(signature, message, key, *algorithm).unwrap_or(false)
            }
            Material::P521(key) => URL_SAFE_NO_PAD
                .decode(signature)
                .is_ok_and(|signature| key.verify_sig(message, &signature).is_ok()),
        }
    }
}

impl fmt::Debug for VerificationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerificationKey")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

impl Material {
    /// `aws-lc-rs` parses the key first: it checks the kind, the curve, and that the point is on it.
    fn from_public_der(algorithm: Algorithm, der: &[u8]) -> Result<Self, KeyError> {
        let unfit = KeyError::Unfit { algorithm };
        let parse = |with: &'static dyn VerificationAlgorithm| {
            UnparsedPublicKey::new(with, der)
                .parse()
                .map_err(|_| unfit.clone())
        };
        let key = match algorithm {
            Algorithm::ES256 => {
                parse(&ECDSA_P256_SHA256_FIXED)?;
                DecodingKey::from_ec_der(der)
            }
            Algorithm::ES384 => {
                parse(&ECDSA_P384_SHA384_FIXED)?;
                DecodingKey::from_ec_der(der)
            }
            Algorithm::ES512 => {
                return Ok(Self::P521(Box::new(parse(&ECDSA_P521_SHA512_FIXED)?)));
            }
            Algorithm::EdDSA => {
                parse(&ED25519)?;
                DecodingKey::from_ed_der(der)
            }
            _ => {
                let key = rsa::PublicKey::from_der(der).map_err(|_| unfit.clone())?;
                check_rsa_size(&key)?;
                DecodingKey::from_rsa_der(key.as_ref())
            }
        };
        let algorithm = jwt_algorithm(algorithm).ok_or(unfit)?;
        Ok(Self::Jwt(Box::new(key), algorithm))
    }
}

pub(super) fn check_rsa_size(key: &rsa::PublicKey) -> Result<(), KeyError> {
    let bits = rsa::RsaParameters::public_modulus_len(key.as_ref())
        .map_err(|_| KeyError::Failed("measure the RSA key"))?;
    if RSA_BITS.contains(&bits) {
        Ok(())
    } else {
        Err(KeyError::RsaSize { bits })
    }
}

/// Refuses a secret that cannot protect an HMAC.
pub(super) fn check_secret(algorithm: Algorithm, secret: &[u8]) -> Result<(), KeyError> {
    if !algorithm.is_hmac() {
        return Err(KeyError::NeedsPem { algorithm });
    }
    if secret.trim_ascii_start().starts_with(b"-----BEGIN ") {
        return Err(KeyError::SecretIsPem);
    }
    if secret.len() < MIN_SECRET_BYTES {
        return Err(KeyError::SecretTooShort {
            bytes: secret.len(),
        });
    }
    Ok(())
}

/// The algorithm in `jsonwebtoken`, which has no ES512.
pub(super) const fn jwt_algorithm(algorithm: Algorithm) -> Option<jsonwebtoken::Algorithm> {
    Some(match algorithm {
        Algorithm::HS256 => jsonwebtoken::Algorithm::HS256,
        Algorithm::HS384 => jsonwebtoken::Algorithm::HS384,
        Algorithm::HS512 => jsonwebtoken::Algorithm::HS512,
        Algorithm::RS256 => jsonwebtoken::Algorithm::RS256,
        Algorithm::RS384 => jsonwebtoken::Algorithm::RS384,
        Algorithm::RS512 => jsonwebtoken::Algorithm::RS512,
        Algorithm::PS256 => jsonwebtoken::Algorithm::PS256,
        Algorithm::PS384 => jsonwebtoken::Algorithm::PS384,
        Algorithm::PS512 => jsonwebtoken::Algorithm::PS512,
        Algorithm::ES256 => jsonwebtoken::Algorithm::ES256,
        Algorithm::ES384 => jsonwebtoken::Algorithm::ES384,
        Algorithm::ES512 => return None,
        Algorithm::EdDSA => jsonwebtoken::Algorithm::EdDSA,
    })
}
