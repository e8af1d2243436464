//! The parts of TLS that several rooms need: reading, making and judging certificates.
//!
//! - `pair`: a server's certificate and its key
//! - `roots`: the authorities that a client trusts
//! - `validity`: from when to when a certificate is valid
//! - `self_signed`: certificates for tests, development and closed networks

mod pair;
mod roots;
mod self_signed;
mod validity;

use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

use crate::world::clock;

pub(crate) use pair::{Pair, TlsError, read_validity};
pub use roots::RootsError;
pub(crate) use roots::{client, client_without_roots};
#[cfg(test)]
pub(crate) use self_signed::SelfSigned;
pub(crate) use self_signed::{SelfSignedError, self_signed, self_signed_for};
pub(crate) use validity::{Standing, Validity};

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// The clock for rustls. Its own clock panics before 1970.
#[derive(Debug)]
struct WallClock;

impl TimeProvider for WallClock {
    fn current_time(&self) -> Option<UnixTime> {
        let now = Duration::from_secs(clock::now_seconds());
        Some(UnixTime::since_unix_epoch(now))
    }
}
