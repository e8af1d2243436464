//! What the `channels` claim grants: patterns and their directives (PROTOCOL.md, section 2).
//!
//! Grants live as long as their connection, so they are packed: flags are bits, and directives that few tokens have are
//! boxed.

use super::pattern::Pattern;

/// The `channels` claim of one token, in the order written. Read it through [`Permissions`](super::Permissions).
#[derive(Debug, Default)]
pub struct Grants {
    channels: Box<[ChannelGrant]>,
}

/// The directives of one channel pattern.
#[derive(Debug)]
pub(super) struct ChannelGrant {
    pub(super) pattern: Pattern,
    pub(super) flags: Flags,
    pub(super) details: Option<Box<ChannelDetails>>,
    pub(super) messages: Box<[Rule]>,
    pub(super) storage: Box<[Rule]>,
}

#[derive(Debug, Default)]
pub(super) struct ChannelDetails {
    pub(super) alias: Option<Box<str>>,
    pub(super) history_start: Option<i64>,
}

/// The directives of one event or storage key pattern.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) pattern: Pattern,
    pub(super) flags: Flags,
    pub(super) details: Option<Box<RuleDetails>>,
}

#[derive(Debug, Default)]
pub(super) struct RuleDetails {
    /// The reactions of a `react` list; `react: true` and `false` are flags.
    pub(super) react: Option<Box<[Box<str>]>>,
    pub(super) schedule_before: Option<i64>,
    pub(super) store: Option<i64>,
}

/// Up to eight boolean directives, each stated as `true`, stated as `false`, or not stated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Flags {
    granted: u8,
    denied: u8,
}

/// The bits of a channel's directives.
pub(super) mod channel {
    pub(in crate::auth) const SUBSCRIBE: u8 = 1;
    pub(in crate::auth) const AUTO_SUBSCRIBE: u8 = 2;
    pub(in crate::auth) const GET_INFO: u8 = 4;
    pub(in crate::auth) const OMIT_FROM_SUB_COUNT: u8 = 8;
    pub(in crate::auth) const UMD_UPDATE: u8 = 16;
}

/// The bits of an event's directives.
pub(super) mod message {
    pub(in crate::auth) const PUBLISH: u8 = 1;
    pub(in crate::auth) const BROADCAST: u8 = 2;
    pub(in crate::auth) const ECHO: u8 = 4;
    pub(in crate::auth) const EMIT: u8 = 8;
    pub(in crate::auth) const REACT: u8 = 16;
}

/// The bits of a storage key's directives.
pub(super) mod storage {
    pub(in crate::auth) const GET: u8 = 1;
    pub(in crate::auth) const SET: u8 = 2;
    pub(in crate::auth) const OBSERVE: u8 = 4;
    pub(in crate::auth) const EMIT: u8 = 8;
}

impl Flags {
    pub(super) fn state(&mut self, bit: u8, stated: Option<bool>) {
        match stated {
            Some(true) => self.granted |= bit,
            Some(false) => self.denied |= bit,
            None => {}
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.granted |= other.granted;
        self.denied |= other.denied;
    }

    /// Stated as `true`, and nowhere as `false`.
    pub(super) const fn allow(self, bit: u8) -> bool {
        self.granted & !self.denied & bit != 0
    }

    /// All except this one.
    pub(super) const fn without(self, bit: u8) -> Self {
        Self {
            granted: self.granted & !bit,
            denied: self.denied & !bit,
        }
    }

    /// Stated as `true` somewhere.
    pub(super) const fn grant(self, bit: u8) -> bool {
        self.granted & bit != 0
    }

    /// Stated as `false` somewhere.
    pub(super) const fn deny(self, bit: u8) -> bool {
        self.denied & bit != 0
    }
}

impl Grants {
    pub(super) fn new(channels: Vec<ChannelGrant>) -> Self {
        Self {
            channels: channels.into(),
        }
    }

    /// The channels to subscribe to on connecting, in the order written. They need no `subscribe: true`. A `subscribe: false`
    /// of any pattern that matches the channel denies it.
    pub fn auto_subscribe(&self) -> impl Iterator<Item = &str> {
        self.channels
            .iter()
            .filter(|grant| grant.flags.allow(channel::AUTO_SUBSCRIBE))
            .filter_map(|grant| grant.pattern.exact())
            .filter(|name| !self.denies_subscribe(name))
    }

    fn denies_subscribe(&self, name: &str) -> bool {
        self.channels
            .iter()
            .any(|grant| grant.flags.deny(channel::SUBSCRIBE) && grant.pattern.matches(name))
    }

    /// How many patterns there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.channels.len()
    }

    pub(super) fn channels(&self) -> &[ChannelGrant] {
        &self.channels
    }
}

impl ChannelGrant {
    pub(super) fn alias(&self) -> Option<&str> {
        self.details.as_ref()?.alias.as_deref()
    }
}
