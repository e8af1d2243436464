//! Reading the `channels` claim: every pattern and directive checked, then packed into [`Grants`] (PROTOCOL.md, section 2).

use std::collections::HashSet;

use super::claims::{date, flag};
use super::error::TokenError;
use super::grants::{
    ChannelDetails, ChannelGrant, Flags, Grants, Rule, RuleDetails, channel, message, storage,
};
use super::pattern::{Expressions, Kind, Pattern};
use crate::protocol::{Field, MAX_KEEP_SECONDS, names};

const DIRECTIVES: &str = "an object of directives";

const CHANNEL_FLAGS: [(u8, &str); 5] = [
    (channel::SUBSCRIBE, "subscribe"),
    (channel::AUTO_SUBSCRIBE, "autoSubscribe"),
    (channel::GET_INFO, "getInfo"),
    (channel::OMIT_FROM_SUB_COUNT, "omitFromSubCount"),
    (channel::UMD_UPDATE, "umdUpdate"),
];
const MESSAGE_FLAGS: [(u8, &str); 4] = [
    (message::PUBLISH, "publish"),
    (message::BROADCAST, "broadcast"),
    (message::ECHO, "echo"),
    (message::EMIT, "emitPubSubEvent"),
];
const STORAGE_FLAGS: [(u8, &str); 4] = [
    (storage::GET, "get"),
    (storage::SET, "set"),
    (storage::OBSERVE, "observe"),
    (storage::EMIT, "emitPubSubEvent"),
];

impl Grants {
    /// Checks and packs the claim.
    pub(super) fn from_claim(
        claim: Field<'_, '_>,
        expressions: &mut Expressions<'_>,
    ) -> Result<Self, TokenError> {
        let channels = entries(claim, "an object of channel patterns", |claim, pattern| {
            channel_grant(claim, pattern, expressions)
        })?;
        check_names(claim, &channels)?;
        Ok(Self::new(channels))
    }
}

/// Reads each entry of an object, in the order written.
fn entries<T>(
    claim: Field<'_, '_>,
    expected: &'static str,
    mut read: impl FnMut(Field<'_, '_>, &str) -> Result<T, TokenError>,
) -> Result<Vec<T>, TokenError> {
    claim
        .entries(expected)?
        .iter()
        .map(|(pattern, value)| read(claim.entry(pattern, Some(value)), pattern))
        .collect()
}

fn channel_grant(
    claim: Field<'_, '_>,
    pattern: &str,
    expressions: &mut Expressions<'_>,
) -> Result<ChannelGrant, TokenError> {
    let mut grant = ChannelGrant {
        pattern: self::pattern(claim, pattern, Kind::Channel, expressions)?,
        flags: Flags::default(),
        details: None,
        messages: Box::default(),
        storage: Box::default(),
    };
    let Some(directives) = claim.object(DIRECTIVES)? else {
        return Ok(grant);
    };
    // `alias` and `autoSubscribe` are for exact names; other patterns ignore them.
    let is_exact = grant.pattern.exact().is_some();
    let alias = is_exact.then(|| alias(directives.field("alias")));
    let alias = alias.transpose()?.flatten();
    for (bit, name) in CHANNEL_FLAGS {
        if is_exact || bit != channel::AUTO_SUBSCRIBE {
            grant.flags.state(bit, flag(directives.field(name))?);
        }
    }
    let history_start = date(directives.field("historyStart"))?;
    if alias.is_some() || history_start.is_some() {
        grant.details = Some(Box::new(ChannelDetails {
            alias,
            history_start,
        }));
    }
    let mut rules = |name, expected, kind| {
        entries(directives.field(name), expected, |claim, pattern| {
            rule(claim, pattern, kind, expressions)
        })
    };
    grant.messages = rules("messages", "an object of event name patterns", Kind::Event)?.into();
    grant.storage = rules(
        "storage",
        "an object of storage key patterns",
        Kind::StorageKey,
    )?
    .into();
    Ok(grant)
}

