//! The folder of the development server, `./rollcall-dev`: a certificate, a signing key and an API key, made on first
//! use and kept; the database; and the URL of the last server. `serve --dev` makes it; `token` and `join` read its keys.

use std::path::{Path, PathBuf};

use crate::auth::{Algorithm, SigningKey};
use crate::config;
use crate::tls::{Pair, Standing, read_validity, self_signed, self_signed_for};
use crate::world::clock;

use super::Failure;
use super::files::{Privacy, create, create_dir, read};
use super::keygen::new_api_key;
use super::output;

pub(super) const DEFAULT_DIR: &str = "rollcall-dev";
pub(super) const DEV_SOCKET: &str = "admin.sock";

/// The algorithm of the development server's signing key.
const ALGORITHM: Algorithm = Algorithm::ES256;

/// The certificate's name, whatever address the server listens on.
pub(super) const HOST: &str = "localhost";

const CERTIFICATE: &str = "tls-cert.pem";
const TLS_KEY: &str = "tls-key.pem";
const PRIVATE_KEY: &str = "jwt-private.pem";
const PUBLIC_KEY: &str = "jwt-public.pem";
const API_KEY: &str = "api-key";
const MADE: [&str; 5] = [CERTIFICATE, TLS_KEY, PRIVATE_KEY, PUBLIC_KEY, API_KEY];
const URL: &str = "url";
/// A new certificate before it is renamed.
const NEW_CERTIFICATE: &str = "tls-cert.pem.new";

/// Long, because nobody looks after a development server.
const CERTIFICATE_DAYS: u32 = 3_650;

/// Where a command looks for the development server's folder.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct DevDir {
    /// The folder of the development server
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DIR)]
    pub(super) dev_dir: PathBuf,
}

fn hosts() -> [String; 3] {
    [HOST, "127.0.0.1", "::1"].map(str::to_owned)
}

/// A complete folder.
#[derive(Debug)]
pub(super) struct DevFolder {
    dir: PathBuf,
}

impl DevFolder {
    /// Opens the folder. Makes it on first use, and renews its certificate when that has expired.
    ///
    /// # Errors
    /// When it cannot be written, or is incomplete or damaged.
    pub(super) fn open_or_make(dir: &Path) -> Result<Self, Failure> {
        if MADE.iter().any(|name| dir.join(name).exists()) {
            let folder = Self::open(dir)?;
            folder.renew_certificate()?;
            return Ok(folder);
        }
        create_dir(dir)?;
        let certificate = self_signed(&hosts(), CERTIFICATE_DAYS)?;
        let (_, pair) = SigningKey::generate(ALGORITHM, None).map_err(Failure::failed)?;
        let write = |name: &str, privacy, text: &str| create(&dir.join(name), privacy, text);
        write(CERTIFICATE, Privacy::Public, &certificate.certificate)?;
        write(TLS_KEY, Privacy::Private, &certificate.private_key)?;
        write(PRIVATE_KEY, Privacy::Private, &pair.private_pem)?;
        write(PUBLIC_KEY, Privacy::Public, &pair.public_pem)?;
        write(API_KEY, Privacy::Private, &format!("{}\n", new_api_key()?))?;
        if !dir.join(".gitignore").exists() {
            // Keys have no place in a repository.
            write(".gitignore", Privacy::Public, "*\n")?;
        }
        Self::open(dir)
    }

    /// Opens a folder that `serve --dev` has made.
    ///
    /// # Errors
    /// When there is none, or it is incomplete or damaged.
    pub(super) fn open(dir: &Path) -> Result<Self, Failure> {
        let folder = Self {
            dir: dir.to_owned(),
        };
        let mut missing = MADE.to_vec();
        missing.retain(|name| !dir.join(name).exists());
        if missing.len() == MADE.len() {
            return Err(Failure::Usage(format!(
                "there is no development server's folder {}; start one with `rollcall serve --dev` in this directory, \
                 or name its folder with --dev-dir DIR",
                dir.display()
            )));
        }
        if !missing.is_empty() {
            return Err(folder.damaged(&format!("lacks {}", missing.join(" and "))));
        }
        folder.check()?;
        Ok(folder)
    }

