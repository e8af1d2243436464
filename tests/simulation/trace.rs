//! What happened in a seed, for a person to read.

/// Lines, where somebody wants them.
pub struct Trace(Option<String>);

impl Trace {
    pub fn new(is_wanted: bool) -> Self {
        Self(is_wanted.then(String::new))
    }

    pub fn line(&mut self, line: impl FnOnce() -> String) {
        if let Some(text) = &mut self.0 {
            text.push_str(&line());
            text.push('\n');
        }
    }

    pub fn into_text(self) -> String {
        self.0.unwrap_or_default()
    }
}
