//! Subscribe tokens, and the aliases of either token.

use serde_json::{Value, json};

use super::table::Table;

/// Their directives are added, for their channel, while the subscription lasts.
pub(super) fn subscribe_tokens(table: &mut Table) {
    let pass = json!({
        "c": {"subscribe": true, "getInfo": true, "historyStart": 0,
              "messages": {"e": {"publish": true, "echo": true, "react": true},
                           "b": {"broadcast": true}, "p": {"publish": true, "broadcast": true}}},
        "d": {"messages": {"e": {"broadcast": true}}},
    });
    table.add_with(
        "a subscribe token for one that may do nothing",
        json!({}),
        pass.clone(),
        "join c -> SUBSCRIBE_PERMISSION_DENIED
         pass c -> in c
         pass d -> SUBSCRIBE_PERMISSION_DENIED
         pass c; pass c -> ALREADY_SUBSCRIBED
         say c e -> PUBLISH_PERMISSION_DENIED
         say c b -> PUBLISH_PERMISSION_DENIED
         pass c; say c e -> heard in c, echoed
         pass c; say c b -> PUBLISH_PERMISSION_DENIED
         pass c; say c p -> heard in c
         pass c; leave c; say c p -> PUBLISH_PERMISSION_DENIED
         pass c; say c other -> PUBLISH_PERMISSION_DENIED
         pass c; react c e up -> heard in c, echoed
         pass c; history c -> all of it
         info c -> INFO_PERMISSION_DENIED
         pass c; info c -> of c
         pass c; say d e -> PUBLISH_PERMISSION_DENIED
         pass c; leave c; say c e -> PUBLISH_PERMISSION_DENIED
         pass c; leave c; say c b -> PUBLISH_PERMISSION_DENIED
         pass c; leave c; info c -> INFO_PERMISSION_DENIED
         pass c; leave c; join c -> SUBSCRIBE_PERMISSION_DENIED
         pass c; leave c; pass c; say c e -> heard in c, echoed",
    );
    table.add_with(
        "a subscribe token is of use only to the subscription that is made with it",
        json!({"*": {"subscribe": true}}),
        pass.clone(),
        "join c; say c e -> PUBLISH_PERMISSION_DENIED
         pass c; join d; say d e -> PUBLISH_PERMISSION_DENIED
         pass d; say d e -> PUBLISH_PERMISSION_DENIED
         pass c; leave c; join c; say c e -> PUBLISH_PERMISSION_DENIED",
    );
    table.add_with(
        "the directives of both tokens meet",
        json!({"*": {"subscribe": true, "messages": {
            "e": {"broadcast": true}, "f": {"publish": true}, "g": {"echo": true}, "h": {"broadcast": true},
            "i": {"publish": true, "broadcast": false},
        }}}),
        json!({"c": {"messages": {
            "e": {"echo": true}, "f": {"broadcast": true}, "g": {"publish": true}, "h": {"broadcast": false},
            "i": {"broadcast": true},
        }}}),
        "say c e -> heard in c
         join c; say c e -> heard in c
         pass c; say c e -> heard in c, echoed
         pass c; say c f -> heard in c
         pass c; say c g -> heard in c, echoed
         pass c; say c h -> heard in c
         pass c; say c i -> heard in c
         pass c; leave c; say c h -> heard in c
         pass c; say d e -> heard in d
         pass c; leave c; say c e -> heard in c",
    );
    table.add_with(
        "a false of the subscribe token, while it lasts",
        json!({"*": {"subscribe": true, "getInfo": true, "messages": {
            "*": {"broadcast": true, "echo": true},
        }}}),
        json!({"c": {"getInfo": false, "messages": {"*": {"echo": false}, "e": {"publish": false}}}}),
        "join c; say c e -> heard in c, echoed
         pass c; say c e -> PUBLISH_PERMISSION_DENIED
         pass c; say c f -> heard in c
         pass c; say d e -> heard in d
         pass c; info c -> INFO_PERMISSION_DENIED
         pass c; leave c; say c e -> heard in c
         pass c; leave c; info c -> of c",
    );
    table.add_with(
        "a false of the connect token",
        json!({
            "c": {"getInfo": false, "messages": {"*": {"echo": false}, "e": {"publish": false}}},
            "d": {"subscribe": false},
        }),
        json!({"*": {"subscribe": true, "getInfo": true, "messages": {
            "*": {"publish": true, "echo": true},
        }}}),
        "pass c; say c e -> PUBLISH_PERMISSION_DENIED
         pass c; say c f -> heard in c
         pass c; info c -> INFO_PERMISSION_DENIED
         pass d -> SUBSCRIBE_PERMISSION_DENIED
         pass x; say x e -> heard in x, echoed",
    );
    let stored = |seconds: i64| json!({"messages": {"*": {"publish": true, "store": seconds}}});
    table.add_with(
        "the number of the most specific pattern, then of the subscribe token",
        json!({"a": stored(0), "b*": stored(0), "c": stored(0), "d": stored(600), "*": {"subscribe": true}}),
        json!({"a": stored(600), "b1": stored(600), "c*": stored(600), "*": stored(0)}),
        "join a; say a e -> heard in a
         pass a; say a e -> heard in a, kept
         join b1; say b1 e -> heard in b1
         pass b1; say b1 e -> heard in b1, kept
         pass c; say c e -> heard in c
         pass d; say d e -> heard in d, kept
         pass x; say x e -> heard in x",
    );
}

