//! A member list as it is told: every event must change it by exactly the member that it names.

use serde_json::Value;

use crate::verdict::{Verdict, broken};

/// Uids and what they show, in the order told.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct List(pub Vec<(String, Value)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Added,
    Updated,
    Removed,
}

impl What {
    /// The kind of this event: `hotsock.memberAdded` and its like.
    pub fn from_event(event: &str) -> Option<Self> {
        match event {
            "hotsock.memberAdded" => Some(Self::Added),
            "hotsock.memberUpdated" => Some(Self::Updated),
            "hotsock.memberRemoved" => Some(Self::Removed),
            _ => None,
        }
    }
}

impl List {
    pub fn read(members: &Value) -> Verdict<Self> {
        let Some(members) = members.as_array() else {
            return broken("lists", format!("no list of members: {members}"));
        };
        let mut list = Self::default();
        for member in members {
            let (uid, umd) = read_member(member)?;
            if list.get(&uid).is_some() {
                return broken("lists", format!("{uid} is there twice: {members:?}"));
            }
            list.0.push((uid, umd));
        }
        Ok(list)
    }

    pub fn get(&self, uid: &str) -> Option<&Value> {
        self.0.iter().find(|(u, _)| u == uid).map(|(_, umd)| umd)
    }

    /// The bytes that count for the capacity.
    pub fn bytes(&self) -> u64 {
        self.0.iter().map(|(uid, umd)| member_bytes(uid, umd)).sum()
    }

    /// An event about `member` after which the list is said to be `after`.
    pub fn change(&mut self, what: What, uid: &str, umd: &Value, after: &Value) -> Verdict {
        let before = self.clone();
        let at = self.0.iter().position(|(u, _)| u == uid);
        match (what, at) {
            (What::Added, None) => self.0.push((uid.to_owned(), umd.clone())),
            (What::Updated, Some(at)) if before.get(uid) != Some(umd) => {
                self.0[at].1 = umd.clone();
            }
            (What::Removed, Some(at)) if before.get(uid) == Some(umd) => {
                self.0.remove(at);
            }
            _ => {
                return broken(
                    "lists",
                    format!("{what:?} {uid} {umd} does not go with the list before: {before:?}"),
                );
            }
        }
        let told = Self::read(after)?;
        if told != *self {
            return broken(
                "lists",
                format!("{what:?} {uid} {umd}: before {before:?}, told {told:?}"),
            );
        }
        Ok(())
    }
}

pub fn read_member(member: &Value) -> Verdict<(String, Value)> {
    match (member["uid"].as_str(), member.get("umd")) {
        (Some(uid), Some(umd)) => Ok((uid.to_owned(), umd.clone())),
        _ => broken("lists", format!("no member: {member}")),
    }
}

/// How many bytes `{"uid":…,"umd":…}` has.
pub fn member_bytes(uid: &str, umd: &Value) -> u64 {
    (r#"{"uid":,"umd":}"#.len() + Value::from(uid).to_string().len() + umd.to_string().len()) as u64
}
