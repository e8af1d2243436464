//! The claims of a token, read and checked (PROTOCOL.md, section 2).

use std::borrow::Cow;
use std::sync::Arc;

use super::error::TokenError;
use super::grants::Grants;
use super::pattern::Expressions;
use crate::protocol::names::has_at_most;
use crate::protocol::{Field, Json, Limits, Misfit, Object};

/// The longest `jti` of a single-use token, in characters: each is remembered in the database until the token expires.
const MAX_JTI_CHARACTERS: usize = 256;

const DATE: &str = "a NumericDate (seconds since 1970)";

/// What a verified token says.
#[derive(Debug)]
pub struct Claims {
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
    pub grants: Arc<Grants>,
}

/// The `scope` claim. Unknown words are ignored.
///
/// `subscribe` and `umd` are set only where the token also names the connection that it serves, by `connectionId` or by a
/// `uid` that is not empty. Without both, a token with `connect` only opens a connection, and any other is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes {
    /// It may open a connection.
    pub connect: bool,
    /// `hotsock.subscribe` takes it.
    pub subscribe: bool,
    /// `hotsock.umdUpdate` takes it.
    pub umd: bool,
}

impl Claims {
    /// Whether a `subscribe` or `umd` token serves this connection: the one of its `connectionId` or, without that claim, any
    /// of its `uid`.
    pub fn serves(&self, connection_id: &str, uid: Option<&str>) -> bool {
        match (&self.connection_id, &self.uid) {
            (Some(id), _) => **id == *connection_id,
            (None, Some(own)) => !own.is_empty() && uid == Some(&**own),
            (None, None) => false,
        }
    }
}

/// What the server demands of every token besides a good signature.
#[derive(Debug)]
pub(super) struct Expectations {
    pub(super) audience: Option<String>,
    pub(super) issuer: Option<String>,
    pub(super) limits: Limits,
}

impl Claims {
    /// Reads the payload of a token whose signature is good. `iat` and unknown claims are ignored.
    pub(super) fn from_payload(
        payload: &[u8],
        now: i64,
        expected: &Expectations,
        mut expressions: Expressions<'_>,
    ) -> Result<Self, TokenError> {
        let payload = std::str::from_utf8(payload).map_err(|_| TokenError::NO_CLAIMS)?;
        let claims = Object::read(payload).map_err(|_| TokenError::NO_CLAIMS)?;
        let flag = |name| Ok::<_, TokenError>(flag(claims.field(name))?.unwrap_or(false));
        let expires_at = check_time(&claims, now)?;
        check_origin(&claims, expected)?;

        let uid = uid(claims.field("uid"), &expected.limits)?;
        let connection_id = text(&claims, "connectionId")?;
        let names_connection =
            connection_id.is_some() || uid.as_ref().is_some_and(|uid| !uid.is_empty());
        Ok(Self {
            scopes: scopes(&claims, names_connection)?,
            expires_at,
            single_use: single_use(&claims, flag)?,
            uid,
            umd: umd(claims.field("umd"), &expected.limits)?,
            connection_id: connection_id.map(|id| Box::from(&*id)),
            keep_alive: flag("keepAlive")?,
            heartbeat_timeout: heartbeat_timeout(claims.field("heartbeatTimeout"))?,
            umd_update: flag("umdUpdate")?,
            umd_propagate: flag("umdPropagate")?,
            grants: Arc::new(Grants::from_claim(
                claims.field("channels"),
                &mut expressions,
            )?),
        })
    }
}

/// A boolean claim or directive.
pub(super) fn flag(field: Field<'_, '_>) -> Result<Option<bool>, Misfit> {
    field.flag("true or false")
}

/// A NumericDate (RFC 7519): seconds since 1970, possibly with a fraction.
///
/// Rounded up to the next whole second: for a whole `now`, `now < t` and `now >= t` are the same as without rounding.
pub(super) fn date(field: Field<'_, '_>) -> Result<Option<i64>, Misfit> {
    field.read(DATE, |text| {
        let whole = serde_json::from_str::<i64>(text).ok();
        // The cast saturates.
        let rounded_up = || Some(serde_json::from_str::<f64>(text).ok()?.ceil() as i64);
        whole.or_else(rounded_up)
    })
}