    fn check(&self) -> Result<(), Failure> {
        Pair::read(&self.certificate(), &self.path(TLS_KEY))
            .map_err(|wrong| self.damaged(&format!("is damaged: {wrong}")))?;
        let key = self.signing_key(None)?;
        let public = read(&self.path(PUBLIC_KEY))?;
        if key.public_pem().map(str::trim) != Some(public.trim()) {
            return Err(self.damaged(&format!(
                "is damaged: {PRIVATE_KEY} and {PUBLIC_KEY} do not belong together"
            )));
        }
        Ok(())
    }

    /// Renews a certificate that has expired, or is not valid yet because the clock was wrong when it was made. The key
    /// stays, so that the two files belong together at any moment.
    fn renew_certificate(&self) -> Result<(), Failure> {
        let standing = read_validity(&self.certificate()).map(|v| v.standing(clock::now_seconds()));
        let Some(standing @ (Standing::Expired { .. } | Standing::NotYet { .. })) = standing else {
            return Ok(());
        };
        let key = read(&self.path(TLS_KEY))?;
        let certificate = self_signed_for(&hosts(), CERTIFICATE_DAYS, &key)?;
        let new = self.path(NEW_CERTIFICATE);
        let old = self.certificate();
        let old = old.display();
        let cannot = |error| Failure::Failed(format!("{old} cannot be replaced: {error}"));
        match std::fs::remove_file(&new) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(cannot(error));
            }
            _ => {}
        }
        create(&new, Privacy::Public, &certificate)?;
        std::fs::rename(&new, self.certificate()).map_err(cannot)?;
        output::remark(&format!(
            "rollcall: the certificate {old} ({standing}) has been replaced by a new one"
        ));
        Ok(())
    }

    fn damaged(&self, what: &str) -> Failure {
        let dir = self.dir.display();
        let files = MADE.map(|name| self.path(name).display().to_string());
        Failure::Failed(format!(
            "the development server's folder {dir} {what}; delete its keys, and `rollcall serve --dev` makes new ones:\n  \
             rm -f {}",
            files.join(" ")
        ))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(super) fn certificate(&self) -> PathBuf {
        self.path(CERTIFICATE)
    }

    pub(super) fn api_key(&self) -> PathBuf {
        self.path(API_KEY)
    }

    /// The key that signs tokens for the development server. With an `id`, tokens name it in their `kid` header.
    pub(super) fn signing_key(&self, id: Option<String>) -> Result<SigningKey, Failure> {
        let pem = read(&self.path(PRIVATE_KEY))?;
        SigningKey::from_pem(ALGORITHM, id, &pem)
            .map_err(|error| self.damaged(&format!("is damaged: {PRIVATE_KEY}: {error}")))
    }

    /// The configuration of the development server, in place of a file.
    pub(super) fn config_file(&self) -> config::File {
        // Deep in a tree a socket's path is too long. The server then has no admin socket.
        let fits = self.path(DEV_SOCKET).as_os_str().len() <= config::SOCKET_PATH_BYTES;
        let admin = fits.then(|| format!("[admin]\nsocket = \"{DEV_SOCKET}\"\n"));
        let admin = admin.unwrap_or_default();
        config::File::Text {
            name: "the development server's configuration".to_owned(),
            dir: self.dir.clone(),
            text: format!(
                "listen = [\"127.0.0.1:8443\"]\n\
                 data_dir = \"data\"\n\
                 [tls]\n\
                 certificate = \"{CERTIFICATE}\"\n\
                 private_key = \"{TLS_KEY}\"\n\
                 [[auth.keys]]\n\
                 algorithm = \"{ALGORITHM}\"\n\
                 public_key_file = \"{PUBLIC_KEY}\"\n\
                 [api]\n\
                 keys_file = \"{API_KEY}\"\n\
                 {admin}"
            ),
        }
    }

    /// Writes the URL of the running server down for `rollcall join`.
    pub(super) fn remember_url(&self, url: &str) -> std::io::Result<()> {
        std::fs::write(self.path(URL), format!("{url}\n"))
    }

    /// The URL of the running or last development server.
    pub(super) fn url(&self) -> String {
        std::fs::read_to_string(self.path(URL))
            .map(|text| text.trim().to_owned())
            .ok()
            .filter(|text| !text.is_empty())
            .unwrap_or_else(|| format!("wss://{HOST}:8443/v1"))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use tempfile::TempDir;

    use crate::config::{Config, Sources};

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn it_is_made_once_with_private_modes_and_then_kept() {
        let temp = TempDir::new().unwrap();
        let dir = temp.path().join("dev");
        DevFolder::open_or_make(&dir).unwrap();
        assert_eq!(mode(&dir), 0o700);
        for (name, wanted) in [
            (CERTIFICATE, 0o644),
            (TLS_KEY, 0o600),
            (PRIVATE_KEY, 0o600),
            (PUBLIC_KEY, 0o644),
            (API_KEY, 0o600),
        ] {
            assert_eq!(mode(&dir.join(name)), wanted, "{name}");
        }
        let before = MADE.map(|name| std::fs::read(dir.join(name)).unwrap());
        DevFolder::open_or_make(&dir).unwrap();
        assert_eq!(
            MADE.map(|name| std::fs::read(dir.join(name)).unwrap()),
            before
        );
    }

    #[test]
    fn its_configuration_is_complete() {
        let temp = TempDir::new().unwrap();
        let folder = DevFolder::open_or_make(temp.path()).unwrap();
        let config = Config::load(&Sources {
            file: folder.config_file(),
            ..Sources::default()
        })
        .unwrap();
        assert_eq!(config.listen, ["127.0.0.1:8443".parse().unwrap()]);
        assert_eq!(config.data_dir, temp.path().join("data"));
        assert_eq!(config.api.keys.len(), 1);
        assert_eq!(config.auth.keys[0].algorithm(), ALGORITHM);
    }

    #[test]
    fn a_partial_or_damaged_one_says_what_to_delete() {
        let spoils: [(&str, &str, Option<&str>); 5] = [
            (API_KEY, "lacks api-key", None),
            (TLS_KEY, "lacks tls-key.pem", None),
            (CERTIFICATE, "is damaged", Some("nonsense")),
            (PRIVATE_KEY, "is damaged", Some("nonsense")),
            (PUBLIC_KEY, "do not belong together", Some("nonsense")),
        ];
        for (name, wanted, content) in spoils {
            let temp = TempDir::new().unwrap();
            DevFolder::open_or_make(temp.path()).unwrap();
            match content {
                Some(text) => std::fs::write(temp.path().join(name), text).unwrap(),
                None => std::fs::remove_file(temp.path().join(name)).unwrap(),
            }
            let error = DevFolder::open_or_make(temp.path())
                .unwrap_err()
                .to_string();
            assert!(error.contains(wanted), "{name}: {error}");
            assert!(error.contains("rm -f "), "{name}: {error}");
            assert!(
                error.contains(&temp.path().join(API_KEY).display().to_string()),
                "{name}: {error}"
            );
        }
    }

    #[test]
    fn a_certificate_of_another_key_is_noticed() {
        let temp = TempDir::new().unwrap();
        DevFolder::open_or_make(temp.path()).unwrap();
        let other = self_signed(&["localhost".to_owned()], 1).unwrap();
        std::fs::write(temp.path().join(TLS_KEY), other.private_key).unwrap();
        let error = DevFolder::open(temp.path()).unwrap_err().to_string();
        assert!(error.contains("cannot be used together"), "{error}");
    }

    #[test]
    fn none_at_all_says_how_to_get_one() {
        let temp = TempDir::new().unwrap();
        let error = DevFolder::open(&temp.path().join("none")).unwrap_err();
        assert!(matches!(error, Failure::Usage(_)));
        assert!(
            error.to_string().contains("rollcall serve --dev"),
            "{error}"
        );
    }

    #[test]
    fn the_url_is_that_of_the_last_server() {
        let temp = TempDir::new().unwrap();
        let folder = DevFolder::open_or_make(temp.path()).unwrap();
        assert_eq!(folder.url(), "wss://localhost:8443/v1");
        folder.remember_url("wss://localhost:9000/v1").unwrap();
        assert_eq!(folder.url(), "wss://localhost:9000/v1");
    }
}
