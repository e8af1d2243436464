//! The claims of a token: read in one pass, checked, and in the shape that the hub keeps (PROTOCOL.md, section 2).

use std::borrow::Cow;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::channels_claim::RawGrants;
use super::error::{Path, TokenError};
use super::grants::Grants;
use super::pattern::Expressions;
use super::read::{Integer, NumericDate, Object, Read, Strings};
use crate::protocol::names::has_at_most;
use crate::protocol::{Json, Limits};

/// The longest `jti` of a single-use token, in characters: each is remembered in the database until the token expires.
const MAX_JTI_CHARACTERS: usize = 256;

/// What a verified token says.
#[derive(Debug)]
pub struct Claims {
    /// What the token is for.
    pub scopes: Scopes,
    /// `exp`, in unix seconds: not usable from then on.
    pub expires_at: i64,
    /// The `jti`, where the token works only once per scope.
    pub single_use: Option<Box<str>>,
    /// Who this is. May be empty, which a presence channel does not take.
    pub uid: Option<Arc<str>>,
    /// What others see of them. `None`: the claim is absent or `null`.
    pub umd: Option<Json>,
    /// The one connection this token works on; such a token never opens one.
    pub connection_id: Option<Box<str>>,
    /// The server is to send `hotsock.keepAlive`.
    pub keep_alive: bool,
    /// How often the client must send `hotsock.heartbeat`, in seconds (5 to 600).
    pub heartbeat_timeout: Option<u16>,
    /// A `umd` token may change the connection's own metadata.
    pub umd_update: bool,
    /// That change reaches present subscriptions too.
    pub umd_propagate: bool,
    /// The `channels` claim.
    pub grants: Arc<Grants>,
}

/// The `scope` claim. Words it does not know are ignored.
///
/// `subscribe` and `umd` are set only where the token also names the connection it serves, by `connectionId` or a `uid`
/// that is not empty. A token with neither, and without `connect`, is refused; with `connect` it opens a connection and
/// is good for nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes {
    /// May open a connection.
    pub connect: bool,
    /// May be handed in with `hotsock.subscribe`.
    pub subscribe: bool,
    /// May be handed in with `hotsock.umdUpdate`.
    pub umd: bool,
}

impl Claims {
    /// Whether the token may open a connection: it has the scope, and is not bound to a connection that exists.
    pub fn may_connect(&self) -> bool {
        self.scopes.connect && self.connection_id.is_none()
    }

    /// Whether a `subscribe` or `umd` token serves this connection: the one its `connectionId` names or, without that
    /// claim, any of its `uid`.
    pub fn serves(&self, connection_id: &str, uid: Option<&str>) -> bool {
        match (&self.connection_id, &self.uid) {
            (Some(id), _) => **id == *connection_id,
            (None, Some(own)) => !own.is_empty() && uid == Some(&**own),
            (None, None) => false,
        }
    }
}

/// What the server asks of every token besides a good signature.
#[derive(Debug)]
pub(super) struct Expectations {
    pub(super) audience: Option<String>,
    pub(super) issuer: Option<String>,
    pub(super) limits: Limits,
}

/// The claims as read. `iat` is not among them, for it changes nothing; nor is anything unknown.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawClaims<'a> {
    #[serde(default)]
    exp: Read<NumericDate>,
    #[serde(default)]
    nbf: Read<NumericDate>,
    #[serde(default, borrow)]
    aud: Read<Strings<'a>>,
    #[serde(default, borrow)]
    iss: Read<Cow<'a, str>>,
    #[serde(default, borrow)]
    scope: Read<Cow<'a, str>>,
    #[serde(default, borrow)]
    jti: Read<Cow<'a, str>>,
    #[serde(default)]
    single_use: Read<bool>,
    #[serde(default, borrow)]
    uid: Read<Cow<'a, str>>,
    #[serde(default, borrow)]
    umd: Option<&'a RawValue>,
    #[serde(default, borrow)]
    connection_id: Read<Cow<'a, str>>,
    #[serde(default)]
    keep_alive: Read<bool>,
    #[serde(default)]
    heartbeat_timeout: Read<Integer>,
    #[serde(default)]
    umd_update: Read<bool>,
    #[serde(default)]
    umd_propagate: Read<bool>,
    #[serde(default, borrow)]
    channels: RawGrants<'a>,
}

impl Claims {
    /// Reads the payload of a token whose signature is good.
    pub(super) fn from_payload(
        payload: &[u8],
        now: i64,
        expected: &Expectations,
        mut expressions: Expressions<'_>,
    ) -> Result<Self, TokenError> {
        let raw = match serde_json::from_slice::<Read<Object<RawClaims<'_>>>>(payload) {
            Ok(Read::Is(Object(raw))) => raw,
            _ => {
                return Err(TokenError::Malformed(
                    "its claims are no JSON object, or it names one twice",
                ));
            }
        };
        let expires_at = check_time(raw.exp, raw.nbf, now)?;
        check_origin(raw.aud, raw.iss, expected)?;

        let uid = uid(raw.uid, &expected.limits)?;
        let connection_id = text("connectionId", raw.connection_id)?;
        let names_connection =
            connection_id.is_some() || uid.as_ref().is_some_and(|uid| !uid.is_empty());
        Ok(Self {
            scopes: scopes(raw.scope, names_connection)?,
            expires_at,
            single_use: single_use(raw.single_use, raw.jti)?,
            uid,
            umd: umd(raw.umd, &expected.limits)?,
            connection_id: connection_id.map(|id| Box::from(&*id)),
            keep_alive: flag("keepAlive", raw.keep_alive)?,
            heartbeat_timeout: heartbeat_timeout(raw.heartbeat_timeout)?,
            umd_update: flag("umdUpdate", raw.umd_update)?,
            umd_propagate: flag("umdPropagate", raw.umd_propagate)?,
            grants: Arc::new(Grants::from_claim(raw.channels, &mut expressions)?),
        })
    }
}