fn text<'a>(
    claims: &Object<'a, '_>,
    name: &'static str,
) -> Result<Option<Cow<'a, str>>, TokenError> {
    Ok(claims.field(name).text("a string")?)
}

/// `exp` and `nbf`, without leeway: usable while `nbf <= now < exp`.
fn check_time(claims: &Object<'_, '_>, now: i64) -> Result<i64, TokenError> {
    let exp = claims.field("exp");
    let exp = date(exp)?.ok_or_else(|| exp.missing(DATE))?;
    let nbf = date(claims.field("nbf"))?;
    if now >= exp {
        return Err(TokenError::Expired {
            seconds: now.abs_diff(exp),
        });
    }
    match nbf {
        Some(nbf) if now < nbf => Err(TokenError::NotYetValid {
            seconds: now.abs_diff(nbf),
        }),
        _ => Ok(exp),
    }
}

/// `aud` and `iss`, where the configuration names one.
fn check_origin(claims: &Object<'_, '_>, expected: &Expectations) -> Result<(), TokenError> {
    const AUD: &str = "a string or an array of strings";
    let aud = claims.field("aud");
    let aud = match aud.is_array() {
        true => aud.texts(AUD)?.unwrap_or_default(),
        false => aud.text(AUD)?.into_iter().collect(),
    };
    let iss = text(claims, "iss")?;
    if let Some(audience) = &expected.audience
        && !aud.iter().any(|aud| aud == audience)
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

fn scopes(claims: &Object<'_, '_>, names_connection: bool) -> Result<Scopes, TokenError> {
    const SCOPE: &str = "a space-separated string of connect, subscribe or umd";
    let scope = claims.field("scope");
    let scope = scope.text(SCOPE)?.ok_or_else(|| scope.missing(SCOPE))?;
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
            return Err(TokenError::invalid(
                "connectionId",
                "this claim or uid, to name the connection that a subscribe or umd token is for",
            ));
        }
        scopes.subscribe = false;
        scopes.umd = false;
    }
    Ok(scopes)
}

fn single_use(
    claims: &Object<'_, '_>,
    flag: impl Fn(&'static str) -> Result<bool, TokenError>,
) -> Result<Option<Box<str>>, TokenError> {
    let jti = text(claims, "jti")?;
    if !flag("singleUse")? {
        return Ok(None);
    }
    jti.filter(|jti| !jti.is_empty() && has_at_most(jti, MAX_JTI_CHARACTERS))
        .map(|jti| Some(Box::from(&*jti)))
        .ok_or_else(|| {
            let expected = "a string of 1 to 256 characters, because singleUse is true";
            TokenError::invalid("jti", expected)
        })
}

fn uid(uid: Field<'_, '_>, limits: &Limits) -> Result<Option<Arc<str>>, TokenError> {
    match uid.text("a string")? {
        Some(text) if !limits.allow_uid(&text) => {
            let expected = format!("at most {} characters", limits.uid_characters);
            Err(TokenError::invalid(uid, expected))
        }
        text => Ok(text.map(|text| Arc::from(&*text))),
    }
}

fn umd(umd: Field<'_, '_>, limits: &Limits) -> Result<Option<Json>, TokenError> {
    let Some(raw) = umd.raw() else {
        return Ok(None);
    };
    let json = Json::from_raw(raw).map_err(|error| {
        let expected = format!("JSON that others can read, but it is {error}");
        TokenError::invalid(umd, expected)
    })?;
    if !limits.allow_umd(&json) {
        let expected = format!("at most {} bytes of compact JSON", limits.umd_bytes);
        return Err(TokenError::invalid(umd, expected));
    }
    Ok(Some(json))
}

fn heartbeat_timeout(timeout: Field<'_, '_>) -> Result<Option<u16>, TokenError> {
    const TIMEOUT: &str = "a whole number of seconds from 5 to 600";
    match timeout.integer(TIMEOUT)?.map(u16::try_from) {
        None => Ok(None),
        Some(Ok(seconds @ 5..=600)) => Ok(Some(seconds)),
        _ => Err(TokenError::invalid(timeout, TIMEOUT)),
    }
}
