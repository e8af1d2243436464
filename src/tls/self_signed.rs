//! Self-signed certificates, to try things out and for closed networks. The certificate is no certificate authority:
//! whoever trusts it trusts this one server and nothing else that might be signed with its key.

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};

use crate::world::clock;

/// A certificate and its private key, as PEM.
pub(crate) struct SelfSigned {
    pub(crate) certificate: String,
    pub(crate) private_key: String,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SelfSignedError {
    /// It cannot be for what was asked for.
    #[error("among {0} is something that is neither a host name nor an IP address")]
    Hosts(String),
    /// It cannot be made: no randomness, or a key that is none.
    #[error("no certificate made: {0}")]
    Made(#[from] rcgen::Error),
}

/// Makes a certificate for these host names and IP addresses, valid from yesterday on, and a key for it.
///
/// # Errors
/// When a name is none, or there is no randomness.
pub(crate) fn self_signed(hosts: &[String], days: u32) -> Result<SelfSigned, SelfSignedError> {
    let key = KeyPair::generate()?;
    Ok(SelfSigned {
        certificate: certificate(hosts, days, &key)?,
        private_key: key.serialize_pem(),
    })
}

/// The same for a key that there is already; returns the certificate.
///
/// # Errors
/// When a name or the key is none.
pub(crate) fn self_signed_for(
    hosts: &[String],
    days: u32,
    private_key: &str,
) -> Result<String, SelfSignedError> {
    certificate(hosts, days, &KeyPair::from_pem(private_key)?)
}

fn certificate(hosts: &[String], days: u32, key: &KeyPair) -> Result<String, SelfSignedError> {
    let mut params =
        CertificateParams::new(hosts).map_err(|_| SelfSignedError::Hosts(hosts.join(", ")))?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, "Rollcall, self-signed");
    params.distinguished_name = subject;
    // Neither a CA nor limited in its key's usage: so rustls takes it as a server's certificate, OpenSSL as one that
    // signed itself, and both as a thing to trust.
    params.is_ca = IsCa::NoCa;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let (year, month, day) = day_from_now(-1);
    params.not_before = date_time_ymd(year, month, day);
    let (year, month, day) = day_from_now(i64::from(days));
    params.not_after = date_time_ymd(year, month, day);
    Ok(params.self_signed(key)?.pem())
}

/// Year, month and day, in UTC.
fn day_from_now(days: i64) -> (i32, u8, u8) {
    let now = i64::try_from(clock::now_seconds()).unwrap_or(i64::MAX);
    let now = Timestamp::from_second(now).unwrap_or(Timestamp::MAX);
    let today = TimeZone::UTC.to_datetime(now).date();
    let day = Span::new()
        .try_days(days)
        .and_then(|span| today.checked_add(span))
        .unwrap_or(today);
    (
        i32::from(day.year()),
        u8::try_from(day.month()).unwrap_or(1),
        u8::try_from(day.day()).unwrap_or(1),
    )
}
