//! The world runs: a first scenario, and the same seed twice.

use serde_json::{Value, json};

use super::*;
use std::time::Duration;

const ROOM: &str = "presence.room";

fn setup(seed: u64) -> Setup {
    Setup {
        seed,
        lanes: 2,
        boot_grace: Duration::from_secs(10),
        disconnect_grace: Duration::from_secs(5),
        channel_bytes: 10_000,
        queue_bytes: 20_000,
        max_subscriptions: 10,
        fanout_bytes_per_second: 1_000_000,
        fanout_burst_bytes: 10_000_000,
        periodic: false,
        outbox_retention: Duration::from_secs(3_600),
        outbox_max_bytes: 1 << 20,
        webhooks: vec![("back".to_owned(), Vec::new())],
    }
}

fn claims(uid: &str) -> Value {
    json!({
        "uid": uid,
        "channels": {ROOM: {
            "subscribe": true, "autoSubscribe": true,
            "messages": {"*": {"publish": true, "store": 60, "react": true}},
        }},
    })
}

/// A world whose server is up.
fn up(setup: Setup) -> World {
    let mut world = World::new(setup);
    world.start();
    world.settle();
    assert_eq!(world.state(), State::Up);
    world
}

/// The events that have come to a client, each with the members' uids where it tells them.
fn heard(world: &mut World, client: Client) -> Vec<String> {
    let each = |heard| match heard {
        Heard::Frame(text) => {
            let frame: Value = serde_json::from_str(&text).unwrap();
            let event = frame["event"].as_str().unwrap().to_owned();
            match frame["data"]["members"].as_array() {
                Some(members) => {
                    let uids: Vec<_> = members.iter().filter_map(|m| m["uid"].as_str()).collect();
                    format!("{event} {}", uids.join(","))
                }
                None => event,
            }
        }
        Heard::Closed { code, reason } => format!("closed {code} {reason}"),
        Heard::Refused { status, code } => format!("refused {status} {code}"),
    };
    world
        .read(client, usize::MAX)
        .into_iter()
        .map(each)
        .collect()
}

fn uids(kept: &Kept) -> Vec<&str> {
    let subscriptions = kept.subscriptions.iter();
    subscriptions.filter_map(|s| s.uid.as_deref()).collect()
}

#[test]
fn who_was_there_before_a_crash_returns_or_is_removed_by_the_roll_call() {
    let mut world = up(setup(1));
    let jim = world.connect(&claims("Jim"));
    world.settle();
    let pam = world.connect(&claims("Pam"));
    world.settle();
    assert_eq!(
        heard(&mut world, jim),
        [
            "hotsock.connected",
            "hotsock.subscribed Jim",
            "hotsock.memberAdded Jim,Pam"
        ]
    );
    assert_eq!(uids(&world.kept(true)), ["Jim", "Pam"]);
    world.crash(Cut::Power { keep: 0 });
    assert_eq!(world.state(), State::Down);
    assert_eq!(
        heard(&mut world, pam),
        ["hotsock.connected", "hotsock.subscribed Jim,Pam"]
    );
    world.start();
    world.settle();
    let jim = world.connect(&claims("Jim"));
    world.settle();
    assert_eq!(
        heard(&mut world, jim),
        ["hotsock.connected", "hotsock.subscribed Jim,Pam"]
    );
    world.advance(Duration::from_secs(10));
    world.settle();
    assert_eq!(heard(&mut world, jim), ["hotsock.memberRemoved Jim"]);
    assert_eq!(uids(&world.kept(true)), ["Jim"]);
    // Who leaves keeps the place for the grace.
    world.hang_up(jim);
    world.settle();
    assert_eq!(world.leftovers().absences, 1);
    world.advance(Duration::from_secs(5));
    world.settle();
    assert_eq!(uids(&world.kept(false)), [] as [&str; 0]);
    assert_eq!(world.leftovers().channels, 0);
    world.stop();
    world.settle();
    world.advance(Duration::from_millis(10));
    world.settle();
    assert_eq!(world.state(), State::Down);
    // What was posted shortly before the crash may be posted again, under the same id.
    let posted = world
        .posted()
        .into_iter()
        .map(|posted| (posted.id, posted.body));
    let posted: std::collections::BTreeMap<String, String> = posted.collect();
    let of = |kind: &str| posted.values().filter(|body| body.contains(kind)).count();
    assert_eq!(of("hotsock.memberAdded"), 2);
    assert_eq!(of("hotsock.memberRemoved"), 2);
}

