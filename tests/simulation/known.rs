//! Histories made by hand, right and wrong: what the checks must let pass and what they must find. They are played before
//! every run, because a check that finds nothing looks like one that has nothing to find.

use serde_json::{Value, json};

use crate::models::ear::{Ear, Entry, Message, Room};
use crate::models::events_out::Replay;
use crate::models::list::{List, What};
use crate::models::membership::Membership;
use crate::models::messages::{Clocks, Messages};
use crate::models::order::{Listener, agree};
use crate::models::reactions::Reactions;
use crate::models::single_use::SingleUse;
use crate::verdict::{Moment, Verdict, broken};

pub fn check_the_checks() -> Verdict {
    lists()?;
    ears()?;
    order()?;
    membership()?;
    messages()?;
    reactions()?;
    single_use()?;
    events_out()
}

/// A history that a check must find wrong.
fn wrong(what: &'static str, verdict: Verdict) -> Verdict {
    match verdict {
        Err(_) => Ok(()),
        Ok(()) => broken("a known history", what),
    }
}

fn at(millis: u64, step: usize) -> Moment {
    Moment { millis, step }
}

fn lists() -> Verdict {
    let jim = json!([{"uid": "Jim", "umd": null}]);
    let both = json!([{"uid": "Jim", "umd": null}, {"uid": "Pam", "umd": 1}]);
    let change = |what, uid: &str, umd: Value, before: &Value, after: &Value| {
        List::read(before)?.change(what, uid, &umd, after)
    };
    change(What::Added, "Pam", json!(1), &jim, &both)?;
    change(What::Removed, "Pam", json!(1), &both, &jim)?;
    wrong(
        "added and not in the list",
        change(What::Added, "Pam", json!(1), &jim, &jim),
    )?;
    wrong(
        "added twice",
        change(What::Added, "Pam", json!(1), &both, &both),
    )?;
    wrong(
        "updated to the same",
        change(What::Updated, "Pam", json!(1), &both, &both),
    )?;
    wrong(
        "removed with other metadata",
        change(What::Removed, "Pam", json!(2), &both, &jim),
    )?;
    wrong(
        "removed by the way",
        change(What::Removed, "Pam", json!(1), &both, &json!([])),
    )
}

fn ears() -> Verdict {
    const CONNECTED: &str = r#"{"event":"hotsock.connected","data":{"connectionId":"a"}}"#;
    const SUBSCRIBED: &str =
        r#"{"event":"hotsock.subscribed","channel":"c","data":{},"meta":{"uid":"Jim","umd":null}}"#;
    const SAID: &str =
        r#"{"id":"01B","event":"say","channel":"c","data":{"n":1,"from":1,"echo":false}}"#;
    const EARLIER: &str = r#"{"id":"01A","event":"say","channel":"c","data":{"n":2}}"#;
    let hear = |client, frames: &[&str]| -> Verdict {
        let mut ear = Ear::new(client);
        frames
            .iter()
            .try_for_each(|frame| ear.hear(frame, 1_000).map(drop))
    };
    hear(0, &[CONNECTED, SUBSCRIBED, SAID])?;
    wrong("a message before `subscribed`", hear(0, &[CONNECTED, SAID]))?;
    wrong("subscribed before connected", hear(0, &[SUBSCRIBED]))?;
    wrong(
        "ids that go back",
        hear(0, &[CONNECTED, SUBSCRIBED, SAID, EARLIER]),
    )?;
    wrong(
        "its own message without echo",
        hear(1, &[CONNECTED, SUBSCRIBED, SAID]),
    )
}

fn order() -> Verdict {
    let room = |whole, heard: &[(&str, Option<usize>)]| Room {
        heard: heard
            .iter()
            .map(|(text, except)| Entry {
                text: (*text).into(),
                except: *except,
            })
            .collect(),
        whole,
        ..Room::default()
    };
    let compare = |a: &Room, b: &Room, stays| {
        let listener = |client, room, stays| Listener {
            client,
            room,
            stays,
        };
        agree("c", &[listener(0, a, true), listener(1, b, stays)])
    };
    let all = room(true, &[("1", None), ("2", Some(1)), ("3", None)]);
    compare(&all, &room(true, &[("1", None), ("3", None)]), true)?;
    compare(&all, &room(false, &[("3", None)]), true)?;
    compare(&all, &room(true, &[("1", None)]), false)?;
    wrong("a gap", compare(&all, &room(true, &[("3", None)]), true))?;
    wrong(
        "another order",
        compare(&all, &room(true, &[("3", None), ("1", None)]), true),
    )?;
    wrong(
        "the end is missing",
        compare(&all, &room(false, &[("1", None)]), true),
    )?;
    wrong(
        "a gap before it left",
        compare(&all, &room(true, &[("3", None)]), false),
    )
}