/// The directives of an event or a storage key.
fn rule(
    claim: Field<'_, '_>,
    pattern: &str,
    kind: Kind,
    expressions: &mut Expressions<'_>,
) -> Result<Rule, TokenError> {
    const REACT: &str = "true, false or an array of strings";
    let mut rule = Rule {
        pattern: self::pattern(claim, pattern, kind, expressions)?,
        flags: Flags::default(),
        details: None,
    };
    let Some(directives) = claim.object(DIRECTIVES)? else {
        return Ok(rule);
    };
    let is_event = kind == Kind::Event;
    for (bit, name) in if is_event {
        MESSAGE_FLAGS
    } else {
        STORAGE_FLAGS
    } {
        rule.flags.state(bit, flag(directives.field(name))?);
    }
    let mut details = RuleDetails::default();
    let react = directives.field("react");
    if is_event && react.is_array() {
        let reactions = react.texts(REACT)?;
        details.react =
            reactions.map(|texts| texts.iter().map(|text| Box::from(&**text)).collect());
    } else if is_event {
        rule.flags.state(message::REACT, react.flag(REACT)?);
    }
    details.store = store(directives.field("store"), is_event)?;
    details.schedule_before = date(directives.field("scheduleBefore"))?;
    let any =
        details.react.is_some() || details.schedule_before.is_some() || details.store.is_some();
    rule.details = any.then(|| Box::new(details));
    Ok(rule)
}

fn pattern(
    claim: Field<'_, '_>,
    pattern: &str,
    kind: Kind,
    expressions: &mut Expressions<'_>,
) -> Result<Pattern, TokenError> {
    Pattern::parse(pattern, kind, expressions)
        .map_err(|expected| TokenError::invalid(claim, expected))
}

/// How long a message or a storage entry is kept. 0 (not at all) makes sense only for a message.
fn store(store: Field<'_, '_>, may_be_none: bool) -> Result<Option<i64>, TokenError> {
    let expected = match may_be_none {
        true => "whole seconds: 0 (do not keep), -1 (for ever) or 1 to 3,155,695,200",
        false => "whole seconds: -1 (for ever) or 1 to 3,155,695,200",
    };
    match store.integer(expected)? {
        Some(0) if !may_be_none => Err(TokenError::invalid(store, expected)),
        Some(seconds) if !(-1..=MAX_KEEP_SECONDS).contains(&seconds) => {
            Err(TokenError::invalid(store, expected))
        }
        seconds => Ok(seconds),
    }
}

fn alias(alias: Field<'_, '_>) -> Result<Option<Box<str>>, TokenError> {
    match alias.text("a string")? {
        Some(name) if names::check_channel(&name).is_err() => Err(TokenError::invalid(
            alias,
            "a channel name of 1 to 256 characters, none of * # , space or control characters",
        )),
        name => Ok(name.map(|name| Box::from(&*name))),
    }
}

/// Refuses a channel that is named twice, and an alias that is another channel's name or alias.
fn check_names(claim: Field<'_, '_>, channels: &[ChannelGrant]) -> Result<(), TokenError> {
    if channels.len() < 2 && channels.iter().all(|grant| grant.alias().is_none()) {
        return Ok(());
    }
    let mut names = HashSet::with_capacity(channels.len());
    for name in channels.iter().filter_map(|grant| grant.pattern.exact()) {
        if !names.insert(name) {
            return Err(TokenError::invalid(
                claim.entry(name, None),
                "each channel only once",
            ));
        }
    }
    for grant in channels {
        let (Some(alias), Some(name)) = (grant.alias(), grant.pattern.exact()) else {
            continue;
        };
        if !names.insert(alias) {
            let expected = "a name that is no channel and no other alias of this token";
            return Err(TokenError::invalid(
                format_args!("{}.alias", claim.entry(name, None)),
                expected,
            ));
        }
    }
    Ok(())
}
