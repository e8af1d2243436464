//! Why a token is refused.

use std::borrow::Cow;
use std::fmt;

use crate::protocol::Misfit;

/// Why a token is refused. Of the token it quotes only the name of a wrong claim, and only once the signature is good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("the token is malformed: {0}")]
    Malformed(&'static str),
    #[error("the token expired {seconds} s ago: get a new one")]
    Expired { seconds: u64 },
    #[error("the token is not valid before another {seconds} s have passed (claim nbf)")]
    NotYetValid { seconds: u64 },
    #[error("the token's signature is not from a key this server knows (by its alg and kid)")]
    SignatureInvalid,
    #[error("the token is for another audience (claim aud)")]
    AudienceMismatch,
    #[error("the token is from another issuer (claim iss)")]
    IssuerMismatch,
    #[error("the token's claim {claim} is invalid: expected {expected}")]
    ClaimInvalid {
        /// The claim by its path, such as `channels["game.*"].subscribe`.
        claim: String,
        expected: Cow<'static, str>,
    },
}

impl TokenError {
    pub(super) const NO_CLAIMS: Self =
        Self::Malformed("its claims are no JSON object, or it names one twice");

    pub(super) fn invalid(
        claim: impl fmt::Display,
        expected: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::ClaimInvalid {
            claim: claim.to_string(),
            expected: expected.into(),
        }
    }

    /// The stable code, for clients and logs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "TOKEN_MALFORMED",
            Self::Expired { .. } => "TOKEN_EXPIRED",
            Self::NotYetValid { .. } => "TOKEN_NOT_YET_VALID",
            Self::SignatureInvalid => "TOKEN_SIGNATURE_INVALID",
            Self::AudienceMismatch => "TOKEN_AUDIENCE_MISMATCH",
            Self::IssuerMismatch => "TOKEN_ISSUER_MISMATCH",
            Self::ClaimInvalid { .. } => "TOKEN_CLAIM_INVALID",
        }
    }
}

impl From<Misfit> for TokenError {
    fn from(misfit: Misfit) -> Self {
        match misfit {
            Misfit::Missing { path, expected } | Misfit::Wrong { path, expected, .. } => {
                Self::invalid(path, expected)
            }
            Misfit::Broken { .. } => Self::NO_CLAIMS,
        }
    }
}
