//! What one connection or subscription may do, according to its grants (PROTOCOL.md, section 2).
//!
//! Where several patterns match, an explicit `false` from any of them wins over every `true`. For numbers and lists, the most
//! specific pattern counts. Channel patterns are compared first, then event or key patterns. An exact name is more specific
//! than any other pattern; then the longer text is. Of equally specific patterns the last one counts; a subscribe token comes
//! after the connect token.
//!
//! A subscribe token's `broadcast` has no effect, because broadcasting needs no subscription.

use super::grants::{ChannelGrant, Flags, Grants, Rule, channel, message, storage};

/// The grants of a connection, and those of a subscribe token for one subscription. Cheap to make and copy.
#[derive(Debug, Clone, Copy)]
pub struct Permissions<'a> {
    connect: &'a Grants,
    subscribe: Option<&'a Grants>,
}

/// What may be done with a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelPermissions {
    pub subscribe: bool,
    /// Read its info over the Client HTTP API.
    pub get_info: bool,
    /// The subscription does not count in `subscriptionsCount`.
    pub omit_from_sub_count: bool,
    /// Change the metadata of the subscription. Counts in a `umd` token.
    pub umd_update: bool,
    /// From when on stored messages may be listed, in unix seconds (0: all). Messages since the subscription's start are
    /// listed in any case. `None`: no others.
    pub history_start: Option<i64>,
}

/// What may be done with an event on a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessagePermissions<'a> {
    /// Send it while subscribed. Also set where `broadcast` is.
    pub publish: bool,
    /// Send it whether subscribed or not.
    pub broadcast: bool,
    /// Get a copy of one's own message.
    pub echo: bool,
    /// The message is an event out, too.
    pub emit_pub_sub_event: bool,
    /// The reactions one may give.
    pub react: React<'a>,
    /// The message may be scheduled for times before this one, in unix seconds. `None`: not at all.
    pub schedule_before: Option<i64>,
    /// How long the message is kept, in seconds: 0 not at all, -1 for ever.
    pub store: i64,
}

/// Which reactions are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum React<'a> {
    None,
    Any,
    Only(&'a [Box<str>]),
}

impl React<'_> {
    pub fn allows(&self, reaction: &str) -> bool {
        match self {
            Self::None => false,
            Self::Any => true,
            Self::Only(list) => list.iter().any(|allowed| **allowed == *reaction),
        }
    }
}

/// What may be done with a storage key of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoragePermissions {
    pub get: bool,
    pub set: bool,
    /// Be told of every change while subscribed.
    pub observe: bool,
    /// A change is an event out, too.
    pub emit_pub_sub_event: bool,
    /// A write may be scheduled for times before this one, in unix seconds. `None`: not at all.
    pub schedule_before: Option<i64>,
    /// How long an entry lives, in seconds: -1 for ever.
    pub store: i64,
}

impl<'a> Permissions<'a> {
    /// Those of a connection alone, or of a subscription made with a subscribe token.
    pub fn new(connect: &'a Grants, subscribe: Option<&'a Grants>) -> Self {
        Self { connect, subscribe }
    }

