//! Reading the `channels` claim: every pattern and directive checked, then packed into [`Grants`] (PROTOCOL.md, section 2).

use std::borrow::Cow;
use std::collections::HashSet;

use serde::Deserialize;
use serde::de::SeqAccess;

use super::error::{Path, TokenError};
use super::grants::{
    ChannelDetails, ChannelGrant, Flags, Grants, Rule, RuleDetails, channel, message, storage,
};
use super::pattern::{Expressions, Kind, Pattern};
use super::read::{Entries, FromClaim, Integer, NumericDate, Object, Read, strings};
use crate::protocol::names;

/// The longest time a message or storage entry may be asked to be kept, in seconds (a hundred years).
const MAX_STORE_SECONDS: i64 = 3_155_695_200;

/// The claim as read.
pub(super) type RawGrants<'a> = Read<Entries<'a, Object<RawChannel<'a>>>>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawChannel<'a> {
    #[serde(default)]
    subscribe: Read<bool>,
    #[serde(default)]
    auto_subscribe: Read<bool>,
    #[serde(default, borrow)]
    alias: Read<Cow<'a, str>>,
    #[serde(default)]
    get_info: Read<bool>,
    #[serde(default)]
    history_start: Read<NumericDate>,
    #[serde(default)]
    omit_from_sub_count: Read<bool>,
    #[serde(default)]
    umd_update: Read<bool>,
    #[serde(default, borrow)]
    messages: Read<Entries<'a, Object<RawMessage<'a>>>>,
    #[serde(default, borrow)]
    storage: Read<Entries<'a, Object<RawStorage>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawMessage<'a> {
    #[serde(default)]
    publish: Read<bool>,
    #[serde(default)]
    broadcast: Read<bool>,
    #[serde(default)]
    echo: Read<bool>,
    #[serde(default)]
    emit_pub_sub_event: Read<bool>,
    #[serde(default, borrow)]
    react: Read<RawReact<'a>>,
    #[serde(default)]
    schedule_before: Read<NumericDate>,
    #[serde(default)]
    store: Read<Integer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawStorage {
    #[serde(default)]
    get: Read<bool>,
    #[serde(default)]
    set: Read<bool>,
    #[serde(default)]
    observe: Read<bool>,
    #[serde(default)]
    emit_pub_sub_event: Read<bool>,
    #[serde(default)]
    schedule_before: Read<NumericDate>,
    #[serde(default)]
    store: Read<Integer>,
}

enum RawReact<'a> {
    Any(bool),
    Only(Vec<Cow<'a, str>>),
}

impl<'de: 'a, 'a> FromClaim<'de> for RawReact<'a> {
    fn from_bool(value: bool) -> Option<Self> {
        Some(Self::Any(value))
    }
    fn from_array<A: SeqAccess<'de>>(array: A) -> Result<Option<Self>, A::Error> {
        Ok(strings(array)?.map(Self::Only))
    }
}

impl Grants {
    /// Checks and packs the claim.
    pub(super) fn from_claim(
        claim: RawGrants<'_>,
        expressions: &mut Expressions<'_>,
    ) -> Result<Self, TokenError> {
        let path = Path::Claim("channels");
        let entries = path
            .get(claim, "an object of channel patterns")?
            .map(|Entries(entries)| entries)
            .unwrap_or_default();
        let mut channels = Vec::with_capacity(entries.len());
        for (pattern, directives) in entries {
            channels.push(channel_grant(&path, &pattern, directives, expressions)?);
        }
        check_names(&path, &channels)?;
        Ok(Self::new(channels))
    }
}

const DIRECTIVES: &str = "an object of directives";

