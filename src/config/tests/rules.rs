//! The rules of single sections: addresses, keys, webhooks, sockets.

use super::*;

#[test]
fn listen_addresses_are_checked() {
    let site = Site::new();
    for (listen, wanted) in [
        (
            "[]",
            "must have at least one item, as in [\"0.0.0.0:8443\"]",
        ),
        (
            "[\"localhost:8443\"]",
            "\"localhost:8443\" is not an address and a port",
        ),
        ("[\":8443\"]", "is not an address and a port"),
        ("[\"127.0.0.1:1\", \"127.0.0.1:1\"]", "is there twice"),
        ("\"127.0.0.1:1\"", "must be a list of texts"),
    ] {
        let errors = site.errors(&format!("\nlisten = {listen}\n{MINIMAL}"));
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(
            errors[0].starts_with("rollcall.toml:2: listen"),
            "{errors:?}"
        );
        assert!(errors[0].contains(wanted), "{errors:?}");
    }
    let two = "[\"127.0.0.1:0\", \"127.0.0.1:0\"]";
    let config = site.load(&format!("listen = {two}\n{MINIMAL}")).unwrap();
    assert_eq!(config.listen.len(), 2);
}

#[test]
fn verification_keys_are_checked() {
    let site = Site::new();
    site.write(
        "broken.pem",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
    );
    let secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA==";
    for (entry, key, wanted) in [
        (
            "public_key_file = \"jwt.pub.pem\"",
            "algorithm",
            "missing; say how tokens are signed",
        ),
        (
            "algorithm = \"ES257\"\npublic_key_file = \"jwt.pub.pem\"",
            "algorithm",
            "unknown algorithm",
        ),
        (
            "algorithm = \"none\"\npublic_key_file = \"jwt.pub.pem\"",
            "algorithm",
            "unknown algorithm",
        ),
        (
            "algorithm = \"ES256\"",
            "algorithm",
            "ES256 needs a key; give public_key or public_key_file",
        ),
        (
            "algorithm = \"HS256\"",
            "algorithm",
            "HS256 needs a key; give secret or secret_file",
        ),
        (
            "algorithm = \"RS256\"\npublic_key_file = \"jwt.pub.pem\"",
            "public_key_file",
            "RSA",
        ),
        (
            "algorithm = \"ES256\"\npublic_key_file = \"broken.pem\"",
            "public_key_file",
            "P-256",
        ),
        (
            "algorithm = \"ES256\"\npublic_key_file = \"absent.pem\"",
            "public_key_file",
            "absent.pem cannot be read (no such file); put the public key there of whoever signs tokens, as PEM",
        ),
        (
            "algorithm = \"ES256\"\npublic_key_file = \".\"",
            "public_key_file",
            "it is a directory",
        ),
        (
            "algorithm = \"ES256\"\npublic_key = \"x\"\npublic_key_file = \"jwt.pub.pem\"",
            "public_key_file",
            "not both",
        ),
        (
            &format!("algorithm = \"ES256\"\nsecret = \"{secret}\""),
            "secret",
            "ES256 has no use for it; give public_key or",
        ),
        (
            "algorithm = \"HS256\"\nsecret = \"c2hvcnQ=\"",
            "secret",
            "at least 32",
        ),
        (
            "algorithm = \"HS256\"\nsecret = \"c2hvcnQ=\"\nallow_short = false",
            "secret",
            "allow_short = true",
        ),
        (
            "algorithm = \"HS256\"\nsecret = \"c2hvcnQ=\"\nsecret_file = \"jwt.pub.pem\"\nallow_short = true",
            "secret_file",
            "not both",
        ),
        (
            "algorithm = \"ES256\"\npublic_key_file = \"jwt.pub.pem\"\nallow_short = true",
            "allow_short",
            "ES256 has no use for it",
        ),
        (
            "algorithm = \"ES256\"\npublic_key_file = \"jwt.pub.pem\"\nallow_short = \"yes\"",
            "allow_short",
            "must be true or false",
        ),
        (
            "algorithm = \"HS256\"\nsecret = \"&%$\"",
            "secret",
            "must be Base64",
        ),
        (
            "algorithm = \"HS256\"\nsecret_file = \"jwt.pub.pem\"",
            "secret_file",
            "must be Base64",
        ),
        (
            "algorithm = \"HS256\"\npublic_key_file = \"jwt.pub.pem\"",
            "public_key_file",
            "HS256 has no use for it",
        ),
        (
            "algorithm = \"ES256\"\npublic_key_file = \"${CREDENTIALS_DIRECTORY}/x\"",
            "public_key_file",
            "is not set",
        ),
    ] {
        let errors = site.errors(&format!("{MINIMAL}[[auth.keys]]\n{entry}\n"));
        assert_eq!(errors.len(), 1, "{entry}: {errors:?}");
        assert!(
            errors[0].contains(&format!(": auth.keys[1].{key}: ")),
            "{entry}: {errors:?}"
        );
        assert!(errors[0].contains(wanted), "{entry}: {errors:?}");
        assert!(
            !errors[0].contains("c2V") && !errors[0].contains("c2hv"),
            "{errors:?}"
        );
        let line: usize = errors[0].split(':').nth(1).unwrap().parse().unwrap();
        assert!((9..=12).contains(&line), "{entry}: {errors:?}");
    }
}

