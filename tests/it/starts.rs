//! How a start that fails ends: 2 for what a person must edit, 1 for what may pass by itself and is tried again.

use std::fs;
use std::net::TcpListener;

use crate::support::Setup;

#[test]
fn what_may_pass_by_itself_is_1() {
    // A disk that is not there.
    let setup = Setup::new().set("", "data_dir = \"/proc/nowhere\"");
    setup.refused(1, &["/proc/nowhere"]);
    // A certificate that has been renewed, and its key not yet.
    let mut server = Setup::new().start();
    server.terminate();
    let (key, other) = (server.folder().join("key.pem"), Setup::new().start());
    fs::copy(other.folder().join("key.pem"), &key).unwrap();
    server.refused(1, &["cannot be used together"]);
    // An address that somebody else has.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let setup = Setup::new().set("", &format!("listen = [\"{address}\"]"));
    setup.refused(1, &[&address.to_string()]);
}

#[test]
fn what_a_person_must_edit_is_2() {
    let setup = Setup::new().set("presence", "boot_grase = \"1s\"");
    setup.refused(2, &[]);
    let mut server = Setup::new().start();
    server.terminate();
    let certificate = server.folder().join("cert.pem");
    let whole = fs::read(&certificate).unwrap();
    fs::write(&certificate, "no certificate").unwrap();
    server.refused(2, &[]);
    fs::write(&certificate, whole).unwrap();
    // All that was ever made durable is gone.
    fs::remove_dir_all(server.data_dir().join("db")).unwrap();
    server.refused(2, &["damaged"]);
}
