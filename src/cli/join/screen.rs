//! The client's output. In a pipe: one line an event, with the members behind it, flushed at once. On a terminal: the
//! list stays on top, and the events scroll below it. Raw: the frames and nothing else.
//!
//! It uses only what every terminal since the VT100 can do: a scrolling region, and a saved cursor.

use std::io::{self, Write};

use super::super::Failure;
use super::super::output::{remark, unwritable};
use super::view::View;

/// The rows of the header: a title, the list on two rows, and a rule.
const HEADER: u16 = 4;

/// A terminal with fewer rows than this has no room for a header.
const LEAST_ROWS: u16 = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// One line an event.
    Lines,
    /// The list on top, in a terminal of this size.
    Terminal { rows: u16, columns: u16 },
    /// Frames as they came.
    Raw,
}

/// The output. Dropping it resets the terminal's scrolling region.
pub(super) struct Screen<W: Write> {
    out: W,
    style: Style,
    title: String,
}

impl<W: Write> Screen<W> {
    pub(super) fn new(out: W, style: Style, title: &str) -> Result<Self, Failure> {
        let style = match style {
            Style::Terminal { rows, .. } if rows < LEAST_ROWS => Style::Lines,
            style => style,
        };
        let mut screen = Self {
            out,
            style,
            title: title.to_owned(),
        };
        if let Style::Terminal { rows, .. } = style {
            // The old content goes to the scrollback.
            screen.write(&"\n".repeat(usize::from(rows)))?;
            screen.divide(rows)?;
        }
        Ok(screen)
    }

    /// Shows an event. `list`: the list may have changed.
    pub(super) fn event(&mut self, line: &str, list: bool, view: &View) -> Result<(), Failure> {
        match self.style {
            Style::Raw => Ok(()),
            Style::Lines => match view.here().filter(|_| list) {
                Some(here) => self.write(&format!("{line} ({here})\n")),
                None => self.write(&format!("{line}\n")),
            },
            Style::Terminal { .. } => {
                self.write(&format!("\r\x1b[K{line}\n"))?;
                if list {
                    self.header(Some(view))?;
                }
                Ok(())
            }
        }
    }

    /// Shows the state of the connection.
    pub(super) fn status(&mut self, line: &str) -> Result<(), Failure> {
        match self.style {
            Style::Raw => {
                remark(line);
                Ok(())
            }
            Style::Lines => self.write(&format!("{line}\n")),
            Style::Terminal { .. } => {
                self.write(&format!("\r\x1b[K{line}\n"))?;
                self.header(None)
            }
        }
    }

    /// Shows a frame, where the style is raw.
    pub(super) fn frame(&mut self, text: &str) -> Result<(), Failure> {
        match self.style {
            Style::Raw => self.write(&format!("{text}\n")),
            _ => Ok(()),
        }
    }

    pub(super) fn resize(&mut self, rows: u16, columns: u16, view: &View) -> Result<(), Failure> {
        if matches!(self.style, Style::Terminal { .. }) && rows >= LEAST_ROWS {
            self.style = Style::Terminal { rows, columns };
            self.divide(rows)?;
            self.header(view.channel().map(|_| view))?;
        }
        Ok(())
    }

    /// Limits scrolling to the rows below the header.
    fn divide(&mut self, rows: u16) -> Result<(), Failure> {
        let top = HEADER + 1;
        self.write(&format!("\x1b[{top};{rows}r\x1b[{rows};1H"))
    }

    /// Draws the header. Without a view it shows that there is no connection.
    fn header(&mut self, view: Option<&View>) -> Result<(), Failure> {
        let Style::Terminal { columns, .. } = self.style else {
            return Ok(());
        };
        let width = usize::from(columns);
        let mut drawn = String::from("\x1b7");
        let rows = header_rows(&self.title, view, width);
        for (number, row) in rows.iter().enumerate() {
            drawn.push_str(&format!("\x1b[{};1H\x1b[2K{row}", number + 1));
        }
        drawn.push_str("\x1b8");
        self.write(&drawn)
    }

    fn write(&mut self, text: &str) -> Result<(), Failure> {
        self.out
            .write_all(text.as_bytes())
            .and_then(|()| self.out.flush())
            .map_err(|error: io::Error| unwritable(&error))
    }
}

impl<W: Write> Drop for Screen<W> {
    fn drop(&mut self) {
        if let Style::Terminal { rows, .. } = self.style {
            // It may fail only where the terminal is gone.
            let _ = self.write(&format!("\x1b[r\x1b[{rows};1H\r\x1b[K"));
        }
    }
}

