//! Self-signed certificates, to try things out and for closed networks. The certificate is no certificate authority:
//! whoever trusts it trusts this one server and nothing else that might be signed with its key.

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};

use super::Failure;

/// A certificate and its private key, as PEM.
pub(super) struct SelfSigned {
    pub(super) certificate: String,
    pub(super) private_key: String,
}

/// Makes a certificate for these host names and IP addresses, valid from yesterday on.
///
/// # Errors
/// When a name is none, or there is no randomness.
pub(super) fn self_signed(hosts: &[String], days: u32) -> Result<SelfSigned, Failure> {
    let failed = |error: rcgen::Error| Failure::Failed(format!("no certificate made: {error}"));
    let mut params = CertificateParams::new(hosts).map_err(|_| {
        Failure::Usage(format!(
            "among {} is something that is neither a host name nor an IP address",
            hosts.join(", ")
        ))
    })?;
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
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = params.self_signed(&key).map_err(failed)?;
    Ok(SelfSigned {
        certificate: certificate.pem(),
        private_key: key.serialize_pem(),
    })
}

/// Year, month and day, in UTC.
fn day_from_now(days: i64) -> (i32, u8, u8) {
    let today = TimeZone::UTC.to_datetime(Timestamp::now()).date();
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
