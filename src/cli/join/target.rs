//! The server that a client connects to, the certificates that it trusts, and its token.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio_tungstenite::tungstenite::http::Uri;

use crate::auth::SigningKey;
use crate::tls;

use super::super::dev::{self, DevFolder};
use super::super::token::{self, Claims};
use super::super::{Failure, files};
use super::Args;

/// How long our own tokens are valid: long enough to connect. Each try makes a new one.
const TOKEN_TTL: Duration = Duration::from_secs(60);

pub(super) struct Target {
    pub(super) uri: Uri,
    pub(super) host: String,
    pub(super) port: u16,
    /// The name that the server's certificate must have.
    pub(super) name: ServerName<'static>,
    pub(super) tls: Arc<ClientConfig>,
    identity: Identity,
    /// The advice for an untrusted certificate.
    pub(super) trust_mend: String,
}

enum Identity {
    /// A token from the command line.
    Given(String),
    /// The development server's key, and the claims to sign with it.
    Own(Box<(SigningKey, Claims)>),
}

impl Target {
    pub(super) fn new(args: &Args) -> Result<Self, Failure> {
        let dev = match (&args.url, &args.token) {
            (Some(_), Some(_)) => None,
            _ => Some(DevFolder::open(&args.dev.dev_dir)?),
        };
        let url = match (&args.url, &dev) {
            (Some(url), _) => url.clone(),
            (None, Some(dev)) => dev.url(),
            (None, None) => return Err(Failure::Usage("--url is missing".into())),
        };
        let (uri, host, port) = parse_url(&url)?;
        let on_dev = dev.as_ref().filter(|_| args.url.is_none());
        let trusted = match (&args.ca, on_dev) {
            (Some(ca), _) => Some(ca.clone()),
            (None, Some(dev)) => Some(dev.certificate()),
            (None, None) => None,
        };
        let name = match on_dev {
            Some(_) => dev::HOST.to_owned(),
            None => host.clone(),
        };
        let name = ServerName::try_from(name)
            .map_err(|_| Failure::Usage(format!("{url}: {host} is no host name")))?;
        let trust_mend = match on_dev {
            Some(_) => format!(
                "the server at {host}:{port} is not the one whose folder is {}",
                args.dev.dev_dir.display()
            ),
            None => "name the certificate to trust, or its authority's, with --ca FILE".to_owned(),
        };
        let identity = match (&args.token, &dev) {
            (Some(token), _) => Identity::Given(given(token)?),
            (None, Some(dev)) => {
                let directives = token::directives(std::slice::from_ref(&args.event), true)?;
                let claims = Claims {
                    scope: "connect".to_owned(),
                    uid: args.uid.clone(),
                    umd: args.umd.clone(),
                    keep_alive: true,
                    channels: [(args.channel.clone(), directives)].into(),
                    ..Claims::default()
                };
                Identity::Own(Box::new((dev.signing_key(None)?, claims)))
            }
            (None, None) => return Err(Failure::Usage("--token is missing".into())),
        };
        Ok(Self {
            uri,
            host,
            port,
            name,
            tls: Arc::new(tls::client(trusted.as_deref()).map_err(Failure::failed)?),
            identity,
            trust_mend,
        })
    }

    /// The token for a connection that is opened now.
    pub(super) fn token(&self) -> Result<String, Failure> {
        match &self.identity {
            Identity::Given(token) => Ok(token.clone()),
            Identity::Own(own) => {
                let exp = token::expiry(token::now(), TOKEN_TTL);
                let claims = Claims {
                    exp,
                    ..own.1.clone()
                };
                token::sign(&own.0, &claims)
            }
        }
    }

    /// `wss://host:port`, without the parts of a URL that may be secret.
    pub(super) fn show(&self) -> String {
        match self.host.contains(':') {
            true => format!("wss://[{}]:{}", self.host, self.port),
            false => format!("wss://{}:{}", self.host, self.port),
        }
    }
}

