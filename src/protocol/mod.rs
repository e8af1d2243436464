//! The wire: names, limits, requests, frames and error codes of the Hotsock protocol. Pure: bytes in, values out, and
//! back again.

mod json;

pub use json::{Json, JsonError};