    /// The channel that a client means by `name`, and the alias, if `name` is one.
    ///
    /// A name that one of the tokens spells out as a channel is that channel. Any other name is looked up as an alias, first
    /// in the subscribe token. A wildcard that matches `name` does not make it a channel's name: with `*` no alias could ever
    /// be used.
    pub fn resolve<'n>(&'n self, name: &'n str) -> (&'n str, Option<&'n str>) {
        if self.is_channel(name) {
            return (name, None);
        }
        self.newest_first()
            .find(|grant| grant.alias() == Some(name))
            .and_then(|grant| grant.pattern.exact())
            .map_or((name, None), |channel| (channel, Some(name)))
    }

    /// Whether one of the tokens spells `name` out as a channel.
    pub fn is_channel(&self, name: &str) -> bool {
        self.channels()
            .any(|(_, grant)| grant.pattern.exact() == Some(name))
    }

    /// The client's alias for `channel`, if it has one that leads there.
    pub fn alias_of(&self, channel: &str) -> Option<&str> {
        self.newest_first()
            .filter(|grant| grant.pattern.exact() == Some(channel))
            .filter_map(|grant| grant.alias())
            .find(|alias| self.resolve(alias).0 == channel)
    }

    /// What may be done with a channel, by its real name.
    pub fn channel(&self, name: &str) -> ChannelPermissions {
        let mut flags = Flags::default();
        let mut history_start = MostSpecific::default();
        for grant in self.matching(name) {
            flags.merge(grant.flags);
            if let Some(details) = &grant.details {
                history_start.offer(details.history_start, || grant.pattern.specificity());
            }
        }
        ChannelPermissions {
            subscribe: flags.allow(channel::SUBSCRIBE),
            get_info: flags.allow(channel::GET_INFO),
            omit_from_sub_count: flags.allow(channel::OMIT_FROM_SUB_COUNT),
            umd_update: flags.allow(channel::UMD_UPDATE),
            history_start: history_start.value(),
        }
    }

    /// What may be done with an event on a channel, by its real name.
    pub fn message(&self, channel: &str, event: &str) -> MessagePermissions<'a> {
        let mut flags = Flags::default();
        let mut react = MostSpecific::default();
        let mut schedule_before = MostSpecific::default();
        let mut store = MostSpecific::default();
        for (token, grant, rule) in self.rules(channel, event, |grant| &grant.messages) {
            flags.merge(match token {
                Token::Connect => rule.flags,
                Token::Subscribe => rule.flags.without(message::BROADCAST),
            });
            let specificity = || (grant.pattern.specificity(), rule.pattern.specificity());
            if rule.flags.grant(message::REACT) {
                react.offer(Some(React::Any), specificity);
            }
            if let Some(details) = &rule.details {
                react.offer(details.react.as_deref().map(React::Only), specificity);
                schedule_before.offer(details.schedule_before, specificity);
                store.offer(details.store, specificity);
            }
        }
        let broadcast = flags.allow(message::BROADCAST) && !flags.deny(message::PUBLISH);
        MessagePermissions {
            publish: broadcast || flags.allow(message::PUBLISH),
            broadcast,
            echo: flags.allow(message::ECHO),
            emit_pub_sub_event: flags.allow(message::EMIT),
            react: if flags.deny(message::REACT) {
                React::None
            } else {
                react.value().unwrap_or(React::None)
            },
            schedule_before: schedule_before.value(),
            store: store.value().unwrap_or(0),
        }
    }

    /// What may be done with a storage key of a channel, by its real name.
    #[cfg_attr(not(test), expect(dead_code, reason = "channel storage will ask"))]
    pub fn storage(&self, channel: &str, key: &str) -> StoragePermissions {
        let mut flags = Flags::default();
        let mut schedule_before = MostSpecific::default();
        let mut store = MostSpecific::default();
        for (_, grant, rule) in self.rules(channel, key, |grant| &grant.storage) {
            flags.merge(rule.flags);
            if let Some(details) = &rule.details {
                let specificity = || (grant.pattern.specificity(), rule.pattern.specificity());
                schedule_before.offer(details.schedule_before, specificity);
                store.offer(details.store, specificity);
            }
        }
        StoragePermissions {
            get: flags.allow(storage::GET),
            set: flags.allow(storage::SET),
            observe: flags.allow(storage::OBSERVE),
            emit_pub_sub_event: flags.allow(storage::EMIT),
            schedule_before: schedule_before.value(),
            store: store.value().unwrap_or(-1),
        }
    }

    /// All channel patterns, the connect token's first.
    fn channels(&self) -> impl Iterator<Item = (Token, &'a ChannelGrant)> + use<'a> {
        let subscribe = self.subscribe.map(Grants::channels).unwrap_or_default();
        let connect = self.connect.channels().iter();
        connect
            .map(|grant| (Token::Connect, grant))
            .chain(subscribe.iter().map(|grant| (Token::Subscribe, grant)))
    }

    /// All channel patterns, the subscribe token's first.
    fn newest_first(&self) -> impl Iterator<Item = &'a ChannelGrant> + use<'a> {
        let subscribe = self.subscribe.map(Grants::channels).unwrap_or_default();
        subscribe.iter().chain(self.connect.channels())
    }

    fn matching(&self, name: &str) -> impl Iterator<Item = &'a ChannelGrant> {
        self.channels()
            .map(|(_, grant)| grant)
            .filter(move |grant| grant.pattern.matches(name))
    }

    /// The rules for one event or key, each with its token and its channel pattern.
    fn rules(
        &self,
        channel: &str,
        name: &str,
        of: impl Fn(&'a ChannelGrant) -> &'a [Rule],
    ) -> impl Iterator<Item = (Token, &'a ChannelGrant, &'a Rule)> {
        // Most patterns have no rules, so that is checked before the channel is matched.
        self.channels()
            .map(move |(token, grant)| (token, grant, of(grant)))
            .filter(move |(_, grant, rules)| !rules.is_empty() && grant.pattern.matches(channel))
            .flat_map(|(token, grant, rules)| rules.iter().map(move |rule| (token, grant, rule)))
            .filter(move |(_, _, rule)| rule.pattern.matches(name))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Connect,
    Subscribe,
}

/// The value stated by the most specific pattern so far.
struct MostSpecific<S, T>(Option<(S, T)>);

impl<S, T> Default for MostSpecific<S, T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<S: Ord, T> MostSpecific<S, T> {
    /// `specificity` is computed only where the pattern states a value.
    fn offer(&mut self, stated: Option<T>, specificity: impl FnOnce() -> S) {
        let Some(value) = stated else { return };
        let specificity = specificity();
        if self.0.as_ref().is_none_or(|(best, _)| specificity >= *best) {
            self.0 = Some((specificity, value));
        }
    }

    fn value(self) -> Option<T> {
        self.0.map(|(_, value)| value)
    }
}
