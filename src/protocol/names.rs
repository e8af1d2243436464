//! What channels and events may be called (sections 3 and 5).

use super::error::{ErrorCode, Refusal};

/// The prefix that makes a channel a presence channel.
pub const PRESENCE_PREFIX: &str = "presence.";
/// The prefix of the protocol's own events.
pub const RESERVED_EVENT_PREFIX: &str = "hotsock.";
/// The longest channel name, in characters.
pub const MAX_CHANNEL_CHARS: usize = 256;
/// The longest event name, in characters.
pub const MAX_EVENT_CHARS: usize = 128;
/// The longest reaction, in bytes of UTF-8.
pub const MAX_REACTION_BYTES: usize = 100;

/// Whether the channel tells its members who else is there.
pub fn is_presence(channel: &str) -> bool {
    channel.starts_with(PRESENCE_PREFIX)
}

/// Checks a channel name: 1 to 256 characters, none of `*`, `#`, `,`, space, or a control character.
///
/// # Errors
/// `INVALID_CHANNEL_NAME`, saying what is wrong with it.
pub fn check_channel(name: &str) -> Result<(), Refusal> {
    let refuse = |message: &'static str| Err(Refusal::new(ErrorCode::InvalidChannelName, message));
    if name.is_empty() {
        return refuse("a channel name has at least one character");
    }
    if !has_at_most(name, MAX_CHANNEL_CHARS) {
        return refuse("a channel name has at most 256 characters");
    }
    if name
        .chars()
        .any(|c| matches!(c, '*' | '#' | ',' | ' ') || c.is_control())
    {
        return refuse("a channel name has no `*`, `#`, `,`, space or control character");
    }
    Ok(())
}

/// Checks the name of an application's event: 1 to 128 characters, not beginning with `hotsock.` or `#`, without `*`
/// and control characters.
///
/// # Errors
/// `INVALID_EVENT_NAME`, saying what is wrong with it.
pub fn check_event(name: &str) -> Result<(), Refusal> {
    let refuse = |message: &'static str| Err(Refusal::new(ErrorCode::InvalidEventName, message));
    if name.is_empty() {
        return refuse("an event name has at least one character");
    }
    if !has_at_most(name, MAX_EVENT_CHARS) {
        return refuse("an event name has at most 128 characters");
    }
    if name.starts_with('#') || name.starts_with(RESERVED_EVENT_PREFIX) {
        return refuse("an event name begins neither with `#` nor with `hotsock.`");
    }
    if name.chars().any(|c| c == '*' || c.is_control()) {
        return refuse("an event name has no `*` and no control character");
    }
    Ok(())
}

/// Checks the name of an event that is to be published over HTTP: as [`check_event`] does, and one of the protocol's own is
/// told in the words of the WebSocket.
///
/// # Errors
/// `UNKNOWN_EVENT`, `INVALID_EVENT_NAME`.
pub fn check_published(name: &str) -> Result<(), Refusal> {
    if name.starts_with(RESERVED_EVENT_PREFIX) {
        return Err(Refusal::new(
            ErrorCode::UnknownEvent,
            "this is no event that can be published",
        ));
    }
    check_event(name)
}

/// Checks a reaction: 1 to 100 bytes without `#`, and not blank.
///
/// # Errors
/// `INVALID_REACTION`.
pub fn check_reaction(reaction: &str) -> Result<(), Refusal> {
    let is_blank = reaction.chars().all(char::is_whitespace);
    if !is_blank && reaction.len() <= MAX_REACTION_BYTES && !reaction.contains('#') {
        return Ok(());
    }
    Err(Refusal::new(
        ErrorCode::InvalidReaction,
        "a reaction has 1 to 100 bytes and no `#`, and is not blank",
    ))
}

/// Whether `text` has at most `max` characters. Counts only where the bytes alone do not tell, and no long text to its end.
pub(crate) fn has_at_most(text: &str, max: usize) -> bool {
    text.len() <= max || text.chars().nth(max).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channel_names() {
        for good in ["a", "presence.live-chat", "spiel.äöü/1", &"é".repeat(256)] {
            assert_eq!(check_channel(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "a b",
            "a*",
            "#a",
            "a,b",
            "a\0",
            "a\u{7f}",
            &"é".repeat(257),
        ] {
            assert_eq!(
                check_channel(bad).unwrap_err().code,
                ErrorCode::InvalidChannelName,
                "{bad}"
            );
        }
    }

    #[test]
    fn reactions() {
        for good in ["a", "👍", " up ", "a b", &"x".repeat(100)] {
            assert_eq!(check_reaction(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            " ",
            "\t \n",
            "\u{a0}\u{3000}",
            "#",
            "a#",
            &"x".repeat(101),
        ] {
            assert_eq!(
                check_reaction(bad).unwrap_err().code,
                ErrorCode::InvalidReaction,
                "{bad:?}"
            );
        }
    }

    #[test]
    fn event_names() {
        for good in ["move", "a b", "hotsockish", &"é".repeat(128)] {
            assert_eq!(check_event(good), Ok(()), "{good}");
        }
        for bad in ["", "hotsock.x", "#x", "a*", "a\n", &"é".repeat(129)] {
            assert_eq!(
                check_event(bad).unwrap_err().code,
                ErrorCode::InvalidEventName,
                "{bad}"
            );
        }
    }
}