fn channel_grant(
    channels: &Path<'_>,
    pattern: &str,
    directives: Read<Object<RawChannel<'_>>>,
    expressions: &mut Expressions<'_>,
) -> Result<ChannelGrant, TokenError> {
    let path = channels.key(pattern);
    let parsed = Pattern::parse(pattern, Kind::Channel, expressions)
        .map_err(|expected| path.invalid(expected))?;
    let mut grant = ChannelGrant {
        pattern: parsed,
        flags: Flags::default(),
        details: None,
        messages: Box::default(),
        storage: Box::default(),
    };
    let Some(Object(raw)) = path.get(directives, DIRECTIVES)? else {
        return Ok(grant);
    };
    // These two are for exact names; on a pattern nothing is read of them.
    let (auto_subscribe, alias) = match grant.pattern.exact() {
        Some(_) => (
            raw.auto_subscribe,
            self::alias(&path.field("alias"), raw.alias)?,
        ),
        None => (Read::Absent, None),
    };
    for (bit, name, stated) in [
        (channel::SUBSCRIBE, "subscribe", raw.subscribe),
        (channel::AUTO_SUBSCRIBE, "autoSubscribe", auto_subscribe),
        (channel::GET_INFO, "getInfo", raw.get_info),
        (
            channel::OMIT_FROM_SUB_COUNT,
            "omitFromSubCount",
            raw.omit_from_sub_count,
        ),
        (channel::UMD_UPDATE, "umdUpdate", raw.umd_update),
    ] {
        grant.flags.state(bit, path.field(name).flag(stated)?);
    }
    let history_start = date(&path.field("historyStart"), raw.history_start)?;
    if alias.is_some() || history_start.is_some() {
        grant.details = Some(Box::new(ChannelDetails {
            alias,
            history_start,
        }));
    }
    let messages = path.field("messages");
    if let Some(Entries(entries)) =
        messages.get(raw.messages, "an object of event name patterns")?
    {
        grant.messages = entries
            .into_iter()
            .map(|(pattern, raw)| message_rule(&messages.key(&pattern), &pattern, raw, expressions))
            .collect::<Result<_, _>>()?;
    }
    let storage = path.field("storage");
    if let Some(Entries(entries)) = storage.get(raw.storage, "an object of storage key patterns")? {
        grant.storage = entries
            .into_iter()
            .map(|(pattern, raw)| storage_rule(&storage.key(&pattern), &pattern, raw, expressions))
            .collect::<Result<_, _>>()?;
    }
    Ok(grant)
}

fn message_rule(
    path: &Path<'_>,
    pattern: &str,
    directives: Read<Object<RawMessage<'_>>>,
    expressions: &mut Expressions<'_>,
) -> Result<Rule, TokenError> {
    let mut rule = Rule::new(path, pattern, Kind::Event, expressions)?;
    let Some(Object(raw)) = path.get(directives, DIRECTIVES)? else {
        return Ok(rule);
    };
    rule.state(path, message::PUBLISH, "publish", raw.publish)?;
    rule.state(path, message::BROADCAST, "broadcast", raw.broadcast)?;
    rule.state(path, message::ECHO, "echo", raw.echo)?;
    rule.state(
        path,
        message::EMIT,
        "emitPubSubEvent",
        raw.emit_pub_sub_event,
    )?;
    let react = match path
        .field("react")
        .get(raw.react, "true, false or an array of strings")?
    {
        Some(RawReact::Only(reactions)) => Some(
            reactions
                .into_iter()
                .map(|reaction| Box::from(&*reaction))
                .collect(),
        ),
        Some(RawReact::Any(any)) => {
            rule.flags.state(message::REACT, Some(any));
            None
        }
        None => None,
    };
    let store = path.field("store");
    const STORE: &str = "whole seconds: 0 (do not keep), -1 (for ever) or 1 to 3,155,695,200";
    let seconds = store.get(raw.store, STORE)?.map(|Integer(seconds)| seconds);
    if seconds.is_some_and(|seconds| !(-1..=MAX_STORE_SECONDS).contains(&seconds)) {
        return Err(store.invalid(STORE));
    }
    rule.detail(RuleDetails {
        react,
        schedule_before: date(&path.field("scheduleBefore"), raw.schedule_before)?,
        store: seconds,
    });
    Ok(rule)
}

