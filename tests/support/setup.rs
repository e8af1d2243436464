//! What a server is started with: its configuration's file, in the main.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rollcall::{Algorithm, SigningKey};

use super::Server;

/// The key to the server HTTP API.
pub(crate) const API_KEY: &str = "an-api-key-that-only-the-tests-know-and-use";
/// What tokens are signed with, unless a test says otherwise.
pub(crate) const SECRET: &[u8] = b"a secret that only the tests know and use, by HS256";

/// What a server is started with.
#[derive(Debug, Clone, Default)]
pub(crate) struct Setup {
    /// Lines of the configuration by section; `""` is the top.
    lines: Vec<(String, String)>,
    /// The keys of tokens, in place of the usual one.
    keys: Option<String>,
    /// Another binary than this build's.
    pub(crate) binary: Option<PathBuf>,
    /// Where its folder is made, if not among temporary files.
    pub(crate) within: Option<PathBuf>,
    /// What the binary is started through, such as strace.
    pub(crate) through: Vec<String>,
    /// Variables of its environment.
    pub(crate) env: Vec<(String, String)>,
    /// From when to when its certificate is valid (Unix time in seconds), where that is not for ever.
    pub(crate) valid: Option<(u64, u64)>,
}

impl Setup {
    /// The usual one.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds `line` to a section of the configuration. It replaces an earlier line of the same key.
    pub(crate) fn set(mut self, section: &str, line: &str) -> Self {
        self.lines.push((section.to_owned(), line.to_owned()));
        self
    }

    /// How long the members of before a start have to return.
    pub(crate) fn boot_grace(self, grace: &str) -> Self {
        self.set("presence", &format!("boot_grace = {grace:?}"))
    }

    /// `[[auth.keys]]` in place of the usual key.
    pub(crate) fn keys(mut self, keys: &str) -> Self {
        self.keys = Some(keys.to_owned());
        self
    }

    /// Starts a server and waits until it is ready.
    pub(crate) fn start(self) -> Server {
        let mut server = Server::prepare(self);
        server.run_again();
        server
    }

    /// The text of its configuration's file.
    pub(crate) fn config(&self, folder: &Path) -> String {
        let usual = [
            ("", "listen = [\"127.0.0.1:0\"]".to_owned()),
            ("", format!("data_dir = {:?}", folder.join("data"))),
            (
                "tls",
                format!("certificate = {:?}", folder.join("cert.pem")),
            ),
            ("tls", format!("private_key = {:?}", folder.join("key.pem"))),
            ("api", format!("keys = [{API_KEY:?}]")),
            ("log", "level = \"debug\"".to_owned()),
            ("log", "format = \"text\"".to_owned()),
        ];
        let given = self.lines.iter().map(|(s, l)| (s.as_str(), l.clone()));
        let key = |line: &str| line.split('=').next().unwrap_or_default().trim().to_owned();
        let mut sections: Vec<(String, Vec<String>)> = vec![(String::new(), Vec::new())];
        for (section, line) in usual.into_iter().chain(given) {
            let index = sections.iter().position(|(name, _)| name == section);
            let index = index.unwrap_or_else(|| {
                sections.push((section.to_owned(), Vec::new()));
                sections.len() - 1
            });
            let lines = &mut sections[index].1;
            // The later line of a key counts.
            lines.retain(|there| key(there) != key(&line));
            lines.push(line);
        }
        let mut text = String::new();
        for (name, lines) in &sections {
            match name.as_str() {
                "" => {}
                // What stands behind a `#` tells entries of one array apart.
                array if array.starts_with("[[") => text += &format!("{array}\n"),
                name => text += &format!("[{name}]\n"),
            }
            for line in lines {
                text += &format!("{line}\n");
            }
        }
        let usual = || secret_key(Algorithm::HS256, &STANDARD.encode(SECRET));
        text += &self.keys.clone().unwrap_or_else(usual);
        text
    }
}

/// `[[auth.keys]]` of a secret in Base64.
pub(crate) fn secret_key(algorithm: Algorithm, secret: &str) -> String {
    format!("[[auth.keys]]\nalgorithm = \"{algorithm}\"\nsecret = {secret:?}\n")
}

/// `[[auth.keys]]` of the public half of `key`.
pub(crate) fn public_key(key: &SigningKey) -> String {
    let public = key.public_pem().unwrap();
    let algorithm = key.algorithm();
    format!("[[auth.keys]]\nalgorithm = \"{algorithm}\"\npublic_key = {public:?}\n")
}
