//! What each directive allows, and what is a pattern of channels and of events.

use serde_json::{Value, json};

use super::table::Table;

/// What `publish`, `broadcast` and `echo` do, each true, false or absent, in all 27 ways.
pub(super) fn directives(table: &mut Table) {
    const NO: &str = "PUBLISH_PERMISSION_DENIED";
    const HEARD: &str = "heard in c";
    let (yes, no, absent) = (Some(true), Some(false), None);
    for (publish, broadcast, outside, inside) in [
        (absent, absent, NO, NO),
        (absent, yes, HEARD, HEARD),
        (absent, no, NO, NO),
        (yes, absent, NO, HEARD),
        (yes, yes, HEARD, HEARD),
        (yes, no, NO, HEARD),
        (no, absent, NO, NO),
        (no, yes, NO, NO),
        (no, no, NO, NO),
    ] {
        for echo in [absent, yes, no] {
            let mut all = json!({});
            let named = [
                ("publish", publish),
                ("broadcast", broadcast),
                ("echo", echo),
            ];
            for (name, value) in named {
                if let Some(value) = value {
                    all[name] = json!(value);
                }
            }
            let echoed = match (echo, inside) {
                (Some(true), HEARD) => ", echoed",
                _ => "",
            };
            table.add(
                &all.to_string(),
                e(all),
                &format!(
                    "say c e -> {outside}
                     join c; say c e -> {inside}{echoed}
                     join c; leave c; say c e -> {outside}
                     join c; say c other -> {NO}"
                ),
            );
        }
    }
    table.add(
        "no directives for messages",
        json!({"c": {"subscribe": true}}),
        "say c e -> PUBLISH_PERMISSION_DENIED
         join c; say c e -> PUBLISH_PERMISSION_DENIED",
    );
    table.add(
        "subscribe, getInfo and historyStart",
        json!({
            "c": {"subscribe": true, "getInfo": true, "historyStart": 0},
            "d": {"subscribe": false, "getInfo": false},
            "auto": {"autoSubscribe": false},
            "plain": {"subscribe": true},
        }),
        "join c -> in c
         join c; join c -> ALREADY_SUBSCRIBED
         join d -> SUBSCRIBE_PERMISSION_DENIED
         join auto -> SUBSCRIBE_PERMISSION_DENIED
         join unheard-of -> SUBSCRIBE_PERMISSION_DENIED
         leave c -> NOT_SUBSCRIBED
         info c -> of c
         join plain; info plain -> INFO_PERMISSION_DENIED
         info d -> INFO_PERMISSION_DENIED
         join c; history c -> all of it
         join plain; history plain -> what comes
         history c -> NOT_SUBSCRIBED",
    );
}

/// `c` with these directives for the event `e`.
fn e(directives: Value) -> Value {
    json!({"c": {"subscribe": true, "messages": {"e": directives}}})
}

