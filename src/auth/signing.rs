//! Signing keys, for the development server, `rollcall token` and `rollcall keygen`. A server in production only verifies.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair,
    RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::EncodingKey;
use serde_json::json;

use super::algorithm::{Algorithm, Family};
use super::keys::{KeyError, VerificationKey, check_rsa_size, check_secret, jwt_algorithm};
use super::pem;

/// A private key or secret that makes tokens.
pub struct SigningKey {
    id: Option<Box<str>>,
    algorithm: Algorithm,
    material: Material,
}

enum Material {
    Secret(EncodingKey),
    /// The private key, and the public one as PEM.
    Pair(Private, String),
}

enum Private {
    Jwt(EncodingKey),
    P521(Box<EcdsaKeyPair>),
}

/// A new key pair, for files.
pub struct GeneratedKey {
    /// PKCS#8, unencrypted.
    pub private_pem: String,
    /// For the server's configuration.
    pub public_pem: String,
}

impl SigningKey {
    /// Reads an unencrypted private key: PKCS#8 (`PRIVATE KEY`), or the older `EC PRIVATE KEY` and `RSA PRIVATE KEY`.
    /// With an `id`, tokens name it in their `kid` header.
    ///
    /// # Errors
    /// When the text is no PEM private key, or the key is not of the kind, curve or size that `algorithm` needs.
    pub fn from_pem(algorithm: Algorithm, id: Option<String>, pem: &str) -> Result<Self, KeyError> {
        let pem = pem::decode(pem).ok_or(KeyError::NotPem)?;
        let (private, public) = match algorithm.family() {
            Family::Hmac => return Err(KeyError::NeedsSecret { algorithm }),
            Family::Rsa => rsa_pair(algorithm, &pem)?,
            Family::Ec => ec_pair(algorithm, &pem)?,
            Family::Ed => ed_pair(algorithm, &pem)?,
        };
        Ok(Self {
            id: id.map(Into::into),
            algorithm,
            material: Material::Pair(private, pem::encode("PUBLIC KEY", &public)),
        })
    }

    /// Takes an HMAC secret, as bytes.
    ///
    /// # Errors
    /// When `algorithm` is not HS256, HS384 or HS512, the secret is shorter than 32 bytes, or is a PEM key.
    pub fn from_secret(
        algorithm: Algorithm,
        id: Option<String>,
        secret: &[u8],
    ) -> Result<Self, KeyError> {
        check_secret(algorithm, secret)?;
        Ok(Self {
            id: id.map(Into::into),
            algorithm,
            material: Material::Secret(EncodingKey::from_secret(secret)),
        })
    }