/// A friendly name in place of the real one, whatever one does.
pub(super) fn aliases(table: &mut Table) {
    let all = |alias: &str| {
        json!({"subscribe": true, "getInfo": true, "alias": alias, "historyStart": 0, "messages": {
            "e": {"publish": true, "echo": true, "react": true}, "b": {"publish": true, "broadcast": true},
        }})
    };
    table.add(
        "an alias of the connect token",
        json!({"user.1": all("me"), "*": {"subscribe": true}}),
        "join me -> in user.1 as me
         join user.1 -> in user.1 as me
         join me; join user.1 -> ALREADY_SUBSCRIBED
         join user.1; join me -> ALREADY_SUBSCRIBED
         say me b -> heard in user.1
         say user.1 b -> heard in user.1
         say me e -> PUBLISH_PERMISSION_DENIED
         join me; say me e -> heard in user.1, echoed
         join me; say user.1 e -> heard in user.1, echoed
         join user.1; say me e -> heard in user.1, echoed
         join me; react user.1 e up -> heard in user.1, echoed
         join me; history me -> all of it
         info me -> of user.1
         join me; leave me -> out of user.1
         join me; leave user.1 -> out of user.1
         leave me -> NOT_SUBSCRIBED
         say Me b -> PUBLISH_PERMISSION_DENIED",
    );
    table.add_with(
        "an alias of the subscribe token",
        json!({}),
        json!({"user.2": all("me")}),
        "pass me -> in user.2 as me
         pass user.2 -> in user.2 as me
         say me b -> PUBLISH_PERMISSION_DENIED
         pass me; say me e -> heard in user.2, echoed
         pass user.2; say me b -> heard in user.2
         pass me; info me -> of user.2
         pass me; leave me -> out of user.2
         pass me; leave me; say me b -> PUBLISH_PERMISSION_DENIED",
    );
    table.add_with(
        "the subscribe token's alias wins",
        json!({"user.1": all("me")}),
        json!({"user.2": all("me")}),
        "join me; say me e -> heard in user.1, echoed
         pass me -> in user.2 as me
         pass me; say me b -> heard in user.2
         pass me; leave me; say me b -> heard in user.1
         join user.1; pass user.2; say me e -> heard in user.2, echoed
         pass user.2; join user.1; say me e -> heard in user.2, echoed
         join me; pass me -> in user.2 as me
         join me; pass me; leave me -> out of user.2
         join me; pass me; leave me; say me e -> heard in user.1, echoed
         join me; pass me; leave me; leave me -> out of user.1
         join me; pass me; history me -> all of it
         join me; pass me; say user.1 e -> heard in user.1, echoed",
    );
    table.add_with(
        "two aliases of one channel both lead there",
        json!({"user.1": all("first")}),
        json!({"user.1": {"alias": "second", "messages": {"x": {"publish": true}}}}),
        "pass first -> in user.1 as second
         pass second -> in user.1 as second
         pass second; say second e -> heard in user.1, echoed
         pass second; say first e -> heard in user.1, echoed
         pass second; say first x -> heard in user.1
         pass second; leave first -> out of user.1
         pass second; leave second; say first b -> heard in user.1
         pass second; leave second; say second b -> PUBLISH_PERMISSION_DENIED",
    );
    table.add_with(
        "a real name wins over an alias of the other token",
        json!({"me": {"subscribe": true, "messages": {"b": {"broadcast": true}}}, "user.1": all("you")}),
        json!({"user.2": all("me"), "you": {"subscribe": true}}),
        "pass user.2 -> in user.2
         pass user.2; say me b -> heard in me
         pass user.2; say me e -> PUBLISH_PERMISSION_DENIED
         pass user.2; join me -> in me
         pass me -> in me
         pass you -> in you
         join you; pass you -> in you
         pass you; say you b -> PUBLISH_PERMISSION_DENIED
         pass you; leave you; say you b -> heard in user.1",
    );
    table.add_with(
        "a pattern that matches an alias does not make it a real name",
        json!({"*": {"subscribe": true, "messages": {"*": {"broadcast": true}}}, "user.1": {"alias": "me"}}),
        Value::Null,
        "say me e -> heard in user.1
         say you e -> heard in you
         join me -> in user.1 as me",
    );
}
