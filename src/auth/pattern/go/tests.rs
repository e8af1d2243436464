//! What Go says of each expression: which are accepted, and what they match.

use super::super::expression::Expression;
use super::*;

/// Accepted: the expression, texts that it matches, and texts that it does not.
const ACCEPTED: &[(&str, &[&str], &[&str])] = &[
    // Literals, and what only looks like an operator.
    ("b+", &["abbc", "b"], &["a", ""]),
    ("a{b}", &["a{b}"], &["ab", "a"]),
    ("a{,2}", &["a{,2}"], &["aa", "a"]),
    ("{", &["x{"], &["x"]),
    ("a{1", &["a{1"], &["a"]),
    ("a{01}", &["a{01}"], &["a"]),
    ("a{1,02}", &["a{1,02}"], &["a"]),
    ("a{ 1}", &["a{ 1}"], &["a"]),
    ("{1,x}", &["{1,x}"], &["{1,2}"]),
    ("}", &["}"], &["{"]),
    ("]", &["]"], &["["]),
    ("a-b&&c~~d--", &["a-b&&c~~d--"], &["a"]),
    (
        "# not a comment",
        &["# not a comment"],
        &["#notacomment", ""],
    ),
    ("ü😀", &["xü😀"], &["ü", "u"]),
    // Escapes.
    (
        r"\.\*\[\]\{\}\(\)\|\^\$\?\+\\",
        &[r".*[]{}()|^$?+\"],
        &["x"],
    ),
    (r"\_\-\/\#\&\~\@\ \!\<\>", &["_-/#&~@ !<>"], &["x"]),
    (r"\a\f\t\n\r\v", &["\x07\x0c\t\n\r\x0b"], &["aftnrv"]),
    (r"\123", &["S"], &["\x01\x32\x33", "123"]),
    (r"\0", &["\0"], &["0"]),
    (r"\08", &["\08"], &["0"]),
    (r"\101\60", &["A0"], &["101"]),
    (r"\777", &["\u{1ff}"], &["?7"]),
    (r"\x41\x{42}\x{0000043}", &["ABC"], &["x41"]),
    (r"\x{10FFFF}", &["\u{10ffff}"], &["\u{10fffe}"]),
    (r"\x{d800}", &[], &["\u{d7ff}", "\u{fffd}", ""]),
    (r"\Qa.b*\E+", &["a.b*", "a.b***"], &["a.b", "axb*"]),
    (r"\Q(((", &["((("], &["(("]),
    (r"a\Q\E*b", &["aab", "b"], &["a"]),
    (r"\Q\d\E\d", &[r"\d1"], &["11"]),
    // Any character.
    (
        "^.$",
        &["a", "ü", "😀", "\r", "\u{2028}"],
        &["\n", "", "ab"],
    ),
    ("(?s)^.$", &["\n", "😀"], &[""]),
    ("^.{2}$", &["ü😀"], &["ü", "abc"]),
    // Go's classes are ASCII.
    (
        r"^org\.\d+$",
        &["org.1", "org.42"],
        &["org.\u{661}", "org.", "org.x"],
    ),
    (r"^\D$", &["x", "\u{661}", "\n"], &["1"]),
    (r"^\w{1,64}$", &["a_Z9"], &["é", "", "a b", "ſ"]),
    (r"^\W$", &["é", " ", "-"], &["_", "a", "0"]),
    (
        r"^\s$",
        &[" ", "\t", "\n", "\x0c", "\r"],
        &["\x0b", "\u{a0}", "\u{2003}"],
    ),
    (r"^\S$", &["\x0b", "\u{a0}", "x"], &[" "]),
    (
        r"\bab\b",
        &["ab", "x ab.", "éab", "abé"],
        &["cab", "ab_", "ab1"],
    ),
    (r"a\Bb", &["ab"], &["a b"]),
    (r"^\B$", &[""], &["a"]),
    (r"é\Bé", &["éé"], &["é"]),
    (r"é\bé", &[], &["éé"]),
    ("^[[:alpha:]][[:digit:]]$", &["a1"], &["é1", "a\u{661}"]),
    ("^[[:^alpha:]]$", &["1", "é"], &["a"]),
    ("^[^[:alpha:]]$", &["1", "é"], &["a"]),
    ("^[[:word:]-]+$", &["a_-0"], &["é"]),
    ("^[[:space:]]$", &["\x0b", " "], &["\u{a0}"]),
    ("^[[:blank:][:punct:]]$", &["\t", "~", "["], &["\n", "a"]),
    (
        "^[[:upper:]][[:lower:]][[:alnum:]][[:xdigit:]]$",
        &["Aa9F"],
        &["aA9F", "Aa9g"],
    ),
    (
        "^[[:ascii:]][[:cntrl:]][[:graph:]][[:print:]]$",
        &["a\x1b! ", "\x7f\x7f~~"],
        &["é\x1b! ", "a  ~"],
    ),
    // Brackets.
    ("^[]a]$", &["]", "a"], &["[", "b"]),
    ("^[^]a]$", &["b", "\n"], &["]", "a"]),
    ("^[a-]$", &["a", "-"], &["b"]),
    ("^[-a]$", &["a", "-"], &["b"]),
    ("^[a-c-e]$", &["b", "-", "e"], &["d"]),
    ("^[a[b]]$", &["a]", "[]", "b]"], &["a", "[", "b"]),
    ("^[[]$", &["["], &["]"]),
    ("^[a&&b]$", &["a", "b", "&"], &["c", ""]),
    ("^[+--b]$", &["+", ",", "-", "b"], &["a", "."]),
    ("^[a~~b]$", &["~", "a"], &["c"]),
    ("^[:alpha:]$", &["a", "l", "p", "h", ":"], &["b", "z"]),
    (r"^[\d-z]$", &["1", "-", "z"], &["y", "a"]),
    (r"^[\]\-\\^]$", &["]", "-", r"\", "^"], &["a"]),
    (r"^[\x41-\x{43}\n\060]$", &["B", "\n", "0"], &["D", "x"]),
    (r"^[^\D]$", &["5"], &["x", "\u{661}"]),
    (r"^[\w.-]+$", &["a.b-c_1"], &["a b", "ü"]),
    (r"^[^\n]$", &["a"], &["\n"]),
    ("^[^a]$", &["\n", "ü"], &["a", ""]),
    ("^[.*+?(){}|$]$", &["*", "$", "{"], &["a"]),
    (
        r"^[\x{d7ff}-\x{e000}]$",
        &["\u{d7ff}", "\u{e000}"],
        &["\u{fffd}"],
    ),
    // Unicode: general categories and scripts.
    (r"^\pL\p{Lu}\p{^L}$", &["éÉ1"], &["éé1", "éÉé"]),
    (r"^\PN\P{^Nd}$", &["x\u{661}"], &["1\u{661}", "xx"]),
    (r"^\p{Greek}+$", &["Ωμέγα"], &["Omega"]),
    (
        r"^[\p{L}\d_-]{3,30}$",
        &["Jörg-1", "日本語"],
        &["ab", "a b c", "ab\u{661}"],
    ),
    (r"^[^\p{Lu}]$", &["a", "1"], &["Ä"]),
    (r"^\p{Old_Italic}\p{Zs}$", &["\u{10300}\u{a0}"], &["aa"]),
    (r"^\p{Any}\p{Zl}$", &["x\u{2028}"], &["xx"]),
    (r"\p{Cs}", &[], &["a", "\u{fffd}"]),
    // Groups and flags.
    ("^(a|b|)c$", &["ac", "c"], &["abc"]),
    ("^(|a)*$", &["", "aaa"], &["b"]),
    ("^()()$", &[""], &["a"]),
    ("|", &["", "a"], &[]),
    ("^(?P<n>a)(?P<m>b)$", &["ab"], &["a"]),
    ("^(?P<n>a)(?P<n>b)$", &["ab"], &["a"]),
    ("^(?<n>a)(?<2>b)$", &["ab"], &["a"]),
    ("(?i)straße", &["STRAßE", "ſtraße"], &["strasse"]),
    ("(?i)^k$", &["k", "K", "\u{212a}"], &["x"]),
    ("^a(?i)b|c$", &["aB", "xC"], &["AB"]),
    ("^(a(?i)b)c$", &["aBc"], &["aBC"]),
    ("^(?i:a)b$", &["Ab"], &["AB"]),
    ("(?i)^a(?-i)b$", &["Ab"], &["AB"]),
    ("(?i-s:^A.$)", &["ab"], &["a\n"]),
    (r"(?i)^\w$", &["ſ", "\u{212a}", "a"], &["é"]),
    (r"(?i)^\W$", &["é"], &["ſ", "\u{212a}", "a"]),
    ("(?i)^[^k]$", &["x", "é"], &["K", "\u{212a}"]),
    ("(?i)^[[:lower:]]$", &["A", "ſ"], &["1"]),
    (r"(?i)^\p{Lu}$", &["a", "É"], &["1"]),
    ("(?m)^b$", &["a\nb\nc", "b"], &["ab", "b\r\n"]),
    ("^b$", &["b"], &["b\n", "a\nb"]),
    (r"(?m)\Ab\z", &["b"], &["b\n", "a\nb"]),
    ("(?sm)^.b$", &["x\n\nb", "\nb"], &["ab\r"]),
    ("(?U)^a+?b*$", &["aab"], &["b"]),
    ("^(?)(?:a)(?-s)b$", &["ab"], &["a"]),
    // Repetitions.
    ("^a{2}b{2,}c{0,1}$", &["aabb", "aabbbc"], &["abb", "aab"]),
    ("^a{0}b$", &["b"], &["ab"]),
    ("^a??b+?c*?d{1,2}?$", &["abcd", "bdd"], &["ad"]),
    ("^*a", &["a", "ba"], &["b"]),
    ("a$*", &["a", "ab"], &["b"]),
    (r"(?:\b)*a(^)?", &["a"], &["b"]),
    ("^(?:a*)*$", &["", "aa"], &["b"]),
    ("^a*(?i)*$", &["aa", ""], &["A"]),
    ("^a{1000}$", &[], &["a"]),
    ("(?:a{10}){100}", &[], &["a"]),
    ("(?:(?:a{10}){10}b){2,10}", &[], &["a"]),
    ("((((a{100})))*){10}", &["a", ""], &[]),
    // What people write.
    (
        r"^[\w-]{36}$",
        &["123e4567-e89b-12d3-a456-426614174000"],
        &["x"],
    ),
    (
        "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        &["123e4567-e89b-12d3-a456-426614174000"],
        &[
            "123e4567-e89b-12d3-a456-42661417400g",
            "123E4567-E89B-12D3-A456-426614174000",
        ],
    ),
    ("^[^.]{1,256}$", &["room-1", "ü"], &["a.b", ""]),
    ("^.{1,256}$", &["room", "日本語"], &[""]),
    (r"(?i:\w{3,20})", &["Jim"], &["ab", "é é"]),
    (
        r"^user\.(jim|pam)\..*$",
        &["user.jim.", "user.pam.x"],
        &["user.tom.x"],
    ),
];

/// Refused, and why.
const REFUSED: &[(&str, Refusal)] = &[
    ("(", Refusal::Parenthesis),
    (")", Refusal::Parenthesis),
    ("(a))", Refusal::Parenthesis),
    ("(?:a", Refusal::Parenthesis),
    ("(?i", Refusal::Group),
    ("[", Refusal::Bracket),
    ("[]", Refusal::Bracket),
    ("[^]", Refusal::Bracket),
    ("[a", Refusal::Bracket),
    ("[a-", Refusal::Bracket),
    ("*", Refusal::Repetition),
    ("{1}", Refusal::Repetition),
    ("(*)", Refusal::Repetition),
    ("a|*", Refusal::Repetition),
    ("(?i)*", Refusal::Repetition),
    (r"\Q\E+", Refusal::Repetition),
    ("a**", Refusal::Repetition),
    ("a*+", Refusal::Repetition),
    ("a++", Refusal::Repetition),
    ("a?{2}", Refusal::Repetition),
    ("a{2}{3}", Refusal::Repetition),
    ("a*??", Refusal::Repetition),
    ("a{2,1}", Refusal::Times),
    ("a{1001}", Refusal::Times),
    ("a{0,1001}", Refusal::Times),
    ("a{1001,}", Refusal::Times),
    ("a{99999999999999999999}", Refusal::Times),
    ("(a{100}){11}", Refusal::Times),
    ("((a{2}b{50}){5}){5}", Refusal::Times),
    ("(a{500,}){3}", Refusal::Times),
    (r"\1", Refusal::Escape),
    (r"(a)\1", Refusal::Escape),
    (r"\8", Refusal::Escape),
    (r"\18x\9", Refusal::Escape),
    (r"\Z", Refusal::Escape),
    (r"\C", Refusal::Escape),
    (r"\E", Refusal::Escape),
    (r"\R", Refusal::Escape),
    (r"\h", Refusal::Escape),
    (r"\K", Refusal::Escape),
    (r"\G", Refusal::Escape),
    (r"\X", Refusal::Escape),
    (r"\u0041", Refusal::Escape),
    (r"\u{41}", Refusal::Escape),
    (r"\é", Refusal::Escape),
    ("\\", Refusal::Escape),
    (r"\x", Refusal::Escape),
    (r"\x4", Refusal::Escape),
    (r"\x4g", Refusal::Escape),
    (r"\x{}", Refusal::Escape),
    (r"\x{41", Refusal::Escape),
    (r"\x{+41}", Refusal::Escape),
    (r"\x{110000}", Refusal::Escape),
    (r"\x{fffffffffffffffffff}", Refusal::Escape),
    (r"[\b]", Refusal::Escape),
    (r"[\Qa\E]", Refusal::Escape),
    (r"[a-\d]", Refusal::Escape),
    (r"[\z]", Refusal::Escape),
    ("[b-a]", Refusal::Class),
    ("[a--b]", Refusal::Class),
    ("[[:foo:]]", Refusal::Class),
    ("[[:Alpha:]]", Refusal::Class),
    ("[[:^^alpha:]]", Refusal::Class),
    (r"\p", Refusal::Class),
    (r"\p{", Refusal::Class),
    (r"\p{}", Refusal::Class),
    (r"\p{Lu", Refusal::Class),
    (r"\p{Foo}", Refusal::Class),
    (r"\p{^^L}", Refusal::Class),
    (r"\p{L&}", Refusal::Class),
    (r"\p{Alphabetic}", Refusal::Class),
    (r"\p{Emoji}", Refusal::Class),
    (r"\p{sc=Greek}", Refusal::Class),
    (r"\p{IsGreek}", Refusal::Class),
    (r"\pX", Refusal::Class),
    ("(?x)a b", Refusal::Group),
    ("(?u)a", Refusal::Group),
    ("(?R)a", Refusal::Group),
    ("(?i-)a", Refusal::Group),
    ("(?-)a", Refusal::Group),
    ("(?i--s)a", Refusal::Group),
    ("(?=a)", Refusal::Group),
    ("(?!a)", Refusal::Group),
    ("(?<=a)", Refusal::Group),
    ("(?<!a)", Refusal::Group),
    ("(?>a)", Refusal::Group),
    ("(?#c)", Refusal::Group),
    ("(?", Refusal::Group),
    ("(?P", Refusal::Group),
    ("(?P<n", Refusal::Group),
    ("(?P<>a)", Refusal::Group),
    ("(?P<n m>a)", Refusal::Group),
    ("(?P<é>a)", Refusal::Group),
    ("(?P=n)", Refusal::Group),
    ("(?'n'a)", Refusal::Group),
];

#[test]
fn what_go_accepts_matches_what_it_matches_there() {
    for (text, yes, no) in ACCEPTED {
        let expression =
            Expression::compile(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        for name in *yes {
            assert!(expression.is_match(name), "{text} should match {name:?}");
        }
        for name in *no {
            assert!(
                !expression.is_match(name),
                "{text} should not match {name:?}"
            );
        }
    }
}

#[test]
fn what_go_refuses_is_refused() {
    for (text, refusal) in REFUSED {
        assert_eq!(parse(text).map(|_| ()), Err(*refusal), "{text}");
    }
}

#[test]
fn nesting_is_bounded_and_what_is_within_compiles() {
    let nested = |levels| format!("{}a{}", "(?:b".repeat(levels), ")*".repeat(levels));
    // On a small stack: each level is a call of the compiler's.
    let compiled = std::thread::Builder::new()
        .stack_size(512 << 10)
        .spawn(move || Expression::compile(&nested(124)).is_ok());
    assert!(compiled.unwrap().join().unwrap());
    assert_eq!(parse(&nested(125)).map(|_| ()), Err(Refusal::TooDeep));
    // Parentheses alone are no levels.
    assert!(Expression::compile(&format!("{}a{}", "(".repeat(2000), ")".repeat(2000))).is_ok());
}

#[test]
fn size_is_bounded_and_told_early() {
    let many = r"\PL".repeat(1300);
    for text in [
        "(?:a?){1000}(?:a?){1000}(?:a?){1000}(?:a?){1000}(?:a?){1000}",
        r"\pL{1000}",
        r"[^\pL]{1,500}",
        &many,
    ] {
        let refusal = Expression::compile(text).map(|_| ()).unwrap_err();
        assert!(refusal.contains("2 MiB"), "{text:.20}: {refusal}");
    }
    // What is folded is counted, not timed: the engine folds one character after the other.
    let everything = r"[!-\x{10FFFF}]";
    for text in [
        format!("(?i){many}"),
        format!("(?i)[{many}]"),
        format!("(?i){}", everything.repeat(270)),
        format!("(?i){}", r"[^!-\x{10FFFF}]".repeat(250)),
        format!("(?i)[{}]", r"\pL\PL".repeat(600)),
    ] {
        let refusal = Expression::compile(&text).map(|_| ()).unwrap_err();
        assert!(refusal.contains("65,536"), "{text:.20}: {refusal}");
    }
    let most = parse(&format!("(?i){}", everything.repeat(20))).unwrap();
    assert!(most.folded > 1 << 15 && most.folded <= class::MAX_FOLDED);
    let long = "x".repeat(4097);
    assert!(
        Expression::compile(&long)
            .map(|_| ())
            .unwrap_err()
            .contains("4,096")
    );
    assert!(Expression::compile(&long[1..]).is_ok());
    assert!(Expression::compile("").is_err());
}
