//! `rollcall keygen`: signing keys, self-signed certificates and API keys, and the configuration that they belong in.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::auth::{Algorithm, SigningKey};
use crate::tls::self_signed;

use super::files::{Privacy, create, create_dir};
use super::{Failure, output};

/// Make a signing key, a self-signed certificate or an API key
///
/// Without --tls or --api-key it makes a key to sign tokens with: jwt-private.pem for the one who makes tokens and
/// jwt-public.pem for the server (HS256, HS384 and HS512: one jwt-secret for both). It never overwrites a file, and says
/// which lines the server's configuration needs. Made by root, a file belongs to the owner of its directory.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How tokens will be signed: HS256/384/512, RS256/384/512, PS256/384/512, ES256/384/512 or EdDSA
    #[arg(long, value_name = "ALG", default_value = "ES256", conflicts_with_all = ["tls", "api_key"])]
    algorithm: Algorithm,
    /// The key's id, for the configuration: it then accepts only tokens that name it as their `kid`
    #[arg(long, value_name = "ID", conflicts_with_all = ["tls", "api_key"])]
    id: Option<String>,
    /// Make a self-signed certificate: cert.pem, which clients must trust, and key.pem
    #[arg(long, requires = "host", conflicts_with = "api_key")]
    tls: bool,
    /// A host name or IP address that the certificate is for; may be repeated
    #[arg(long, value_name = "NAME", requires = "tls", num_args = 1..)]
    host: Vec<String>,
    /// How many days the certificate is valid
    #[arg(long, default_value_t = 825, requires = "tls", value_parser = clap::value_parser!(u32).range(1..=3650))]
    days: u32,
    /// Print a new API key
    #[arg(long, conflicts_with = "out")]
    api_key: bool,
    /// The directory to put the files into; made if need be
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    if args.api_key {
        output::say(&new_api_key()?)?;
        output::remark(
            "Put it on a line of its own into the file that the configuration names:\n\n\
             [api]\nkeys_file = \"/etc/rollcall/api-keys\"",
        );
        return Ok(());
    }
    create_dir(&args.out)?;
    let advice = if args.tls {
        certificate(&args.out, &args.host, args.days)?
    } else {
        signing_key(&args.out, args.algorithm, args.id.as_deref())?
    };
    output::say(&advice)
}

/// Makes an API key of 43 characters; the server demands 32.
pub(super) fn new_api_key() -> Result<String, Failure> {
    Ok(URL_SAFE_NO_PAD.encode(random::<32>()?))
}

/// # Errors
/// When the system has no random numbers.
pub(super) fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::Failed(format!("no randomness: {error}")))?;
    Ok(bytes)
}

fn certificate(dir: &Path, hosts: &[String], days: u32) -> Result<String, Failure> {
    let made = self_signed(hosts, days)?;
    let (certificate, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    create_both(
        (&key, Privacy::Private, &made.private_key),
        (&certificate, Privacy::Public, &made.certificate),
    )?;
    Ok(format!(
        "Made {} and {}, for {}, valid for {days} days. Put into the configuration:\n\n\
         [tls]\n\
         certificate = {}\n\
         private_key = {}\n\n\
         Clients must trust {0}, as in `rollcall join … --ca {0}` or `curl --cacert {0} …`.",
        certificate.display(),
        key.display(),
        hosts.join(", "),
        quoted(&certificate),
        quoted(&key),
    ))
}

fn signing_key(dir: &Path, algorithm: Algorithm, id: Option<&str>) -> Result<String, Failure> {
    let kid = id.map(str::to_owned);
    let (made, key, line) = if algorithm.is_hmac() {
        let (_, secret) = SigningKey::generate_secret(algorithm, kid).map_err(Failure::failed)?;
        let path = dir.join("jwt-secret");
        create(&path, Privacy::Private, &format!("{secret}\n"))?;
        let line = format!("secret_file = {}", quoted(&path));
        (path.display().to_string(), path, line)
    } else {
        let (_, pair) = SigningKey::generate(algorithm, kid).map_err(Failure::failed)?;
        let (private, public) = (dir.join("jwt-private.pem"), dir.join("jwt-public.pem"));
        create_both(
            (&private, Privacy::Private, &pair.private_pem),
            (&public, Privacy::Public, &pair.public_pem),
        )?;
        let line = format!("public_key_file = {}", quoted(&public));
        let made = format!("{} and {}", private.display(), public.display());
        (made, private, line)
    };
    let (id_line, kid_flag) = match id {
        Some(id) => (
            format!("id = {}\n", toml_text(id)),
            format!(" --kid {}", output::shell_word(id)),
        ),
        None => (String::new(), String::new()),
    };
    Ok(format!(
        "Made {made}. Put into the configuration:\n\n\
         [[auth.keys]]\n\
         {id_line}\
         algorithm = \"{algorithm}\"\n\
         {line}\n\n\
         A token to try it with:\n\n  \
         rollcall token --uid Jim --subscribe 'presence.*' --key {} --algorithm {algorithm}{kid_flag}",
        output::shell_word(&key.display().to_string()),
    ))
}

/// Makes two files, or neither.
fn create_both(
    first: (&Path, Privacy, &str),
    second: (&Path, Privacy, &str),
) -> Result<(), Failure> {
    create(first.0, first.1, first.2)?;
    create(second.0, second.1, second.2).inspect_err(|_| {
        // The first was made just now, and is of no use without the second.
        let _ = std::fs::remove_file(first.0);
    })
}

/// A path as a TOML string: absolute, in quotes.
fn quoted(path: &Path) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    toml_text(&absolute.display().to_string())
}

