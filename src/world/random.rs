//! Random bytes, and hashes that nobody outside can foresee.

use std::io;

#[cfg(feature = "simulation")]
use super::machine;

/// Fills `bytes` with random ones, good enough for secrets.
///
/// # Errors
/// When the system has none.
#[inline]
pub(crate) fn fill(bytes: &mut [u8]) -> io::Result<()> {
    #[cfg(feature = "simulation")]
    if machine::with(|machine| machine.fill(bytes)).is_some() {
        return Ok(());
    }
    getrandom::fill(bytes).map_err(|error| io::Error::other(error.to_string()))
}

/// How keys are hashed where the hash decides what runs where, or in which order.
#[cfg(not(feature = "simulation"))]
pub(crate) type HashKeys = std::hash::RandomState;

/// How keys are hashed where the hash decides what runs where, or in which order: in a simulation its seed says how.
#[cfg(feature = "simulation")]
#[derive(Debug, Clone)]
pub(crate) enum HashKeys {
    /// Outside of a simulation.
    Random(std::hash::RandomState),
    /// In one.
    Seeded(u64),
}

#[cfg(feature = "simulation")]
impl HashKeys {
    pub(crate) fn new() -> Self {
        match machine::with(machine::Machine::number) {
            Some(seed) => Self::Seeded(seed),
            None => Self::Random(std::hash::RandomState::new()),
        }
    }
}

#[cfg(feature = "simulation")]
impl Default for HashKeys {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(feature = "simulation")]
impl std::hash::BuildHasher for HashKeys {
    type Hasher = std::hash::DefaultHasher;

    fn build_hasher(&self) -> Self::Hasher {
        match self {
            Self::Random(state) => state.build_hasher(),
            Self::Seeded(seed) => {
                let mut hasher = Self::Hasher::new();
                std::hash::Hasher::write_u64(&mut hasher, *seed);
                hasher
            }
        }
    }
}
