//! Whom a webhook's server is verified by: what stops a start is said by `check`, and nothing else is.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::support::{Server, Setup, rows};

fn setup() -> Setup {
    let hook = "[[events.webhooks]]";
    Setup::new()
        .set(hook, "name = \"app\"")
        .set(hook, "url = \"https://localhost:1/hooks\"")
        .set(
            hook,
            "secret = \"whsec_bm8gb25lIGVsc2UgbXVzdCBrbm93IHRoaXM=\"",
        )
}

/// Whether it may start, which both must agree on.
fn verdict(server: &mut Server, what: &str) -> bool {
    let (code, said) = server.checked();
    if code == Some(0) {
        server.run_again();
        server.kill();
        return true;
    }
    assert_eq!(code, Some(2), "{what}: {said}");
    assert!(said.contains("app"), "{what}: {said}");
    server.refused(2, &["app"]);
    false
}

#[test]
fn a_file_of_authorities_stops_both_the_check_and_the_start_or_neither() {
    let mut server = setup()
        .set("[[events.webhooks]]", "ca_file = \"ca.pem\"")
        .prepare();
    let read = |name: &str| fs::read_to_string(server.folder().join(name)).unwrap();
    let (good, key) = (read("cert.pem"), read("key.pem"));
    let section = |der: &[u8]| {
        format!(
            "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
            STANDARD.encode(der)
        )
    };
    let cases = rows! {
        "one" => good.clone() => true;
        "one among comments" => format!("# ours\n{good}\n# end\n") => true;
        "one and a key" => format!("{key}{good}") => true;
        // Bundles of authorities have some that not every program can read.
        "one and another that makes no sense" => format!("{}{good}", section(b"nonsense")) => true;
        "nothing" => String::new() => false;
        "no PEM" => "nonsense".to_owned() => false;
        "a key" => key => false;
        "one that makes no sense" => section(b"nonsense") => false;
        "one that breaks off" => good[..good.len() - 40].to_owned() => false;
        "no Base64" => good.replace("MII", "M!!") => false;
        "one, and one that breaks off" => format!("{good}{}", &good[..good.len() - 40]) => false;
    };
    let file = server.folder().join("ca.pem");
    for (what, text, is_good) in cases {
        fs::write(&file, text).unwrap();
        assert_eq!(verdict(&mut server, what), is_good, "{what}");
    }
}

#[test]
fn a_system_without_authorities_stops_both_the_check_and_the_start() {
    let mut server = setup()
        .env("SSL_CERT_FILE", "/nowhere/at/all.pem")
        .env("SSL_CERT_DIR", "/nowhere")
        .prepare();
    assert!(!verdict(&mut server, "no file"));
    // Over plain HTTP nobody is verified.
    let hook = "[[events.webhooks]]";
    let mut server = setup()
        .set(hook, "url = \"http://localhost:1/hooks\"")
        .env("SSL_CERT_FILE", "/nowhere/at/all.pem")
        .env("SSL_CERT_DIR", "/nowhere")
        .prepare();
    assert!(verdict(&mut server, "no file, and no need"));
}