fn toml_text(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use tempfile::TempDir;

    use crate::config::{Config, File, Sources};
    use crate::tls::Pair;

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    /// The TOML in an advice: from its first header to the empty line behind it.
    fn lines(advice: &str) -> &str {
        let start = advice.find("\n[").unwrap() + 1;
        let end = advice[start..].find("\n\n").unwrap();
        &advice[start..start + end]
    }

    #[test]
    fn what_is_made_is_private_and_its_advice_is_a_configuration() {
        for algorithm in [Algorithm::ES256, Algorithm::EdDSA, Algorithm::HS512] {
            let dir = TempDir::new().unwrap();
            let tls = certificate(dir.path(), &["a.example".into(), "10.0.0.1".into()], 9).unwrap();
            let key = signing_key(dir.path(), algorithm, Some("2026-1")).unwrap();
            let text = format!("data_dir = \"d\"\n{}\n{}\n", lines(&tls), lines(&key));
            let config = Config::load(&Sources {
                file: File::Text {
                    name: "advice".into(),
                    dir: PathBuf::new(),
                    text,
                },
                ..Sources::default()
            })
            .unwrap();
            assert_eq!(config.auth.keys[0].algorithm(), algorithm);
            assert_eq!(config.auth.keys[0].id(), Some("2026-1"));
            Pair::read(&config.tls.certificate, &config.tls.private_key).unwrap();
            assert_eq!(mode(&config.tls.private_key), 0o600);
            let secret = match algorithm.is_hmac() {
                true => "jwt-secret",
                false => "jwt-private.pem",
            };
            assert_eq!(mode(&dir.path().join(secret)), 0o600);
        }
    }

    #[test]
    fn nothing_is_overwritten_and_no_half_pair_is_left() {
        let dir = TempDir::new().unwrap();
        std::fs::write(dir.path().join("jwt-public.pem"), "mine").unwrap();
        let error = signing_key(dir.path(), Algorithm::ES256, None).unwrap_err();
        assert!(error.to_string().contains("exists already"), "{error}");
        assert!(!dir.path().join("jwt-private.pem").exists());
        assert_eq!(
            std::fs::read_to_string(dir.path().join("jwt-public.pem")).unwrap(),
            "mine"
        );
    }

    #[test]
    fn a_wrong_host_is_wrong_usage() {
        let dir = TempDir::new().unwrap();
        let error = certificate(dir.path(), &["exämple".into()], 9).unwrap_err();
        assert!(matches!(error, Failure::Usage(_)), "{error}");
    }

    #[test]
    fn api_keys_are_long_and_never_the_same() {
        let (one, two) = (new_api_key().unwrap(), new_api_key().unwrap());
        assert!(one.len() >= 32 && one != two);
    }
}
