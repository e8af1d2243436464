//! `rollcall token`: makes a token, for trying things out and for scripts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::auth::{Algorithm, SigningKey};
use crate::config;
use crate::protocol::{Json, Limits};

use super::dev::{DevDir, DevFolder};
use super::keygen::random;
use super::{Failure, files, output};

/// Ten years.
const MAX_TTL: Duration = Duration::from_secs(3_650 * 86_400);

/// Make a token
///
/// Prints the token alone, signed with the development server's key or with --key. What it allows:
///
///   rollcall token --uid Jim --subscribe 'presence.*' --publish chat
///
/// may subscribe to every presence channel and send `chat` there. For anything finer, give the `channels` claim itself
/// with --channels.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// Who this is; presence channels need it
    #[arg(long, value_name = "NAME", value_parser = parse_uid)]
    uid: Option<String>,
    /// What others see of them, as JSON, as in '{"name":"Jim"}'
    #[arg(long, value_name = "JSON", value_parser = parse_umd)]
    umd: Option<Json>,
    /// Channels that may be subscribed to: a name, a pattern such as 'presence.*' or '#regex:…'; may be repeated
    #[arg(long, value_name = "PATTERN")]
    subscribe: Vec<String>,
    /// Events that may be sent to those channels: a name or a pattern; may be repeated
    #[arg(long, value_name = "EVENT", requires = "subscribe")]
    publish: Vec<String>,
    /// The `channels` claim, as JSON; --subscribe adds to it
    #[arg(long, value_name = "JSON", value_parser = parse_channels)]
    channels: Option<Channels>,
    /// What it may be used for: connect, subscribe, umd, or several between spaces
    #[arg(long, default_value = "connect", value_parser = parse_scope)]
    scope: String,
    /// How long it may be used, as in 30s, 10m, 1h or 7d
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse_ttl)]
    ttl: Duration,
    /// The private key to sign with: PEM, or Base64 for HS256, HS384 and HS512 [default: the development server's]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// What that key is for: HS256/384/512, RS256/384/512, PS256/384/512, ES256/384/512 or EdDSA
    #[arg(long, value_name = "ALG", requires = "key", default_value = "ES256")]
    algorithm: Algorithm,
    /// The key's id, for the token's header: the `id` of the server's [[auth.keys]]
    #[arg(long, value_name = "ID")]
    kid: Option<String>,
    /// The audience (`aud`), where the server asks for one
    #[arg(long, value_name = "NAME")]
    audience: Option<String>,
    /// The issuer (`iss`), where the server asks for one
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,
    /// Usable on this one connection only
    #[arg(long, value_name = "ID")]
    connection_id: Option<String>,
    /// Usable once (in each scope)
    #[arg(long)]
    single_use: bool,
    /// Have the server keep the connection from falling idle
    #[arg(long)]
    keep_alive: bool,
    /// Have the server close the connection unless it hears a heartbeat this often, in seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u16).range(5..=600))]
    heartbeat_timeout: Option<u16>,
    #[command(flatten)]
    dev: DevDir,
}

/// The `channels` claim.
type Channels = BTreeMap<String, Json>;

/// The claims of a token (PROTOCOL.md, section 2), in the order in which they are written.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Claims {
    pub(super) exp: i64,
    pub(super) scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) aud: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) iss: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) jti: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) single_use: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) uid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) umd: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) connection_id: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) keep_alive: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) heartbeat_timeout: Option<u16>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) channels: Channels,
}

#[derive(Serialize)]
struct Directives<'a> {
    subscribe: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    messages: BTreeMap<&'a str, Publish>,
}

#[derive(Clone, Copy, Serialize)]
struct Publish {
    publish: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    echo: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let key = match &args.key {
        Some(path) => signing_key(path, args.algorithm, args.kid.clone())?,
        None => DevFolder::open(&args.dev.dev_dir)?.signing_key(args.kid.clone())?,
    };
    output::say(&sign(&key, &claims(args, now())?)?)
}

fn claims(args: &Args, now: i64) -> Result<Claims, Failure> {
    let mut channels = args.channels.clone().unwrap_or_default();
    for pattern in &args.subscribe {
        let directives = directives(&args.publish, false)?;
        if channels.insert(pattern.clone(), directives).is_some() {
            return Err(Failure::Usage(format!(
                "{pattern:?} is given twice, by --subscribe and before; say all about it in --channels"
            )));
        }
    }
    Ok(Claims {
        exp: expiry(now, args.ttl),
        scope: args.scope.clone(),
        aud: args.audience.clone(),
        iss: args.issuer.clone(),
        jti: args.single_use.then(random_id).transpose()?,
        single_use: args.single_use,
        uid: args.uid.clone(),
        umd: args.umd.clone(),
        connection_id: args.connection_id.clone(),
        keep_alive: args.keep_alive,
        heartbeat_timeout: args.heartbeat_timeout,
        channels,
    })
}

