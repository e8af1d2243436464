//! How much a uid, its metadata and the data of a message may be (section 15). The operator sets it; whoever reads a token
//! or a request is given it as a value.

use super::Json;
use super::names::has_at_most;

/// The longest time that a message or storage entry may be kept, in seconds (a hundred years).
pub const MAX_KEEP_SECONDS: i64 = 3_155_695_200;

/// What may be in a token, a message or a storage value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most `data` of a message or storage value, in bytes of compact JSON.
    pub data_bytes: usize,
    /// The longest `uid`, in characters.
    pub uid_characters: usize,
    /// The most `umd`, in bytes of compact JSON.
    pub umd_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Limits {
    /// What the protocol says where the operator says nothing.
    pub const DEFAULT: Self = Self {
        data_bytes: 32 * 1024,
        uid_characters: 128,
        umd_bytes: 1_024,
    };

    /// The least that an operator can set: room for a short message, for a UUID, for a name.
    pub const LEAST: Self = Self {
        data_bytes: 1_024,
        uid_characters: 36,
        umd_bytes: 64,
    };

    /// The most that an operator can set. Of a uid and its metadata it is what keeps every record small enough for the
    /// database (`store::pages` has the arithmetic, and a test that does it). Data is stored in parts and has no such
    /// bound; but it is held in memory whole, once for the message and once for each event out.
    pub const MOST: Self = Self {
        data_bytes: 1024 * 1024,
        uid_characters: 512,
        umd_bytes: 16 * 1024,
    };

    /// Whether a uid is short enough. An empty one is.
    pub fn allow_uid(&self, uid: &str) -> bool {
        has_at_most(uid, self.uid_characters)
    }

    /// Whether metadata is small enough. None at all (`null`) is.
    pub fn allow_umd(&self, umd: &Json) -> bool {
        umd.is_null() || umd.as_str().len() <= self.umd_bytes
    }

    /// Whether data is small enough.
    pub fn allow_data(&self, data: &Json) -> bool {
        data.as_str().len() <= self.data_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_limit_is_allowed_and_one_more_is_not() {
        let limits = Limits {
            data_bytes: 6,
            uid_characters: 3,
            umd_bytes: 2,
        };
        let json = |text| Json::parse(text).unwrap();
        for uid in ["", "Jim", "äöü", "😀😀😀"] {
            assert!(limits.allow_uid(uid), "{uid}");
        }
        for uid in ["Jims", "äöüß"] {
            assert!(!limits.allow_uid(uid), "{uid}");
        }
        assert!(limits.allow_umd(&json("{ }")));
        assert!(limits.allow_umd(&Json::null()));
        assert!(!limits.allow_umd(&json("100")));
        assert!(limits.allow_data(&json("\"äö\"")));
        assert!(!limits.allow_data(&json("\"äöü\"")));
    }
}