/// A token, or that of a file where it is `@FILE`.
fn given(token: &str) -> Result<String, Failure> {
    let token = match token.strip_prefix('@') {
        Some(path) => files::read(std::path::Path::new(path))?,
        None => token.to_owned(),
    };
    let token = token.trim();
    let plain = !token.is_empty() && token.chars().all(|c| c.is_ascii_graphic());
    match plain {
        true => Ok(token.to_owned()),
        false => Err(Failure::Usage(
            "--token is no JWT: three parts of Base64 with dots between".into(),
        )),
    }
}

/// Returns the URI to request, the host without brackets, and the port.
fn parse_url(url: &str) -> Result<(Uri, String, u16), Failure> {
    let wrong = |why: &str| {
        // A query may hold a token, so it is not repeated.
        let shown = url.split('?').next().unwrap_or_default();
        Failure::Usage(format!(
            "{shown:?} {why}; write it as in wss://presence.example:8443"
        ))
    };
    let uri: Uri = url.trim().parse().map_err(|_| wrong("is no URL"))?;
    match uri.scheme_str() {
        Some("wss") => {}
        Some("ws" | "http") => return Err(wrong("is not encrypted, and Rollcall speaks TLS only")),
        _ => return Err(wrong("does not begin with wss://")),
    }
    let authority = uri.authority().ok_or_else(|| wrong("has no host"))?.clone();
    if authority.as_str().contains('@') {
        return Err(wrong("has a user name, for which there is no use"));
    }
    let host = authority.host().trim_matches(['[', ']']).to_owned();
    if host.is_empty() {
        return Err(wrong("has no host"));
    }
    let port = match (authority.port_u16(), authority.port()) {
        (Some(port), _) => port,
        (None, None) => 443,
        (None, Some(_)) => return Err(wrong("has a port that is none")),
    };
    let path = match uri.path_and_query().map_or("/", |path| path.as_str()) {
        "/" | "" => "/v1",
        path => path,
    };
    let uri = Uri::builder()
        .scheme("wss")
        .authority(authority)
        .path_and_query(path)
        .build()
        .map_err(|_| wrong("is no URL"))?;
    Ok((uri, host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        for (url, uri, host, port) in [
            ("wss://a.example", "wss://a.example/v1", "a.example", 443),
            (
                "wss://a.example:8443/",
                "wss://a.example:8443/v1",
                "a.example",
                8443,
            ),
            ("wss://[::1]:9/v1", "wss://[::1]:9/v1", "::1", 9),
            (
                "wss://a.example/x?token=t",
                "wss://a.example/x?token=t",
                "a.example",
                443,
            ),
        ] {
            let parsed = parse_url(url).unwrap();
            assert_eq!(parsed.0.to_string(), uri);
            assert_eq!((parsed.1.as_str(), parsed.2), (host, port));
        }
        for (url, wanted) in [
            ("ws://a.example", "TLS only"),
            ("https://a.example", "does not begin with wss://"),
            ("a.example:8443", "wss://"),
            ("wss://me:pw@a.example", "user name"),
            ("wss://", "is no URL"),
            ("", "is no URL"),
        ] {
            let error = parse_url(url).unwrap_err().to_string();
            assert!(error.contains(wanted), "{url}: {error}");
        }
        let error = parse_url("ws://a.example/?token=secret").unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    #[test]
    fn a_token_comes_as_it_is_or_from_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "a.b.c\n").unwrap();
        assert_eq!(given("a.b.c").unwrap(), "a.b.c");
        assert_eq!(
            given(&format!("@{}", file.path().display())).unwrap(),
            "a.b.c"
        );
        assert!(matches!(given(" "), Err(Failure::Usage(_))));
        assert!(matches!(given("a b"), Err(Failure::Usage(_))));
        assert!(matches!(given("@/absent/token"), Err(Failure::Failed(_))));
    }
}