/// The directives that allow subscribing, and sending these events.
pub(super) fn directives(publish: &[String], echo: bool) -> Result<Json, Failure> {
    let publishing = Publish {
        publish: true,
        echo,
    };
    let text = serde_json::to_string(&Directives {
        subscribe: true,
        messages: publish.iter().map(|event| (&**event, publishing)).collect(),
    })
    .map_err(Failure::failed)?;
    Json::parse(&text).map_err(Failure::failed)
}

pub(super) fn sign(key: &SigningKey, claims: &Claims) -> Result<String, Failure> {
    let text = serde_json::to_string(claims).map_err(Failure::failed)?;
    key.sign_json(&text)
        .map_err(|error| Failure::Failed(format!("the token cannot be signed: {error}")))
}

fn signing_key(
    path: &Path,
    algorithm: Algorithm,
    id: Option<String>,
) -> Result<SigningKey, Failure> {
    let text = files::read(path)?;
    let key = if algorithm.is_hmac() {
        let secret = config::base64(&text).ok_or_else(|| {
            Failure::Usage(format!(
                "{}: {algorithm} needs a secret in Base64, as `rollcall keygen --algorithm {algorithm}` makes it",
                path.display()
            ))
        })?;
        SigningKey::from_secret(algorithm, id, &secret)
    } else {
        SigningKey::from_pem(algorithm, id, &text)
    };
    key.map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))
}

/// Unix time in seconds.
pub(super) fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// The `exp` of a token made now: at least a second away.
pub(super) fn expiry(now: i64, ttl: Duration) -> i64 {
    now.saturating_add(i64::try_from(ttl.as_secs().max(1)).unwrap_or(i64::MAX))
}