    /// Makes a key pair (RSA: 3072 bits).
    ///
    /// # Errors
    /// When `algorithm` is an HMAC, which has no pair (see [`SigningKey::generate_secret`]), or there is no randomness.
    pub fn generate(
        algorithm: Algorithm,
        id: Option<String>,
    ) -> Result<(Self, GeneratedKey), KeyError> {
        let der = match algorithm.family() {
            Family::Hmac => return Err(KeyError::NeedsSecret { algorithm }),
            Family::Rsa => RsaKeyPair::generate(KeySize::Rsa3072)
                .and_then(|pair| AsDer::<Pkcs8V1Der<'static>>::as_der(&pair))
                .map(|der| der.as_ref().to_vec()),
            Family::Ec => EcdsaKeyPair::generate(curve(algorithm))
                .and_then(|pair| pair.to_pkcs8v1())
                .map(|der| der.as_ref().to_vec()),
            // Version 1, without the public half: OpenSSL writes it so, and every library reads it.
            Family::Ed => Ed25519KeyPair::generate()
                .and_then(|pair| pair.to_pkcs8v1())
                .map(|der| der.as_ref().to_vec()),
        };
        let der = der.map_err(|_| KeyError::Failed("make a key"))?;
        let private_pem = pem::encode("PRIVATE KEY", &der);
        let key = Self::from_pem(algorithm, id, &private_pem)?;
        let public_pem = key.public_pem().unwrap_or_default().to_owned();
        Ok((
            key,
            GeneratedKey {
                private_pem,
                public_pem,
            },
        ))
    }

    /// Makes an HMAC secret as long as the algorithm's hash, and returns it as Base64.
    ///
    /// # Errors
    /// When `algorithm` is not an HMAC, or there is no randomness.
    pub fn generate_secret(
        algorithm: Algorithm,
        id: Option<String>,
    ) -> Result<(Self, String), KeyError> {
        let bytes = match algorithm {
            Algorithm::HS384 => 48,
            Algorithm::HS512 => 64,
            _ => 32,
        };
        let mut secret = vec![0; bytes];
        aws_lc_rs::rand::fill(&mut secret).map_err(|_| KeyError::Failed("make a secret"))?;
        let key = Self::from_secret(algorithm, id, &secret)?;
        Ok((key, STANDARD.encode(secret)))
    }

    /// The public half as PEM; an HMAC has none.
    pub fn public_pem(&self) -> Option<&str> {
        match &self.material {
            Material::Secret(_) => None,
            Material::Pair(_, public) => Some(public),
        }
    }

    /// The key that verifies what this one signs.
    ///
    /// # Errors
    /// Never for a key that could be made.
    pub fn verification_key(&self) -> Result<VerificationKey, KeyError> {
        let id = self.id.as_deref().map(str::to_owned);
        match &self.material {
            Material::Secret(secret) => {
                VerificationKey::new_secret(id, self.algorithm, secret.as_bytes())
            }
            Material::Pair(_, public) => VerificationKey::new_public(id, self.algorithm, public),
        }
    }

    /// The `alg` of its tokens.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Makes a JWT of the claims.
    ///
    /// # Errors
    /// When `claims` is no object, or the library fails.
    pub fn sign(&self, claims: &serde_json::Value) -> Result<String, KeyError> {
        self.sign_json(&claims.to_string())
    }

    /// Makes a JWT of claims that are JSON text already. The text is not changed.
    ///
    /// # Errors
    /// When `claims` is no JSON object, or the library fails.
    pub fn sign_json(&self, claims: &str) -> Result<String, KeyError> {
        let is_object = claims.trim_ascii_start().starts_with('{');
        if !is_object || serde_json::from_str::<serde::de::IgnoredAny>(claims).is_err() {
            return Err(KeyError::ClaimsNoObject);
        }
        let mut header = json!({ "alg": self.algorithm.name(), "typ": "JWT" });
        if let (Some(id), Some(header)) = (&self.id, header.as_object_mut()) {
            header.insert("kid".to_owned(), json!(id));
        }
        let mut token = URL_SAFE_NO_PAD.encode(header.to_string());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let signature = self.signature(token.as_bytes())?;
        token.push('.');
        token.push_str(&signature);
        Ok(token)
    }

    fn signature(&self, message: &[u8]) -> Result<String, KeyError> {
        let failed = KeyError::Failed("sign");
        match &self.material {
            Material::Secret(key) | Material::Pair(Private::Jwt(key), _) => {
                let algorithm = jwt_algorithm(self.algorithm).ok_or(failed.clone())?;
                jsonwebtoken::crypto::sign(message, key, algorithm).map_err(|_| failed)
            }
            Material::Pair(Private::P521(key), _) => key
                .sign(&SystemRandom::new(), message)
                .map(|signature| URL_SAFE_NO_PAD.encode(signature))
                .map_err(|_| failed),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for GeneratedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GeneratedKey")
            .field("public_pem", &self.public_pem)
            .finish_non_exhaustive()
    }
}

fn curve(algorithm: Algorithm) -> &'static EcdsaSigningAlgorithm {
    match algorithm {
        Algorithm::ES384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
        Algorithm::ES512 => &ECDSA_P521_SHA512_FIXED_SIGNING,
        _ => &ECDSA_P256_SHA256_FIXED_SIGNING,
    }
}

fn wrong_block(pem: &pem::Pem<'_>) -> KeyError {
    KeyError::WrongBlock {
        found: pem.label.to_owned(),
        expected: "an unencrypted PRIVATE KEY (PKCS#8)",
    }
}

fn public_der<K: AsDer<PublicKeyX509Der<'static>>>(key: &K) -> Result<Vec<u8>, KeyError> {
    key.as_der()
        .map(|der| der.as_ref().to_vec())
        .map_err(|_| KeyError::Failed("write the public key"))
}

fn rsa_pair(algorithm: Algorithm, pem: &pem::Pem<'_>) -> Result<(Private, Vec<u8>), KeyError> {
    let pair = match pem.label {
        "PRIVATE KEY" => RsaKeyPair::from_pkcs8(&pem.der),
        "RSA PRIVATE KEY" => RsaKeyPair::from_der(&pem.der),
        _ => return Err(wrong_block(pem)),
    }
    .map_err(|_| KeyError::Unfit { algorithm })?;
    check_rsa_size(pair.public_key())?;
    // `jsonwebtoken` takes the inner PKCS#1 as DER, and PKCS#8 only as PEM text.
    let key = EncodingKey::from_rsa_pem(pem::encode(pem.label, &pem.der).as_bytes())
        .map_err(|_| KeyError::Unfit { algorithm })?;
    Ok((Private::Jwt(key), public_der(pair.public_key())?))
}

fn ec_pair(algorithm: Algorithm, pem: &pem::Pem<'_>) -> Result<(Private, Vec<u8>), KeyError> {
    if !matches!(pem.label, "PRIVATE KEY" | "EC PRIVATE KEY") {
        return Err(wrong_block(pem));
    }
    let pair = EcdsaKeyPair::from_private_key_der(curve(algorithm), &pem.der)
        .map_err(|_| KeyError::Unfit { algorithm })?;
    let public = public_der(pair.public_key())?;
    if algorithm == Algorithm::ES512 {
        return Ok((Private::P521(Box::new(pair)), public));
    }
    let pkcs8 = pair
        .to_pkcs8v1()
        .map_err(|_| KeyError::Unfit { algorithm })?;
    let key = EncodingKey::from_ec_der(pkcs8.as_ref());
    Ok((Private::Jwt(key), public))
}

fn ed_pair(algorithm: Algorithm, pem: &pem::Pem<'_>) -> Result<(Private, Vec<u8>), KeyError> {
    if pem.label != "PRIVATE KEY" {
        return Err(wrong_block(pem));
    }
    let pair = Ed25519KeyPair::from_pkcs8(&pem.der).map_err(|_| KeyError::Unfit { algorithm })?;
    let key = EncodingKey::from_ed_der(&pem.der);
    Ok((Private::Jwt(key), public_der(pair.public_key())?))
}
