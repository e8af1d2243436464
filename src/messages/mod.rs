//! The rules of messages. Pure: the time and the randomness come from outside.
//!
//! - [`Ids`]: message ids that only ever grow, across restarts and clocks that step back
//! - [`Window`], [`Keep`]: which stored messages may be listed, and for how long one is kept

mod history;
mod ids;

pub use history::{Keep, Window};
pub use ids::Ids;
