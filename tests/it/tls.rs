//! TLS: versions, ALPN, and new certificates without dropping a connection.

use std::sync::Arc;

use rustix::process::Signal;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::{Client, DEADLINE, Server, Token};

async fn handshake(
    server: &Server,
    roots: &RootCertStore,
    version: &'static SupportedProtocolVersion,
    alpn: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots.clone())
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(server.address()).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

#[tokio::test]
async fn both_versions_are_spoken_and_http_1_1_is_agreed_on() {
    let server = Server::start();
    for (version, expected) in [
        (&rustls::version::TLS12, ProtocolVersion::TLSv1_2),
        (&rustls::version::TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let stream = handshake(&server, server.roots(), version, &["h2", "http/1.1"])
            .await
            .unwrap();
        let (_, session) = stream.get_ref();
        assert_eq!(session.protocol_version(), Some(expected));
        assert_eq!(session.alpn_protocol(), Some(&b"http/1.1"[..]));
    }
    // Who speaks nothing that we do is turned away in the handshake.
    let h2 = handshake(&server, server.roots(), &rustls::version::TLS13, &["h2"]).await;
    assert!(h2.is_err());
}

/// Waits until handshakes are done with the certificate that `roots` trusts.
async fn renewed(server: &Server, roots: &RootCertStore) {
    let begun = std::time::Instant::now();
    while handshake(server, roots, &rustls::version::TLS13, &[])
        .await
        .is_err()
    {
        assert!(
            begun.elapsed() < DEADLINE,
            "the new certificate is not used"
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_new_certificate_is_used_on_sighup_and_no_connection_drops() {
    let server = Server::start();
    let mut jim = Client::connect(&server, &Token::of("Jim")).await;
    let roots = server.renew_certificate();
    server.signal(Signal::HUP);
    renewed(&server, &roots).await;
    assert!(
        handshake(&server, server.roots(), &rustls::version::TLS13, &[])
            .await
            .is_err()
    );
    jim.expect_silence().await;
}

#[tokio::test]
async fn a_new_certificate_is_used_when_its_file_changes_and_a_broken_one_is_not() {
    let server = Server::start();
    let mut jim = Client::connect(&server, &Token::of("Jim")).await;
    let roots = server.renew_certificate();
    renewed(&server, &roots).await;
    std::fs::write(server.folder().join("cert.pem"), "no certificate").unwrap();
    server.signal(Signal::HUP);
    server.wait_for_log("certificate");
    renewed(&server, &roots).await;
    jim.expect_silence().await;
}