/// A name, `*` anywhere, and `#regex:`, of channels and of events.
pub(super) fn patterns(table: &mut Table) {
    let may = json!({"broadcast": true});
    table.add(
        "patterns of events",
        json!({"c": {"messages": {
            "exact.name": may, "wild-*": may, "*-wild": may, "mo*e": may, "a*b*c": may,
            "#regex:^turn[0-9]+$": may, "#regex:mid": may,
        }}}),
        "say c exact.name -> heard in c
         say c exact-name -> PUBLISH_PERMISSION_DENIED
         say c Exact.name -> PUBLISH_PERMISSION_DENIED
         say c exact.names -> PUBLISH_PERMISSION_DENIED
         say c wild-one -> heard in c
         say c wild- -> heard in c
         say c wild -> PUBLISH_PERMISSION_DENIED
         say c a-wild-one -> PUBLISH_PERMISSION_DENIED
         say c one-wild -> heard in c
         say c move -> heard in c
         say c moe -> heard in c
         say c mo -> PUBLISH_PERMISSION_DENIED
         say c moves -> PUBLISH_PERMISSION_DENIED
         say c remove -> PUBLISH_PERMISSION_DENIED
         say c abc -> heard in c
         say c a.bb.c -> heard in c
         say c acb -> PUBLISH_PERMISSION_DENIED
         say c turn12 -> heard in c
         say c turn -> PUBLISH_PERMISSION_DENIED
         say c turn1x -> PUBLISH_PERMISSION_DENIED
         say c amidst -> heard in c
         say c aMIDst -> PUBLISH_PERMISSION_DENIED",
    );
    let may = json!({"subscribe": true});
    table.add(
        "expressions are Go's: classes are ASCII, a point is a character, and what people write is taken",
        json!({
            r"#regex:^org\.\d+$": may, r"#regex:^word\.\w{1,64}$": may, r"#regex:^not\.\W$": may,
            r"#regex:^edge\..*\bab\b": may, "#regex:^posix\\.[[:alpha:]]+$": may,
            r"#regex:^uuid\.[\w-]{36}$": may, r"#regex:^hex\.[0-9a-f]{8}-[0-9a-f]{4}$": may,
            r"#regex:^dot\.[^.]{1,250}$": may, r"#regex:^any\..{1,250}$": may,
            r"#regex:^name\.[\p{L}\d_-]{3,30}$": may, r"#regex:^case\.(?i:\w{3,20})$": may,
            r"#regex:^\Qa+b[c]\E\.\x41\102$": may, "#regex:^brace\\.a{b}$": may, "#regex:^brace\\.a{,2}$": may,
            "#regex:^set\\.[a[b]]$": may, "#regex:^and\\.[a&&b]+$": may, r"#regex:^\p{Greek}+\.\PL$": may,
        }),
        "join org.42 -> in org.42
         join org.\u{661} -> SUBSCRIBE_PERMISSION_DENIED
         join org.4\u{661} -> SUBSCRIBE_PERMISSION_DENIED
         join word.a_Z9 -> in word.a_Z9
         join word.\u{e9} -> SUBSCRIBE_PERMISSION_DENIED
         join not.\u{e9} -> in not.\u{e9}
         join not.e -> SUBSCRIBE_PERMISSION_DENIED
         join edge.\u{e9}ab\u{e9} -> in edge.\u{e9}ab\u{e9}
         join edge.cab -> SUBSCRIBE_PERMISSION_DENIED
         join posix.abc -> in posix.abc
         join posix.\u{e9} -> SUBSCRIBE_PERMISSION_DENIED
         join uuid.123e4567-e89b-12d3-a456-426614174000 -> in uuid.123e4567-e89b-12d3-a456-426614174000
         join uuid.123e4567 -> SUBSCRIBE_PERMISSION_DENIED
         join hex.00ff00ff-1234 -> in hex.00ff00ff-1234
         join dot.a-b -> in dot.a-b
         join dot.a.b -> SUBSCRIBE_PERMISSION_DENIED
         join any.\u{1f600} -> in any.\u{1f600}
         join name.J\u{f6}rg-1 -> in name.J\u{f6}rg-1
         join name.J\u{f6}rg-\u{661} -> SUBSCRIBE_PERMISSION_DENIED
         join case.JIM -> in case.JIM
         join case.J\u{cd}M -> SUBSCRIBE_PERMISSION_DENIED
         join a+b[c].AB -> in a+b[c].AB
         join aab[c].AB -> SUBSCRIBE_PERMISSION_DENIED
         join brace.a{b} -> in brace.a{b}
         join set.a] -> in set.a]
         join set.a -> SUBSCRIBE_PERMISSION_DENIED
         join and.a&b -> in and.a&b
         join \u{3a9}\u{3bc}.1 -> in \u{3a9}\u{3bc}.1
         join \u{3a9}\u{3bc}.x -> SUBSCRIBE_PERMISSION_DENIED",
    );
    let may = json!({"subscribe": true, "messages": {"*": {"broadcast": true}}});
    table.add(
        "patterns of channels",
        json!({"game.1": may, "hall.*": may, "#regex:^room-[0-9]+$": may}),
        "join game.1 -> in game.1
         say game.1 any.thing -> heard in game.1
         join game-1 -> SUBSCRIBE_PERMISSION_DENIED
         say game.11 e -> PUBLISH_PERMISSION_DENIED
         join hall.a.b -> in hall.a.b
         say hall.a.b e -> heard in hall.a.b
         say hall. e -> heard in hall.
         say hall e -> PUBLISH_PERMISSION_DENIED
         join room-12 -> in room-12
         say room-12 e -> heard in room-12
         join room-x -> SUBSCRIBE_PERMISSION_DENIED
         say room-x e -> PUBLISH_PERMISSION_DENIED
         say a-room-1 e -> PUBLISH_PERMISSION_DENIED",
    );
    table.add(
        "patterns of channels and of events meet",
        json!({
            "game.*": {"messages": {"move": {"broadcast": true}}},
            "game.1": {"messages": {"chat": {"broadcast": true}}},
        }),
        "say game.1 move -> heard in game.1
         say game.1 chat -> heard in game.1
         say game.2 move -> heard in game.2
         say game.2 chat -> PUBLISH_PERMISSION_DENIED",
    );
    table.add(
        "a presence channel has the same rules",
        json!({"presence.*": {"subscribe": true, "messages": {"e": {"publish": true}}}}),
        "say presence.c e -> PUBLISH_PERMISSION_DENIED
         join presence.c; say presence.c e -> heard in presence.c",
    );
}
