//! Keys, tokens, patterns and permissions (PROTOCOL.md, section 2). Pure: the caller says what time it is.
//!
//! ```text
//! algorithm      the thirteen signature algorithms
//! keys           what the server verifies with, examined on loading
//! signing        what makes tokens: for development, `rollcall token` and `rollcall keygen`
//! verifier       token text → signature → claims
//! claims         the claims, read and checked
//! channels_claim the `channels` claim, read and checked
//! grants         what it grants, packed to live as long as a connection
//! permissions    the questions the hub asks of grants
//! pattern        exact names, wildcards and regular expressions
//! error          why a token is refused
//! secret         comparing secrets
//! pem            key files
//! ```
//!
//! A token goes through [`Verifier::verify`] once, which makes [`Claims`] of it. Its [`Grants`] stay with the connection or
//! subscription. [`Permissions`] combines both tokens' grants and answers what is allowed.

mod algorithm;
#[cfg(test)]
mod bytes;
mod channels_claim;
mod claims;
mod error;
mod grants;
mod keys;
mod pattern;
mod pem;
mod permissions;
mod secret;
mod signing;
mod verifier;

#[cfg(test)]
mod tests;

pub use algorithm::Algorithm;
pub use claims::Claims;
pub use error::TokenError;
pub use grants::Grants;
pub use keys::{KeyError, VerificationKey};
pub use permissions::Permissions;
pub use secret::same_secret;
pub use signing::SigningKey;
pub use verifier::Verifier;