fn random_id() -> Result<String, Failure> {
    let bytes = random::<16>()?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Refuses only what no server takes. A server's own limits are in its configuration (`[limits]`).
pub(super) fn parse_uid(text: &str) -> Result<String, String> {
    const MOST: usize = Limits::MOST.uid_characters;
    match text.chars().count() {
        0 => Err("a uid must not be empty".into()),
        n if n > MOST => Err(format!(
            "it has {n} characters, and no server takes more than {MOST}"
        )),
        _ => Ok(text.to_owned()),
    }
}

/// Refuses only what no server takes.
pub(super) fn parse_umd(text: &str) -> Result<Json, String> {
    const MOST: usize = Limits::MOST.umd_bytes;
    let json = Json::parse(text)
        .map_err(|error| format!("{error} (a text needs quotes of its own, as in '\"away\"')"))?;
    match json.as_str().len() {
        n if n > MOST => Err(format!(
            "it has {n} bytes, and no server takes more than {MOST}"
        )),
        _ => Ok(json),
    }
}

fn parse_channels(text: &str) -> Result<Channels, String> {
    let channels: Channels = serde_json::from_str(text)
        .map_err(|error| format!("no JSON object of channels: {error}"))?;
    let wrong = |(_, directives): &(_, &Json)| !directives.as_str().starts_with('{');
    match channels.iter().find(wrong) {
        Some((pattern, _)) => Err(format!(
            "{pattern:?} must have an object of directives, as in {{\"subscribe\":true}}"
        )),
        None => Ok(channels),
    }
}

fn parse_scope(text: &str) -> Result<String, String> {
    let words = text.split([' ', ',']).filter(|word| !word.is_empty());
    let words: Vec<&str> = words.collect();
    let is_unknown = |word: &&&str| !["connect", "subscribe", "umd"].contains(word);
    match words.iter().find(is_unknown) {
        Some(word) => Err(format!("{word:?} is none of connect, subscribe, umd")),
        None if words.is_empty() => Err("give at least one of connect, subscribe, umd".into()),
        None => Ok(words.join(" ")),
    }
}

fn parse_ttl(text: &str) -> Result<Duration, String> {
    match config::duration(text) {
        Some(ttl) if ttl >= Duration::from_secs(1) && ttl <= MAX_TTL => Ok(ttl),
        Some(_) => Err("must be between 1s and 3650d".into()),
        None => Err(format!("must be {}", config::DURATION_FORM)),
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use tempfile::TempDir;

    use super::super::Command;
    use super::super::tests::parse;
    use super::*;

    fn args(line: &[&str]) -> Args {
        let line: Vec<&str> = std::iter::once("token")
            .chain(line.iter().copied())
            .collect();
        match parse(&line).unwrap() {
            Command::Token(args) => args,
            other => panic!("{other:?}"),
        }
    }

    fn text(line: &[&str]) -> String {
        serde_json::to_string(&claims(&args(line), 1_000).unwrap()).unwrap()
    }

    #[test]
    fn claims_are_what_was_asked_for_and_no_more() {
        assert_eq!(text(&[]), r#"{"exp":4600,"scope":"connect"}"#);
        assert_eq!(
            text(&[
                "--uid",
                "Jim",
                "--umd",
                r#"{ "z": 1.10, "a": 2 }"#,
                "--subscribe",
                "presence.*"
            ]),
            r#"{"exp":4600,"scope":"connect","uid":"Jim","umd":{"z":1.10,"a":2},"channels":{"presence.*":{"subscribe":true}}}"#
        );
        assert_eq!(
            text(&[
                "--subscribe",
                "a",
                "--subscribe",
                "b",
                "--publish",
                "chat",
                "--publish",
                "m*",
                "--ttl",
                "10s"
            ]),
            r#"{"exp":1010,"scope":"connect","channels":{"a":{"subscribe":true,"messages":{"chat":{"publish":true},"m*":{"publish":true}}},"b":{"subscribe":true,"messages":{"chat":{"publish":true},"m*":{"publish":true}}}}}"#
        );
        assert_eq!(
            text(&[
                "--channels",
                r##"{"#regex:x+":{"getInfo":true}}"##,
                "--subscribe",
                "a",
                "--scope",
                "connect,umd"
            ]),
            r##"{"exp":4600,"scope":"connect umd","channels":{"#regex:x+":{"getInfo":true},"a":{"subscribe":true}}}"##
        );
        assert_eq!(
            text(&[
                "--audience",
                "hotsock",
                "--issuer",
                "me",
                "--connection-id",
                "c",
                "--keep-alive",
                "--heartbeat-timeout",
                "30"
            ]),
            r#"{"exp":4600,"scope":"connect","aud":"hotsock","iss":"me","connectionId":"c","keepAlive":true,"heartbeatTimeout":30}"#
        );
        let single = claims(&args(&["--single-use"]), 0).unwrap();
        assert!(single.single_use);
        assert_eq!(single.jti.unwrap().len(), 32);
    }

    #[test]
    fn what_every_server_would_refuse_is_refused_here() {
        assert!(parse_uid(&"é".repeat(512)).is_ok());
        assert!(parse_uid(&"é".repeat(513)).unwrap_err().contains("512"));
        assert!(parse_uid("").is_err());
        assert!(parse_umd(&format!("\"{}\"", "x".repeat(16_382))).is_ok());
        let large = format!("\"{}\"", "x".repeat(16_383));
        assert!(parse_umd(&large).unwrap_err().contains("16384"));
        assert!(parse_umd("Jim").unwrap_err().contains("quotes"));
        assert!(parse_channels("[]").is_err());
        assert!(
            parse_channels(r#"{"a":true}"#)
                .unwrap_err()
                .contains("\"a\" must have")
        );
        assert!(parse_scope("connect publish").is_err());
        assert!(parse_scope(" ").is_err());
        let twice = args(&["--channels", r#"{"a":{}}"#, "--subscribe", "a"]);
        assert!(matches!(claims(&twice, 0), Err(Failure::Usage(_))));
    }

    #[test]
    fn tokens_are_signed_with_the_key_that_was_named() {
        let dir = TempDir::new().unwrap();
        let payload = |token: &str| {
            let part = token.split('.').nth(1).unwrap();
            String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
        };
        for algorithm in [Algorithm::ES256, Algorithm::EdDSA, Algorithm::HS256] {
            let path = dir.path().join(algorithm.name());
            let text = if algorithm.is_hmac() {
                SigningKey::generate_secret(algorithm, None).unwrap().1
            } else {
                SigningKey::generate(algorithm, None).unwrap().1.private_pem
            };
            std::fs::write(&path, text).unwrap();
            let key = signing_key(&path, algorithm, Some("k1".into())).unwrap();
            let claims = claims(&args(&["--uid", "Jim"]), 1_000).unwrap();
            let token = sign(&key, &claims).unwrap();
            assert_eq!(
                payload(&token),
                r#"{"exp":4600,"scope":"connect","uid":"Jim"}"#
            );
            let header = URL_SAFE_NO_PAD
                .decode(token.split('.').next().unwrap())
                .unwrap();
            let header: serde_json::Value = serde_json::from_slice(&header).unwrap();
            assert_eq!(header["alg"], algorithm.name());
            assert_eq!(header["kid"], "k1");
        }
        let error = signing_key(&dir.path().join("HS256"), Algorithm::ES256, None);
        assert!(matches!(error, Err(Failure::Usage(_))));
        let error = signing_key(&dir.path().join("ES256"), Algorithm::HS256, None);
        assert!(matches!(error, Err(Failure::Usage(_))));
        let error = signing_key(&dir.path().join("absent"), Algorithm::ES256, None);
        assert!(matches!(error, Err(Failure::Failed(_))));
    }
}
