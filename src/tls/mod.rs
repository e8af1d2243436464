//! TLS, as far as several rooms need it: whatever reads, makes or judges certificates does it here, and so in one way.
//!
//! - `pair`: a server's certificate and its key
//! - `roots`: whom a client trusts
//! - [`Validity`]: for how long a certificate is good
//! - `self_signed`: certificates to try things out with

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

pub use pair::TlsError;
pub(crate) use pair::{Pair, read_validity};
pub use roots::RootsError;
pub(crate) use roots::{client, client_without_roots};
#[cfg(test)]
pub(crate) use self_signed::SelfSigned;
pub(crate) use self_signed::{SelfSignedError, self_signed, self_signed_for};
pub(crate) use validity::{Standing, Validity};

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// The clock for rustls, whose own panics before 1970.
#[derive(Debug)]
struct WallClock;

impl TimeProvider for WallClock {
    fn current_time(&self) -> Option<UnixTime> {
        let now = Duration::from_secs(clock::now_seconds());
        Some(UnixTime::since_unix_epoch(now))
    }
}