#[test]
fn webhooks_are_checked() {
    let site = Site::new();
    let good = "name = \"app\"\nurl = \"https://app.example\"\n\
                secret = \"whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0\"\n";
    for (from, to, key, wanted) in [
        ("name = \"app\"\n", "", "name", "missing; it is how logs"),
        ("\"app\"", "\"my app\"", "name", "must have 1 to 64 letters"),
        (
            "url = \"https://app.example\"\n",
            "",
            "url",
            "missing; say where",
        ),
        (
            "https://app.example",
            "app.example/hooks",
            "url",
            "must be a URL",
        ),
        (
            "https://app.example",
            "ftp://app.example",
            "url",
            "must be a URL",
        ),
        (
            "https://app.example",
            "https://me:pw@app.example",
            "url",
            "without user name",
        ),
        ("whsec_", "", "secret", "must be whsec_"),
        (
            "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0",
            "c2hvcnQ",
            "secret",
            "24 to 64 random bytes",
        ),
        (
            "secret = \"whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0\"\n",
            "",
            "secret",
            "missing; every webhook is signed",
        ),
        (
            "name",
            "types = [\"hotsock.memberadd\"]\nname",
            "types",
            "did you mean \"hotsock.memberAdded\"?",
        ),
        (
            "name",
            "types = [\"x\"]\nname",
            "types",
            "there are hotsock.connected, ",
        ),
        (
            "name",
            "ca_file = \"absent\"\nname",
            "ca_file",
            "cannot be read (no such file)",
        ),
        (
            "name",
            "secret_file = \"cert.pem\"\nname",
            "secret_file",
            "not both",
        ),
    ] {
        let errors = site.errors(&format!(
            "{MINIMAL}[[events.webhooks]]\n{}",
            good.replacen(from, to, 1)
        ));
        assert_eq!(errors.len(), 1, "{to}: {errors:?}");
        assert!(
            errors[0].contains(&format!(": events.webhooks[0].{key}")),
            "{errors:?}"
        );
        assert!(errors[0].contains(wanted), "{errors:?}");
        assert!(!errors[0].contains("c2V"), "{errors:?}");
    }
    let twice = format!("[[events.webhooks]]\n{good}");
    let error = &site.errors(&format!("{MINIMAL}{twice}{twice}"))[0];
    assert!(error.contains("13") || error.contains("14"), "{error}");
    assert!(error.contains("give each its own name"), "{error}");
}

#[test]
fn a_socket_path_must_fit() {
    let long = format!("[admin]\nsocket = \"/{}\"", "x".repeat(107));
    assert!(Site::new().error(&long).contains("has 108 bytes"));
}
