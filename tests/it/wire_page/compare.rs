//! What is printed against what came: byte for byte, but for what is different every time.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::{Captures, Regex};

/// What is an example in the page: message ids, times, connection ids and secrets, and `…` for any text.
static EXAMPLES: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?P<ulid>\b01[0-9A-HJKMNP-TV-Z]{24}\b)",
        r"|(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)",
        r#"|(?P<name>"[A-Za-z0-9_-]{22}"|"[A-Za-z0-9_-]{32}")"#,
        "|(?P<any>…)",
    ))
    .unwrap()
});

/// What the examples of a dialogue are on the wire.
#[derive(Debug, Default)]
pub struct Examples(BTreeMap<String, String>);

impl Examples {
    /// A printed text with everything in it that is known from before.
    pub fn put_in(&self, printed: &str) -> String {
        EXAMPLES
            .replace_all(printed, |found: &Captures<'_>| {
                let example = &found[0];
                self.0
                    .get(example)
                    .cloned()
                    .unwrap_or_else(|| example.to_owned())
            })
            .into_owned()
    }

    /// Whether what came is what is printed; learns what the examples in it are.
    pub fn is(&mut self, printed: &str, came: &str) -> bool {
        let (mut pattern, mut end, mut learnt) = (String::from("^"), 0, Vec::new());
        for found in EXAMPLES.captures_iter(printed) {
            let whole = found.get(0).unwrap();
            pattern += &regex::escape(&printed[end..whole.start()]);
            end = whole.end();
            let example = whole.as_str();
            pattern += &match self.0.get(example) {
                Some(known) => regex::escape(known),
                None if found.name("any").is_some() => r#"[^"]*"#.to_owned(),
                None if found.name("time").is_some() => {
                    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ".to_owned()
                }
                None => {
                    learnt.push(example.to_owned());
                    match found.name("ulid") {
                        Some(_) => "([0-9A-HJKMNP-TV-Z]{26})".to_owned(),
                        None => format!("(\"[A-Za-z0-9_-]{{{}}}\")", example.len() - 2),
                    }
                }
            };
        }
        pattern += &regex::escape(&printed[end..]);
        pattern.push('$');
        let Some(found) = Regex::new(&pattern).unwrap().captures(came) else {
            return false;
        };
        for (example, thing) in learnt.into_iter().zip(found.iter().skip(1).flatten()) {
            let thing = thing.as_str();
            // The same example twice in one frame is the same thing twice.
            if self.0.entry(example).or_insert_with(|| thing.to_owned()) != thing {
                return false;
            }
        }
        true
    }
}

#[test]
fn what_is_no_example_is_compared_byte_for_byte() {
    let mut examples = Examples::default();
    let told = r#"{"id":"01J664PF9MFZPADFA0N5AJB42R","of":"01J664PF9MFZPADFA0N5AJB42R","by":"wJ1uSpmCQAOqUCaAxUo7lw","a":1}"#;
    let came = told
        .replace("01J664PF9MFZPADFA0N5AJB42R", "01M87EHE6100000000017616MW")
        .replace("wJ1uSpmCQAOqUCaAxUo7lw", "AAAAAAAAAAAAAAAAAAAAAA");
    for other in [
        came.replace("\"a\":1", "\"a\":2"),
        came.replace("\"a\":1", "\"a\": 1"),
        came.clone() + " ",
        came.replacen("17616MW", "17616MX", 1),
        came.replace("AAAAA\"", "AAAA\""),
    ] {
        assert!(!Examples::default().is(told, &other), "{other}");
    }
    assert!(examples.is(told, &came));
    assert_eq!(examples.put_in(told), came);
    // What is known is that and nothing else.
    assert!(examples.is("01J664PF9MFZPADFA0N5AJB42R", "01M87EHE6100000000017616MW"));
    assert!(!examples.is("01J664PF9MFZPADFA0N5AJB42R", "01M87EHE6100000000017616MX"));
    // What is not may be anything of its kind, and text anything within its quotes.
    assert!(examples.is("01J664PG1VQNXH0JD8YT1C6Y2T", "01M87EHE6100000000017616MX"));
    let (told, came) = (
        "\"…\",2024-10-13T19:09:23Z",
        "\"any thing\",2026-11-24T19:16:54Z",
    );
    assert!(examples.is(told, came));
    assert!(!examples.is("\"…\"", "\"any\",\"thing\""));
}
