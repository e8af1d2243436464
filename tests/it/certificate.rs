//! A certificate outside its time, or a clock that is wrong: whoever does not mind is served, and everybody who should
//! know is told.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::support::{Server, Setup, in_time, now, rows};

const DAY: u64 = 86_400;

/// A client that knows the server's certificate and asks for nothing else.
#[derive(Debug)]
struct Pinned(CertificateDer<'static>);

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        assert_eq!(*end_entity, self.0);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// What a client that pins the certificate gets from `/healthz`.
async fn pinned(server: &Server) -> String {
    let certificate = CertificateDer::from_pem_file(server.folder().join("cert.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned(certificate)))
        .with_no_client_auth();
    let exchange = async {
        let stream = TcpStream::connect(server.address()).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let mut stream = connector.connect(name, stream).await.unwrap();
        let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    in_time("an answer", exchange).await
}

#[tokio::test]
async fn a_certificate_outside_its_time_is_served_with_a_warning_and_renewed_when_its_file_is() {
    let now = now();
    let cases = rows! {
        (now - 10 * DAY, now - 3 * DAY - 60) => "expired 3 days ago" => "expired" => -4;
        (now + 3 * DAY + 60, now + 90 * DAY) => "not valid yet" => "notYetValid" => 90;
        (now - DAY, now + 12 * DAY + 60) => "valid for 12 more days" => "endsSoon" => 12;
    };
    for ((from, until), words, state, days_left) in cases {
        let setup = Setup::new().operated();
        let server = setup.valid(from, until).start();
        let warned = server.wait_for_log(words);
        assert!(warned.contains("WARN"), "{warned}");
        assert!(pinned(&server).await.starts_with("HTTP/1.1 200"));
        let (json, shown) = server.status();
        let certificate = &json["certificate"];
        assert_eq!(certificate["state"], state, "{certificate}");
        // Rounded down: of the last day there is less than one left.
        let left = certificate["daysLeft"].as_i64().unwrap();
        assert!((days_left - 1..=days_left).contains(&left), "{certificate}");
        assert!(shown.contains(words), "{shown}");
        server.check(0, &["warning: ", words]);

        // Whoever renews it need not start anything.
        server.renew_certificate();
        server.wait_for_log("certificate reloaded");
        let (json, shown) = server.status();
        assert_eq!(json["certificate"]["state"], "valid", "{json}");
        assert!(!shown.contains(words), "{shown}");
    }
}

#[tokio::test]
async fn a_certificate_in_its_time_is_no_reason_to_warn() {
    let now = now();
    let server = Setup::new().valid(now - DAY, now + 31 * DAY + 60).start();
    let said = server.check(0, &[]);
    assert!(!said.contains("warning: the certificate"), "{said}");
    assert!(said.contains("valid for 31 more days"), "{said}");
    assert!(
        !server.log().contains("WARN rollcall::server::tls"),
        "{}",
        server.log()
    );
}

#[test]
fn a_certificate_that_is_none_is_for_a_person_to_mend() {
    let server = Setup::new().prepare();
    for text in ["", "no certificate"] {
        std::fs::write(server.folder().join("cert.pem"), text).unwrap();
        server.refused(2, &[]);
        server.check(2, &[]);
    }
}
