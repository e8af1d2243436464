//! File, environment and flags into one checked [`Config`]. Checking is strict and complete: an unknown key, a bad
//! value or an unreadable file stops the start, and all that is wrong is said at once, each with its place and its mend.
//!
//! Each key is declared once: in `sections`, and in `keys` and `webhooks` where a table becomes something else. A
//! declaration (`declare`) gives the key a form (`forms`) that reads its value at its `place` in the tree that
//! `source` lays the layers into. `rules` is what one key asks of another, `findings` gathers what is wrong, `reference`
//! writes the file that explains every key, `units` knows how durations and sizes are written.
//!
//! Flags override the environment (`ROLLCALL_DATA_DIR`, `ROLLCALL_PRESENCE__BOOT_GRACE`: a double underscore for the
//! dot; lists as TOML or between commas), which overrides the file. A relative path in the file starts from the file's
//! directory, any other from the working directory. `${CREDENTIALS_DIRECTORY}` is expanded in paths. Durations are a
//! number and a unit (`500ms`, `10s`, `5m`, `2h`, `1d`); sizes are bytes, or text such as `"32MiB"`.

#[cfg(test)]
mod bytes;
mod declare;
mod error;
mod findings;
mod forms;
mod keys;
mod place;
mod reference;
mod rules;
mod sections;
mod source;
#[cfg(test)]
mod tests;
mod units;
mod webhooks;

use declare::Section as _;
use place::Place;

pub use declare::{Key, Shown, Standing};
pub use error::ConfigError;
pub use keys::ApiKey;
pub use rules::SOCKET_PATH_BYTES;
pub use sections::{Config, Connection, Log, LogFormat, LogLevel, Presence, Store};
pub use source::{ENV_PREFIX, File, Flag, Sources};
pub use units::{DURATION_FORM, base64, duration, show_duration, show_size};
#[cfg(any(test, feature = "simulation"))]
pub use webhooks::WebhookSecret;
pub use webhooks::{Events, Webhook};

pub use crate::store::Durability;

/// Where the configuration is looked for when no file is named.
pub const DEFAULT_FILE: &str = "/etc/rollcall/rollcall.toml";

/// Every key with its default, its bounds and a word on what it does, as a configuration file.
pub fn reference() -> String {
    reference::reference(&Config::keys())
}

/// Every key, for whoever tells of them in another way.
pub fn keys() -> Vec<Key> {
    Config::keys()
}

impl Config {
    /// Reads and checks the configuration, together with the key files that it names.
    ///
    /// # Errors
    /// Everything that is wrong, at once. (While the file is no valid TOML, only that is said.)
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let layers = sources.layers().map_err(ConfigError::new)?;
        let known = reference::paths(&keys());
        let findings = findings::Findings::new(known, layers.credentials);
        let top = Place::top(&layers.root, &findings);
        top.refuse_others(Self::NAMES);
        let config = Self::read(&top);
        rules::check(&config, &top);
        let problems = findings.into_problems();
        match problems.is_empty() {
            true => Ok(config),
            false => Err(ConfigError::new(problems)),
        }
    }
}
