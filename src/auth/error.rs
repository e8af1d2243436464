//! Why a token is refused, and how a claim is named in saying so.

use std::borrow::Cow;
use std::fmt;

use super::read::Read;

/// How much of an author's own name for a channel or event is repeated in a message.
const QUOTED_CHARACTERS: usize = 64;

/// Why a token is refused. Nothing of the token is quoted but the name of the claim that is wrong, and that only once
/// the signature is known to be good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a JWT.
    #[error("the token is malformed: {0}")]
    Malformed(&'static str),
    /// Past its `exp`.
    #[error("the token expired {seconds} s ago: get a new one")]
    Expired {
        /// Seconds since `exp`.
        seconds: u64,
    },
    /// Before its `nbf`.
    #[error("the token is not valid before another {seconds} s have passed (claim nbf)")]
    NotYetValid {
        /// Seconds until `nbf`.
        seconds: u64,
    },
    /// Signed by none of the configured keys, or with an `alg` or `kid` that is none of theirs.
    #[error("the token's signature is not from a key this server knows (by its alg and kid)")]
    SignatureInvalid,
    /// `aud` does not name the configured audience.
    #[error("the token is for another audience (claim aud)")]
    AudienceMismatch,
    /// `iss` is not the configured issuer.
    #[error("the token is from another issuer (claim iss)")]
    IssuerMismatch,
    /// A claim is missing, of a wrong type or out of its bounds.
    #[error("the token's claim {claim} is invalid: expected {expected}")]
    ClaimInvalid {
        /// The claim by its path, such as `channels["game.*"].subscribe`.
        claim: String,
        /// What would have been right.
        expected: Cow<'static, str>,
    },
}

impl TokenError {
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

/// Where in the claims we are. It is only written out when something is wrong there.
#[derive(Clone, Copy)]
pub(super) enum Path<'a> {
    /// A claim of the token.
    Claim(&'static str),
    /// A directive.
    Field(&'a Path<'a>, &'static str),
    /// A pattern of the author's.
    Key(&'a Path<'a>, &'a str),
}

impl<'a> Path<'a> {
    pub(super) fn field(&'a self, name: &'static str) -> Self {
        Self::Field(self, name)
    }

    pub(super) fn key(&'a self, key: &'a str) -> Self {
        Self::Key(self, key)
    }

    pub(super) fn invalid(&self, expected: impl Into<Cow<'static, str>>) -> TokenError {
        TokenError::ClaimInvalid {
            claim: self.to_string(),
            expected: expected.into(),
        }
    }

    /// The value read here, if there is one.
    pub(super) fn get<T>(
        &self,
        read: Read<T>,
        expected: &'static str,
    ) -> Result<Option<T>, TokenError> {
        match read {
            Read::Absent => Ok(None),
            Read::Is(value) => Ok(Some(value)),
            Read::Wrong => Err(self.invalid(expected)),
        }
    }

    /// The yes or no read here, if there is one.
    pub(super) fn flag(&self, read: Read<bool>) -> Result<Option<bool>, TokenError> {
        self.get(read, "true or false")
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claim(name) => f.write_str(name),
            Self::Field(parent, name) => write!(f, "{parent}.{name}"),
            Self::Key(parent, key) => match key.char_indices().nth(QUOTED_CHARACTERS) {
                Some((end, _)) => write!(f, "{parent}[{:?}…]", key.get(..end).unwrap_or_default()),
                None => write!(f, "{parent}[{key:?}]"),
            },
        }
    }
}