/// The four rows on top, each at most `width` wide.
fn header_rows(title: &str, view: Option<&View>, width: usize) -> [String; HEADER as usize] {
    let state = match view.map(|view| (view.count(), view.uid())) {
        Some((Some(count), Some(uid))) => format!("{count} here, you are {uid}"),
        Some((Some(count), None)) => format!("{count} here"),
        Some((None, _)) => "connected; this channel does not tell who is here".to_owned(),
        None => "not connected".to_owned(),
    };
    let title = cut(&format!("{title}: {state}"), width);
    let rule = "─".repeat(width);
    let Some(view) = view else {
        return [title, String::new(), String::new(), rule];
    };
    // As many names as two rows take; the rest is a number.
    let total = view.count().unwrap_or_default();
    let mut limit = total.min(width);
    loop {
        let rows = wrap(&view.names(limit), width);
        if rows.len() <= 2 || limit == 0 {
            let mut rows = rows.into_iter();
            let first = rows.next().unwrap_or_default();
            let second = rows.next().unwrap_or_default();
            return [title, cut(&first, width), cut(&second, width), rule];
        }
        limit -= 1;
    }
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// Breaks a list between two names.
fn wrap(list: &str, width: usize) -> Vec<String> {
    let mut rows = vec![String::new()];
    for name in list.split_inclusive(", ") {
        let Some(row) = rows.last_mut() else { break };
        if !row.is_empty() && row.chars().count() + name.trim_end().chars().count() > width {
            rows.push(name.to_owned());
        } else {
            row.push_str(name);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(uids: &[&str]) -> View {
        let members: Vec<serde_json::Value> = uids
            .iter()
            .map(|uid| serde_json::json!({ "uid": uid, "umd": null }))
            .collect();
        let frame = serde_json::json!({
            "event": "hotsock.subscribed", "channel": "presence.x",
            "data": { "members": members }, "meta": { "uid": "Jim", "umd": null },
        });
        let mut view = View::new("presence.x");
        view.take(serde_json::from_value(frame).unwrap());
        view
    }

    fn shown(style: Style, play: impl FnOnce(&mut Screen<&mut Vec<u8>>)) -> String {
        let mut out = Vec::new();
        let mut screen = Screen::new(&mut out, style, "presence.x").unwrap();
        play(&mut screen);
        drop(screen);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_pipe_gets_a_line_an_event() {
        let text = shown(Style::Lines, |screen| {
            let view = view(&["Jim", "Dwight"]);
            screen.event("+ Dwight came", true, &view).unwrap();
            screen.event("> Dwight, chat: hi", false, &view).unwrap();
            screen.status("* gone").unwrap();
            screen.frame("{}").unwrap();
        });
        assert_eq!(
            text,
            "+ Dwight came (2 here: Jim, Dwight)\n> Dwight, chat: hi\n* gone\n"
        );
    }

    #[test]
    fn raw_is_frames_and_nothing_else() {
        let text = shown(Style::Raw, |screen| {
            screen.frame(r#"{"event":"x"}"#).unwrap();
            screen.event("+ Dwight came", true, &view(&[])).unwrap();
        });
        assert_eq!(text, "{\"event\":\"x\"}\n");
    }

    #[test]
    fn a_terminal_keeps_the_list_on_top_and_gets_its_scrolling_back() {
        let style = Style::Terminal {
            rows: 24,
            columns: 40,
        };
        let text = shown(style, |screen| {
            screen
                .event("+ Dwight came", true, &view(&["Jim", "Dwight"]))
                .unwrap();
        });
        assert!(text.contains("\x1b[5;24r"), "{text:?}");
        assert!(text.contains("+ Dwight came\n"), "{text:?}");
        assert!(
            text.contains(
                "\x1b7\x1b[1;1H\x1b[2Kpresence.x: 2 here, you are Jim\x1b[2;1H\x1b[2KJim, Dwight"
            ),
            "{text:?}"
        );
        assert!(text.ends_with("\x1b[r\x1b[24;1H\r\x1b[K"), "{text:?}");
        // Too small for a header: lines.
        let style = Style::Terminal {
            rows: 5,
            columns: 40,
        };
        let text = shown(style, |screen| screen.status("* x").unwrap());
        assert_eq!(text, "* x\n");
    }

    #[test]
    fn a_header_never_outgrows_its_rows() {
        let uids: Vec<String> = (0..500).map(|n| format!("user-{n}")).collect();
        let uids: Vec<&str> = uids.iter().map(String::as_str).collect();
        for width in [1, 10, 40, 200] {
            let rows = header_rows("presence.x", Some(&view(&uids)), width);
            for row in &rows {
                assert!(row.chars().count() <= width + 1, "{width}: {row:?}");
            }
        }
        let rows = header_rows("presence.x", Some(&view(&uids)), 40);
        assert!(rows[2].ends_with(" more"), "{rows:?}");
        let rows = header_rows("presence.x", None, 40);
        assert_eq!(rows[0], "presence.x: not connected");
    }
}
