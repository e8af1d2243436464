//! Every key, every error with its place, and who overrides whom.

mod layers;
mod problems;
mod reference;
mod rules;
mod values;

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use crate::auth::{Algorithm, SigningKey};

use super::*;
use crate::protocol::{EventKind, EventKinds, Limits};

/// A directory with the files that a configuration names, and the configuration in it.
struct Site {
    dir: TempDir,
    env: Vec<(String, String)>,
    flags: Vec<Flag>,
}

impl Site {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let site = Self {
            dir,
            env: Vec::new(),
            flags: Vec::new(),
        };
        let (_, pair) = SigningKey::generate(Algorithm::ES256, None).unwrap();
        site.write("cert.pem", "a certificate");
        site.write("key.pem", "a private key");
        site.write("jwt.pub.pem", &pair.public_pem);
        site
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.dir.path().join(name), text).unwrap();
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    fn flag(mut self, name: &'static str, key: &'static str, value: &str) -> Self {
        let value = value.to_owned();
        self.flags.push(Flag { name, key, value });
        self
    }

    fn load(&self, toml: &str) -> Result<Config, ConfigError> {
        self.write("rollcall.toml", toml);
        Config::load(&Sources {
            file: File::Required(self.path().join("rollcall.toml")),
            env: self.env.clone(),
            flags: self.flags.clone(),
        })
    }

    /// Loads and must fail; the messages, each without the directory's name.
    fn errors(&self, toml: &str) -> Vec<String> {
        let prefix = format!("{}/", self.path().display());
        self.load(toml)
            .expect_err("an error")
            .problems
            .iter()
            .map(|problem| problem.to_string().replace(&prefix, ""))
            .collect()
    }

    /// What one wrong line, put behind a good configuration, says; it stands on line 9 or, with a header, on line 10.
    fn error(&self, line: &str) -> String {
        let errors = self.errors(&format!("{MINIMAL}{line}\n"));
        assert_eq!(errors.len(), 1, "{errors:#?}");
        errors.into_iter().next().unwrap()
    }
}

/// As little as there can be: 8 lines.
const MINIMAL: &str = r#"data_dir = "data"
[tls]
certificate = "cert.pem"
private_key = "key.pem"
[[auth.keys]]
algorithm = "ES256"
public_key_file = "jwt.pub.pem"

"#;
