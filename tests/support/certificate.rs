//! Certificates for localhost, and clients that trust them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A certificate that signs itself.
pub(crate) struct Certificate {
    /// In PEM.
    pub(crate) certificate: String,
    /// Its private key, in PEM.
    pub(crate) key: String,
    /// Trusts it, and nothing else.
    pub(crate) roots: RootCertStore,
}

impl Certificate {
    /// Makes one that is valid from and until these moments (Unix time in seconds), or for ever.
    pub(crate) fn make(valid: Option<(u64, u64)>) -> Self {
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        if let Some((from, until)) = valid {
            let at = |unix| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(unix);
            (params.not_before, params.not_after) = (at(from), at(until));
        }
        let key = rcgen::KeyPair::generate().unwrap();
        let made = params.self_signed(&key).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.der().clone()).unwrap();
        Self {
            certificate: made.pem(),
            key: key.serialize_pem(),
            roots,
        }
    }
}

/// Connects as browsers do: AES-128 comes first. Every handshake is a full one.
pub(crate) fn connector(roots: &RootCertStore) -> TlsConnector {
    let mut provider = aws_lc_rs::default_provider();
    provider
        .cipher_suites
        .sort_by_key(|suite| *suite != aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256);
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots.clone())
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    TlsConnector::from(Arc::new(config))
}

/// The TLS handshake with a server on this machine.
pub(crate) async fn handshake(
    connector: &TlsConnector,
    stream: TcpStream,
) -> io::Result<TlsStream<TcpStream>> {
    stream.set_nodelay(true)?;
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    connector.connect(name, stream).await
}
