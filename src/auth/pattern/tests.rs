//! Patterns of all three forms.

use super::*;
use proptest::prelude::*;

fn parse(text: &str) -> Result<Pattern, &'static str> {
    of_kind(text, Kind::Channel)
}

fn of_kind(text: &str, kind: Kind) -> Result<Pattern, &'static str> {
    Pattern::parse(text, kind, &mut KnownExpressions::default().for_token())
}

#[test]
fn each_form_matches_as_it_should() {
    for (pattern, yes, no) in [
        ("game", &["game"][..], &["", "gam", "games", "Game"][..]),
        (
            "game.*",
            &["game.", "game.1", "game.*"],
            &["game", "xgame.1"],
        ),
        ("*", &["", "a", "ü😀"], &[]),
        (
            "*.chat",
            &[".chat", "a.chat", "a.chat.chat"],
            &["chat", "a.chats"],
        ),
        ("a*a", &["aa", "aba", "aaa"], &["a", "ab", "ba"]),
        ("a*b*c", &["abc", "a-b-c", "abcbc"], &["ac", "acb", "bc"]),
        ("**", &["", "x"], &[]),
        ("a**b", &["ab", "axb"], &["a", "b"]),
        ("ü*é", &["üé", "ü-é"], &["ué"]),
        ("#regex:b+", &["abbc", "b"], &["a", ""]),
        (
            "#regex:^game\\.[0-9]+$",
            &["game.12"],
            &["game.", "xgame.1", "game.1x"],
        ),
        ("#regex:*x", &[], &[]),
    ] {
        let Ok(parsed) = parse(pattern) else {
            assert_eq!(pattern, "#regex:*x");
            continue;
        };
        for name in yes {
            assert!(parsed.matches(name), "{pattern} should match {name}");
        }
        for name in no {
            assert!(!parsed.matches(name), "{pattern} should not match {name}");
        }
    }
}

#[test]
fn what_can_match_nothing_is_refused() {
    let long = "x".repeat(257);
    for text in [
        "",
        "a b",
        "a,b",
        "#",
        "#regexp:x",
        "a#b",
        "a\nb",
        "#regex:",
        &long,
    ] {
        assert!(parse(text).is_err(), "{text:?}");
    }
    assert!(parse(&"ü".repeat(256)).is_ok());
    let event = |text| of_kind(text, Kind::Event).is_ok();
    assert!(event("player moved, twice") && event("a#b") && event("*"));
    assert!(!event("#x") && !event("") && !event(&"x".repeat(129)));
    let key = |text| of_kind(text, Kind::StorageKey).is_ok();
    assert!(key("a:b") && key("player.*") && key("#regex:^[a-z]$"));
    assert!(!key("a b") && !key("a,b") && !key("a#b") && !key(&"x".repeat(129)));
}

#[test]
fn a_bad_or_monstrous_expression_is_refused() {
    for text in ["#regex:(", "#regex:(?=x)", "#regex:(a)\\1", "#regex:[z-a]"] {
        assert!(parse(text).unwrap_err().contains("valid"), "{text}");
    }
    let big = parse("#regex:\\pL{1000}").unwrap_err();
    assert!(big.contains("2 MiB"), "{big}");
    let long = format!("#regex:{}", "x".repeat(4097));
    assert!(parse(&long).unwrap_err().contains("4,096"));
}

#[test]
fn exact_is_most_specific_then_the_longer_text() {
    let of = |text| parse(text).unwrap().specificity();
    assert!(of("a") > of("aaaa*"));
    assert!(of("aa*") > of("a*"));
    assert!(of("#regex:^aa") > of("a*"));
    // The prefix says nothing about the channel, so it does not make an expression more specific.
    assert!(of("abc*") > of("#regex:^a"));
    assert_eq!(of("*b"), of("a*"));
    // Characters count, not bytes.
    assert!(of("abc*") > of("üé*"));
}

/// The definition, word for word.
fn model(pattern: &[char], name: &[char]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some(('*', rest)) => (0..=name.len()).any(|n| model(rest, &name[n..])),
        Some((c, rest)) => name.first() == Some(c) && model(rest, &name[1..]),
    }
}

proptest! {
    #[test]
    fn wildcards_match_what_the_model_matches(pattern in "[abü*]{0,8}", name in "[abü]{0,10}") {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        prop_assert_eq!(
            wildcard_matches(&pattern, &name),
            model(&chars(&pattern), &chars(&name))
        );
    }

    #[test]
    fn no_text_makes_it_panic(pattern: String, name: String) {
        for kind in [Kind::Channel, Kind::Event, Kind::StorageKey] {
            if let Ok(pattern) = of_kind(&pattern, kind) {
                pattern.matches(&name);
            }
        }
    }
}