fn storage_rule(
    path: &Path<'_>,
    pattern: &str,
    directives: Read<Object<RawStorage>>,
    expressions: &mut Expressions<'_>,
) -> Result<Rule, TokenError> {
    let mut rule = Rule::new(path, pattern, Kind::StorageKey, expressions)?;
    let Some(Object(raw)) = path.get(directives, DIRECTIVES)? else {
        return Ok(rule);
    };
    rule.state(path, storage::GET, "get", raw.get)?;
    rule.state(path, storage::SET, "set", raw.set)?;
    rule.state(path, storage::OBSERVE, "observe", raw.observe)?;
    rule.state(
        path,
        storage::EMIT,
        "emitPubSubEvent",
        raw.emit_pub_sub_event,
    )?;
    let store = path.field("store");
    const STORE: &str = "whole seconds: -1 (for ever) or 1 to 3,155,695,200";
    let seconds = store.get(raw.store, STORE)?.map(|Integer(seconds)| seconds);
    if seconds.is_some_and(|seconds| seconds == 0 || !(-1..=MAX_STORE_SECONDS).contains(&seconds)) {
        return Err(store.invalid(STORE));
    }
    rule.detail(RuleDetails {
        react: None,
        schedule_before: date(&path.field("scheduleBefore"), raw.schedule_before)?,
        store: seconds,
    });
    Ok(rule)
}

impl Rule {
    fn new(
        path: &Path<'_>,
        pattern: &str,
        kind: Kind,
        expressions: &mut Expressions<'_>,
    ) -> Result<Self, TokenError> {
        Ok(Self {
            pattern: Pattern::parse(pattern, kind, expressions)
                .map_err(|expected| path.invalid(expected))?,
            flags: Flags::default(),
            details: None,
        })
    }

    fn state(
        &mut self,
        path: &Path<'_>,
        bit: u8,
        name: &'static str,
        stated: Read<bool>,
    ) -> Result<(), TokenError> {
        self.flags.state(bit, path.field(name).flag(stated)?);
        Ok(())
    }

    fn detail(&mut self, details: RuleDetails) {
        let any =
            details.react.is_some() || details.schedule_before.is_some() || details.store.is_some();
        self.details = any.then(|| Box::new(details));
    }
}

fn date(path: &Path<'_>, date: Read<NumericDate>) -> Result<Option<i64>, TokenError> {
    Ok(path
        .get(date, "a NumericDate (seconds since 1970)")?
        .map(|NumericDate(seconds)| seconds))
}

fn alias(path: &Path<'_>, alias: Read<Cow<'_, str>>) -> Result<Option<Box<str>>, TokenError> {
    let Some(alias) = path.get(alias, "a string")? else {
        return Ok(None);
    };
    if names::check_channel(&alias).is_err() {
        return Err(path.invalid(
            "a channel name of 1 to 256 characters, none of * # , space or control characters",
        ));
    }
    Ok(Some(Box::from(&*alias)))
}

/// Refuses a channel that is named twice, and an alias that is not its channel's alone.
fn check_names(path: &Path<'_>, channels: &[ChannelGrant]) -> Result<(), TokenError> {
    if channels.len() < 2 && channels.iter().all(|grant| grant.alias().is_none()) {
        return Ok(());
    }
    let mut names = HashSet::with_capacity(channels.len());
    for name in channels.iter().filter_map(|grant| grant.pattern.exact()) {
        if !names.insert(name) {
            return Err(path.key(name).invalid("each channel only once"));
        }
    }
    for grant in channels {
        let (Some(alias), Some(name)) = (grant.alias(), grant.pattern.exact()) else {
            continue;
        };
        if !names.insert(alias) {
            return Err(path
                .key(name)
                .field("alias")
                .invalid("a name that is no channel and no other alias of this token"));
        }
    }
    Ok(())
}