/// `exp` and `nbf`, without leeway: usable while `nbf <= now < exp`.
fn check_time(exp: Read<NumericDate>, nbf: Read<NumericDate>, now: i64) -> Result<i64, TokenError> {
    const DATE: &str = "a NumericDate (seconds since 1970)";
    let path = Path::Claim("exp");
    let Some(NumericDate(exp)) = path.get(exp, DATE)? else {
        return Err(path.invalid(DATE));
    };
    let nbf = Path::Claim("nbf").get(nbf, DATE)?;
    if now >= exp {
        return Err(TokenError::Expired {
            seconds: now.abs_diff(exp),
        });
    }
    match nbf {
        Some(NumericDate(nbf)) if now < nbf => Err(TokenError::NotYetValid {
            seconds: now.abs_diff(nbf),
        }),
        _ => Ok(exp),
    }
}

/// `aud` and `iss`, where the configuration names one.
fn check_origin(
    aud: Read<Strings<'_>>,
    iss: Read<Cow<'_, str>>,
    expected: &Expectations,
) -> Result<(), TokenError> {
    let aud = Path::Claim("aud").get(aud, "a string or an array of strings")?;
    let iss = text("iss", iss)?;
    if let Some(audience) = &expected.audience
        && !aud.is_some_and(|aud| aud.contains(audience))
    {
        return Err(TokenError::AudienceMismatch);
    }
    if let Some(issuer) = &expected.issuer
        && iss.as_deref() != Some(issuer)
    {
        return Err(TokenError::IssuerMismatch);
    }
    Ok(())
}

fn text<'a>(
    claim: &'static str,
    read: Read<Cow<'a, str>>,
) -> Result<Option<Cow<'a, str>>, TokenError> {
    Path::Claim(claim).get(read, "a string")
}

fn flag(claim: &'static str, read: Read<bool>) -> Result<bool, TokenError> {
    Ok(Path::Claim(claim).flag(read)?.unwrap_or(false))
}

fn scopes(scope: Read<Cow<'_, str>>, names_connection: bool) -> Result<Scopes, TokenError> {
    const SCOPE: &str = "a space-separated string of connect, subscribe or umd";
    let path = Path::Claim("scope");
    let Some(scope) = path.get(scope, SCOPE)? else {
        return Err(path.invalid(SCOPE));
    };
    let mut scopes = Scopes::default();
    for word in scope.split(' ') {
        match word {
            "connect" => scopes.connect = true,
            "subscribe" => scopes.subscribe = true,
            "umd" => scopes.umd = true,
            _ => {}
        }
    }
    if (scopes.subscribe || scopes.umd) && !names_connection {
        if !scopes.connect {
            return Err(Path::Claim("connectionId").invalid(
                "this claim or uid, to name the connection that a subscribe or umd token is for",
            ));
        }
        scopes.subscribe = false;
        scopes.umd = false;
    }
    Ok(scopes)
}

fn single_use(
    single_use: Read<bool>,
    jti: Read<Cow<'_, str>>,
) -> Result<Option<Box<str>>, TokenError> {
    let jti = text("jti", jti)?;
    if !flag("singleUse", single_use)? {
        return Ok(None);
    }
    match jti {
        Some(jti) if !jti.is_empty() && has_at_most(&jti, MAX_JTI_CHARACTERS) => {
            Ok(Some(Box::from(&*jti)))
        }
        _ => Err(Path::Claim("jti")
            .invalid("a string of 1 to 256 characters, because singleUse is true")),
    }
}

fn uid(uid: Read<Cow<'_, str>>, limits: &Limits) -> Result<Option<Arc<str>>, TokenError> {
    match text("uid", uid)? {
        Some(uid) if !limits.allow_uid(&uid) => {
            Err(Path::Claim("uid").invalid(format!("at most {} characters", limits.uid_characters)))
        }
        uid => Ok(uid.map(|uid| Arc::from(&*uid))),
    }
}

fn umd(umd: Option<&RawValue>, limits: &Limits) -> Result<Option<Json>, TokenError> {
    let Some(raw) = umd else { return Ok(None) };
    let path = Path::Claim("umd");
    let umd = Json::from_raw(raw)
        .map_err(|error| path.invalid(format!("JSON that others can read, but it is {error}")))?;
    if !limits.allow_umd(&umd) {
        return Err(path.invalid(format!(
            "at most {} bytes of compact JSON",
            limits.umd_bytes
        )));
    }
    Ok(Some(umd))
}

fn heartbeat_timeout(timeout: Read<Integer>) -> Result<Option<u16>, TokenError> {
    const TIMEOUT: &str = "a whole number of seconds from 5 to 600";
    let path = Path::Claim("heartbeatTimeout");
    match path.get(timeout, TIMEOUT)? {
        None => Ok(None),
        Some(Integer(seconds)) => match u16::try_from(seconds) {
            Ok(seconds @ 5..=600) => Ok(Some(seconds)),
            _ => Err(path.invalid(TIMEOUT)),
        },
    }
}