#[test]
fn who_does_not_read_is_closed_at_the_bound() {
    let mut world = up(setup(2));
    let jim = world.connect(&claims("Jim"));
    let pam = world.connect(&claims("Pam"));
    world.settle();
    heard(&mut world, jim);
    world.read(pam, 0);
    for n in 0..300 {
        let data = json!({"n": n, "text": "x".repeat(100)});
        let frame = json!({"event": "say", "channel": ROOM, "data": data});
        world.send(jim, &frame.to_string());
        world.settle();
        heard(&mut world, jim);
    }
    assert_eq!(
        world.read(pam, usize::MAX).last(),
        Some(&Heard::Closed {
            code: 1008,
            reason: "slow consumer".to_owned()
        })
    );
}

#[test]
fn a_disk_that_refuses_ends_the_server_and_nothing_is_told() {
    for fault in [
        DiskFault::RefuseApply(Errno::NoSpace),
        DiskFault::RefuseSync(Errno::Io),
    ] {
        let mut world = up(setup(3));
        world.fault(fault);
        let jim = world.connect(&claims("Jim"));
        world.settle();
        world.advance(Duration::from_secs(1));
        world.settle();
        assert!(matches!(world.state(), State::Failed(_)), "{fault:?}");
        assert_eq!(heard(&mut world, jim), ["hotsock.connected"]);
        world.crash(Cut::Power { keep: 0 });
        world.start();
        world.settle();
        assert_eq!(world.state(), State::Up);
        assert_eq!(uids(&world.kept(true)), [] as [&str; 0]);
    }
}

/// All that can be seen of a seed.
fn trace(seed: u64) -> String {
    play(seed).1
}

/// Plays a seed: the world at rest at its end, and all that could be seen.
fn play(seed: u64) -> (World, String) {
    let mut world = up(setup(seed));
    let mut draw = seed;
    let mut next = |end: u64| {
        draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (draw >> 33) % end
    };
    let (mut clients, mut trace) = (Vec::new(), String::new());
    for step in 0..200 {
        match next(12) {
            0..3 => clients.push(world.connect(&claims(&format!("user-{}", next(4))))),
            3..6 if !clients.is_empty() => {
                let client = clients[next(clients.len() as u64) as usize];
                let frame = json!({"event": "say", "channel": ROOM, "data": step});
                world.send(client, &frame.to_string());
            }
            6 if !clients.is_empty() => {
                world.hang_up(clients[next(clients.len() as u64) as usize]);
            }
            7 => world.advance(Duration::from_millis(next(3_000))),
            8 => drop(world.ask(Ask::Publish {
                channel: ROOM.to_owned(),
                event: "told".to_owned(),
                data: step.to_string(),
                store: 60,
                deduplication_id: Some(format!("{}", next(5))),
                emit: true,
            })),
            9 if next(10) == 0 => {
                world.crash(Cut::Power {
                    keep: next(2) as usize,
                });
                world.start();
            }
            9 if next(10) == 0 => world.stop(),
            9 if !world_is_running(&world) => world.start(),
            _ => drop(world.run(next(40) as usize)),
        }
        for (n, client) in clients.iter().enumerate() {
            for heard in world.read(*client, usize::MAX) {
                trace += &format!("{step} {n} {heard:?}\n");
            }
        }
        trace += &format!("{:?} {:?}\n", world.answers(), world.posted());
    }
    world.settle();
    trace += &format!("{:?} {:?}", world.kept(false), world.leftovers());
    (world, trace)
}

#[test]
fn nothing_is_left_behind_when_all_are_gone() {
    for seed in 0..100 {
        let (mut world, _) = play(seed);
        for client in 0..world.clients() {
            world.hang_up(Client(client));
        }
        // Whatever was going on, a stop included.
        for _ in 0..20 {
            world.settle();
            world.advance(Duration::from_secs(1));
        }
        world.start();
        for _ in 0..60 {
            world.settle();
            world.advance(Duration::from_secs(10));
        }
        world.settle();
        assert_eq!(world.state(), State::Up, "seed {seed}");
        let held = world.leftovers();
        let tasks = held.tasks;
        let nothing = Leftovers {
            tasks,
            ..Leftovers::default()
        };
        assert_eq!(held, nothing, "seed {seed}");
        assert!(tasks < 15, "seed {seed}: {tasks} tasks");
        for durable in [false, true] {
            let kept = world.kept(durable);
            assert_eq!(uids(&kept), [] as [&str; 0], "seed {seed}");
            assert_eq!(kept.channels, [], "seed {seed}");
            assert_eq!(kept.connections, [] as [&str; 0], "seed {seed}");
            assert_eq!(kept.messages, [], "seed {seed}");
            assert_eq!(kept.spent, 0, "seed {seed}");
        }
    }
}

fn world_is_running(world: &World) -> bool {
    !matches!(world.state(), State::Down | State::Failed(_))
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let traces: Vec<String> = (0..20).map(trace).collect();
    for (seed, first) in traces.iter().enumerate() {
        assert!(trace(seed as u64) == *first, "seed {seed}");
    }
    assert_ne!(traces[0], traces[1]);
}
