//! Self-signed certificates, for development and closed networks. The certificate is no certificate authority: a client that
//! trusts it trusts this one server, and nothing else signed with its key.

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

#[derive(Debug, thiserror::Error)]
pub(crate) enum SelfSignedError {
    #[error("among {0} is something that is neither a host name nor an IP address")]
    Hosts(String),
    /// There is no randomness, or the key cannot be read.
    #[error("no certificate made: {0}")]
    Made(#[from] rcgen::Error),
}

/// Makes a certificate for these host names and IP addresses, valid from yesterday on, and a key for it.
pub(crate) fn self_signed(hosts: &[String], days: u32) -> Result<SelfSigned, SelfSignedError> {
    let key = KeyPair::generate()?;
    Ok(SelfSigned {
        certificate: certificate(hosts, days, &key)?,
        private_key: key.serialize_pem(),
    })
}

/// Makes a certificate for an existing key.
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
    // It is no CA, and its key's usage is not limited. So rustls accepts it as a server's certificate, OpenSSL accepts it as
    // self-signed, and both can trust it.
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
