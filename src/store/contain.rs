//! Calls into sled that may panic.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::StoreError;

/// Calls into sled, whose unwritten invariants panic where a database is damaged.
pub(super) fn contain<T>(call: impl FnOnce() -> sled::Result<T>) -> Result<T, StoreError> {
    contain_store(|| call().map_err(StoreError::from))
}

pub(super) fn contain_store<T>(
    call: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        Err(StoreError::Panicked(text.unwrap_or_default()))
    })
}
