//! Where several patterns match: which of them wins.

use serde_json::{Value, json};

use super::table::Table;

/// However specific the pattern is that says it.
pub(super) fn a_false_wins(table: &mut Table) {
    // Where the true and the false stand that meet at `e` on `c1`.
    type Place = fn(Value, Value) -> Value;
    let places: [(&str, Place); 7] = [
        (
            "of the event, by a wildcard",
            |yes, no| json!({"c1": {"subscribe": true, "messages": {"e": yes, "*": no}}}),
        ),
        (
            "of the event, against a wildcard",
            |yes, no| json!({"c1": {"subscribe": true, "messages": {"*": yes, "e": no}}}),
        ),
        (
            "of the event, by an expression",
            |yes, no| json!({"c1": {"subscribe": true, "messages": {"e": yes, "#regex:^.$": no}}}),
        ),
        (
            "of the channel, by a wildcard",
            |yes, no| json!({"c1": {"subscribe": true, "messages": {"e": yes}}, "c*": {"messages": {"e": no}}}),
        ),
        (
            "of the channel, against a wildcard",
            |yes, no| json!({"c*": {"subscribe": true, "messages": {"e": yes}}, "c1": {"messages": {"e": no}}}),
        ),
        (
            "of the channel, by an expression",
            |yes, no| json!({"c1": {"subscribe": true, "messages": {"e": yes}}, "#regex:1": {"messages": {"e": no}}}),
        ),
        (
            "of the channel and the event, crosswise",
            |yes, no| json!({"c1": {"subscribe": true, "messages": {"*": yes}}, "*": {"messages": {"e": no}}}),
        ),
    ];
    let all = json!({"publish": true, "broadcast": true, "echo": true});
    for (place, of) in places {
        for (directive, text) in [
            (
                "publish",
                "say c1 e -> PUBLISH_PERMISSION_DENIED
                 join c1; say c1 e -> PUBLISH_PERMISSION_DENIED",
            ),
            (
                "broadcast",
                "say c1 e -> PUBLISH_PERMISSION_DENIED
                 join c1; say c1 e -> heard in c1, echoed",
            ),
            (
                "echo",
                "say c1 e -> heard in c1
                 join c1; say c1 e -> heard in c1",
            ),
        ] {
            let group = format!("a false {directive} {place}");
            table.add(&group, of(all.clone(), json!({directive: false})), text);
        }
    }
    table.add(
        "publish:false beats broadcast, from wherever",
        json!({
            "c": {"subscribe": true, "messages": {"e": {"broadcast": true}}},
            "*": {"messages": {"*": {"publish": false}}},
        }),
        "say c e -> PUBLISH_PERMISSION_DENIED
         join c; say c e -> PUBLISH_PERMISSION_DENIED",
    );
    table.add(
        "a false counts where its pattern matches, and only there",
        json!({
            "c*": {"subscribe": true, "messages": {"*": {"broadcast": true}, "x": {"publish": false}}},
            "c2": {"subscribe": false, "messages": {"e": {"publish": false}}},
            "d": {"messages": {"*": {"publish": false}}},
            "*": {"getInfo": false},
        }),
        "join c1 -> in c1
         say c1 e -> heard in c1
         say c1 x -> PUBLISH_PERMISSION_DENIED
         join c2 -> SUBSCRIBE_PERMISSION_DENIED
         say c2 e -> PUBLISH_PERMISSION_DENIED
         say c2 f -> heard in c2
         say c2 x -> PUBLISH_PERMISSION_DENIED",
    );
    table.add(
        "a false of the other directives",
        json!({
            "c": {"subscribe": true, "getInfo": true, "messages": {"e": {"react": ["up"]}}},
            "#regex:^c$": {"getInfo": false},
            "*": {"messages": {"*": {"react": false}}},
            "game.*": {"subscribe": true},
            "game.secret": {"subscribe": false},
            "#regex:^game[.]s": {"subscribe": true},
        }),
        "info c -> INFO_PERMISSION_DENIED
         join c; react c e up -> REACTION_PERMISSION_DENIED
         join game.open -> in game.open
         join game.secret -> SUBSCRIBE_PERMISSION_DENIED",
    );
}

/// Of numbers and lists: an exact name, then the longest pattern; the channel's first, then the event's.
pub(super) fn the_most_specific_counts(table: &mut Table) {
    const FUTURE: u64 = 32_503_680_000;
    let kept = |seconds: i64| json!({"broadcast": true, "store": seconds});
    table.add(
        "store, of the event",
        json!({"c": {"messages": {
            "exact": kept(600), "exact*": kept(0),
            "none": kept(0), "non*": kept(600),
            "lo*": kept(0), "longe*": kept(600),
            "#regex:^so.": kept(600), "so*": kept(0),
            "silent": {"broadcast": true}, "sil*": kept(-1),
            "never": {"broadcast": true},
        }}}),
        "say c exact -> heard in c, kept
         say c exactly -> heard in c
         say c none -> heard in c
         say c nonsense -> heard in c, kept
         say c longer -> heard in c, kept
         say c long -> heard in c
         say c soup -> heard in c, kept
         say c silent -> heard in c, kept
         say c never -> heard in c",
    );
    table.add(
        "store, of the channel before the event",
        json!({
            "c": {"messages": {"*": kept(600)}},
            "c*": {"messages": {"e": kept(0)}},
            "d*": {"messages": {"*": kept(600)}},
            "#regex:^d": {"messages": {"e": kept(0)}},
            "*": {"messages": {"f": kept(0)}},
        }),
        "say c e -> heard in c, kept
         say c f -> heard in c, kept
         say c1 e -> heard in c1
         say d1 f -> heard in d1, kept
         say d1 e -> heard in d1
         say x f -> heard in x",
    );
    let react = |reactions: Value| json!({"react": reactions});
    table.add(
        "react",
        json!({"c": {"subscribe": true, "messages": {
            "some": react(json!(["up", "down"])),
            "few": react(json!(["up"])), "few*": react(json!(true)),
            "any": react(json!(true)), "an*": react(json!(["up"])),
            "nothing": react(json!([])), "no*": react(json!(true)),
            "silent": {}, "si*": react(json!(["up"])),
            "mute": react(json!(false)), "mut*": react(json!(["up"])),
        }}}),
        "join c; react c some up -> heard in c, echoed
         join c; react c some down -> heard in c, echoed
         join c; react c some sideways -> REACTION_PERMISSION_DENIED
         react c some up -> NOT_SUBSCRIBED
         join c; react c few up -> heard in c, echoed
         join c; react c few down -> REACTION_PERMISSION_DENIED
         join c; react c fewer down -> heard in c, echoed
         join c; react c any down -> heard in c, echoed
         join c; react c anchor down -> REACTION_PERMISSION_DENIED
         join c; react c nothing up -> REACTION_PERMISSION_DENIED
         join c; react c silent up -> heard in c, echoed
         join c; react c silent down -> REACTION_PERMISSION_DENIED
         join c; react c mute up -> REACTION_PERMISSION_DENIED
         join c; react c other up -> REACTION_PERMISSION_DENIED",
    );
    table.add(
        "historyStart",
        json!({
            "*": {"subscribe": true, "historyStart": FUTURE},
            "c*": {"historyStart": 0},
            "c1": {"historyStart": FUTURE},
            "c2": {},
        }),
        "join x; history x -> what comes
         join c; history c -> all of it
         join c1; history c1 -> what comes
         join c2; history c2 -> all of it",
    );
}