fn membership() -> Verdict {
    const GRACE: u64 = 1_000;
    let joined = || -> Verdict<Membership> {
        let mut m = Membership::new(GRACE, GRACE);
        m.asked("presence.a", (0, "x"), Some("Jim"), &[]);
        m.told("presence.a", 0, &Value::Null, at(0, 2))?;
        m.quiet(at(10, 3))?;
        Ok(m)
    };
    let jim = List(vec![("Jim".to_owned(), Value::Null)]);
    let nobody = List::default();
    joined()?.check_list("presence.a", &jim, at(20, 4))?;
    wrong(
        "a member is missing",
        joined()?.check_list("presence.a", &nobody, at(20, 4)),
    )?;

    let mut m = joined()?;
    m.moved("presence.a", "Jim");
    wrong("removed while there", m.quiet(at(20, 5)))?;

    let mut m = joined()?;
    m.hung_up(0, at(20, 5));
    m.settled(at(20, 5));
    m.moved("presence.a", "Jim");
    wrong("removed within the grace", m.quiet(at(1_019, 6)))?;

    let mut m = joined()?;
    m.hung_up(0, at(20, 5));
    m.settled(at(20, 5));
    m.moved("presence.a", "Jim");
    m.quiet(at(1_030, 6))?;
    m.check_list("presence.a", &jim, at(4_000, 7))?;
    wrong("a ghost", m.check_list("presence.a", &jim, at(4_100, 8)))?;

    let mut m = joined()?;
    m.down(at(20, 5), at(20, 5));
    m.starting(at(5_000, 6));
    m.up(at(5_000, 7));
    m.moved("presence.a", "Jim");
    wrong("removed within the boot grace", m.quiet(at(5_900, 8)))?;

    let mut m = joined()?;
    m.wants_out("presence.a", 0, at(20, 5));
    m.moved("presence.a", "Jim");
    m.gone("presence.a", 0, at(20, 6))?;
    m.quiet(at(20, 6))?;
    let kept = [("presence.a", "x")].into();
    wrong(
        "unsubscribed and in the database",
        m.check_kept(&kept, at(30, 7), |_| true),
    )?;
    joined()?.check_kept(&kept, at(30, 7), |_| true)?;
    wrong(
        "subscribed and not in the database",
        joined()?.check_kept(&[].into(), at(30, 7), |_| true),
    )
}

fn messages() -> Verdict {
    let clocks = |latest| Clocks {
        now: at(0, 1),
        wall: latest,
        latest,
    };
    let message = |id: &str, data: Value| Message {
        channel: "c".to_owned(),
        id: id.to_owned(),
        event: "note".to_owned(),
        text: format!("{id} {data}").into(),
        data,
        sender: None,
    };
    let once = |at: u64| json!({"n": "d1", "once": "d1", "at": at, "store": -1});
    let mut m = Messages::default();
    m.heard(0, &message("B", json!({"n": 1, "store": 0})), clocks(1_000))?;
    m.heard(1, &message("B", json!({"n": 1, "store": 0})), clocks(1_000))?;
    wrong(
        "heard twice",
        m.heard(0, &message("C", json!({"n": 1, "store": 0})), clocks(1_000)),
    )?;
    wrong(
        "one id for two",
        m.heard(0, &message("B", json!({"n": 2, "store": 0})), clocks(1_000)),
    )?;
    m.down(at(1, 1));
    wrong(
        "ids go back over a start",
        m.heard(2, &message("A", json!({"n": 3, "store": 0})), clocks(1_000)),
    )?;
    m.asked(("c", "d1"), clocks(1_000));
    m.heard(2, &message("D", once(1_000)), clocks(1_000))?;
    wrong(
        "deduplicated twice",
        m.heard(2, &message("E", once(1_100)), clocks(1_299)),
    )?;
    m.asked(("c", "d1"), clocks(1_300));
    m.heard(2, &message("F", once(1_300)), clocks(1_300))?;
    match m.kept(at(1, 1), 1_300).count() {
        // D and F.
        2 => Ok(()),
        n => broken("a known history", format!("{n} stored messages")),
    }
}

fn reactions() -> Verdict {
    let key = || {
        (
            "c".to_owned(),
            "M".to_owned(),
            "up".to_owned(),
            "Jim".to_owned(),
        )
    };
    let mut r = Reactions::default();
    r.told(key(), "A", false, at(0, 1), false);
    r.check(at(0, 1), |_| true, |_| true)?;
    wrong("added and not kept", r.check(at(0, 1), |_| false, |_| true))?;
    r.asked(&key(), true);
    r.check(at(0, 1), |_| false, |_| true)?;
    r.told(key(), "B", true, at(0, 2), false);
    wrong("removed and kept", r.check(at(0, 2), |_| true, |_| true))
}

fn single_use() -> Verdict {
    let mut s = SingleUse::default();
    s.tried("t", 100);
    wrong("refused at its first use", s.refused("t", 50))?;
    s.served("t", at(0, 1), 50)?;
    s.tried("t", 100);
    s.refused("t", 50)?;
    wrong("serves twice", s.served("t", at(0, 2), 50))
}

fn events_out() -> Verdict {
    const JOINED: &str =
        r#"{"type":"hotsock.subscribed","metadata":{"channel":"c"},"data":{"connectionId":"x"}}"#;
    const LEFT: &str =
        r#"{"type":"hotsock.unsubscribed","metadata":{"channel":"c"},"data":{"connectionId":"x"}}"#;
    let replay = |posts: &[(&str, &str)]| -> Verdict {
        let mut replay = Replay::new("all", true);
        posts
            .iter()
            .try_for_each(|(id, body)| replay.posted(id, body))?;
        replay.end()
    };
    replay(&[("f-1", JOINED), ("f-1", JOINED), ("f-2", LEFT)])?;
    wrong(
        "another body for the same id",
        replay(&[("f-1", JOINED), ("f-1", LEFT)]),
    )?;
    wrong(
        "once more",
        replay(&[("f-1", JOINED), ("f-2", LEFT), ("f-1", JOINED)]),
    )?;
    wrong("left and not joined", replay(&[("f-1", LEFT)]))?;
    wrong("out of order", replay(&[("f-2", JOINED), ("f-1", LEFT)]))?;
    wrong("never left", replay(&[("f-1", JOINED)]))
}
