//! Little room on the disk, and a disk or a system that refuses: told as what it is, and never as damage.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::storage::contents;
use crate::support::{Client, Mount, Server, Setup, Strace, Token, has, ids, update};

const STORED: &str = "stored";

/// The database's log, among the contents of a folder.
fn log(all: &[(String, Vec<u8>)]) -> &[u8] {
    &all.iter().find(|f| f.0.ends_with("db/db")).unwrap().1
}

fn on(mount: &Mount) -> Setup {
    Setup::new()
        .boot_grace("60s")
        .set("", &format!("data_dir = {:?}", mount.path().join("data")))
        .operated()
}

/// Somebody is here, and something is stored.
async fn filled(mut server: Server) -> Server {
    let _jim = Client::join(&server, "Jim", "presence.a").await;
    for n in 0..20 {
        let message = json!({"channel": STORED, "event": "e", "data": n, "store": 600});
        server.publish(message).await;
    }
    server.kill();
    server
}

async fn expect_all(server: &Server) {
    let info = server.channel("presence.a").await;
    assert_eq!(info["members"][0]["uid"], "Jim", "{info}");
    let mut reader = Client::connect(server, &Token::everything("reader")).await;
    reader.subscribe(STORED).await;
    let page = server.list(&reader, &json!({"channel": STORED})).await;
    assert_eq!(ids(&page).len(), 20);
}

/// A shell that sees to it that there is no memory for a copy, and then runs what it is given.
fn without_memory() -> [&'static str; 6] {
    [
        "unshare",
        "-m",
        "sh",
        "-c",
        "mount -t tmpfs -o size=64k none /dev/shm && unset RUNTIME_DIRECTORY && exec \"$@\"",
        "sh",
    ]
}

#[tokio::test]
async fn a_full_disk_is_called_full_and_with_room_again_everything_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mount) = Mount::small(folder.path(), 64) else {
        return;
    };
    let mut server = filled(on(&mount).start()).await;
    mount.fill(0);
    let before = contents(&mount.path().join("data/db"));
    for through in [&[][..], &without_memory()] {
        server = server.through(through);
        if let Some(said) = server.died() {
            // It comes up where a few blocks suffice.
            assert!(said.contains("full"), "{said}");
            assert!(said.contains("make room"), "{said}");
            assert!(!said.contains("is damaged"), "{said}");
        }
    }
    let after = contents(&mount.path().join("data/db"));
    assert!(
        log(&after).len() >= log(&before).len(),
        "the log got shorter"
    );
    mount.make_room();
    let mut server = server.directly();
    server.run_again();
    expect_all(&server).await;
    server.kill();
    drop(mount);
}

#[tokio::test]
async fn a_first_start_on_a_full_disk_says_so_and_the_next_one_comes_up() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mount) = Mount::small(folder.path(), 16) else {
        return;
    };
    mount.fill(0);
    let mut server = on(&mount).prepare();
    let said = server.refused(1, &["make room"]);
    assert!(!said.contains("is damaged"), "{said}");
    mount.make_room();
    server.run_again();
    let (jim, _) = Client::join(&server, "Jim", "presence.a").await;
    jim.close().await;
    server.kill();
}

#[tokio::test]
async fn with_room_for_commits_but_for_no_copy_a_server_starts_and_says_that_it_looked_less_closely()
 {
    let folder = tempfile::tempdir().unwrap();
    let Some(mount) = Mount::small(folder.path(), 64) else {
        return;
    };
    let server = filled(on(&mount).start()).await;
    mount.fill(3 << 10);
    let mut server = server.through(&without_memory());
    server.run_again();
    let log = server.log();
    assert!(log.contains("only its log was looked at"), "{log}");
    expect_all(&server).await;
    // Presence goes on.
    let (pam, _) = Client::join(&server, "Pam", "presence.a").await;
    pam.close().await;
    server.kill();
    // Looked at less closely, damage is still found where commits are gone.
    let db = mount.path().join("data/db/db");
    fs::write(&db, vec![0x5a; fs::metadata(&db).unwrap().len() as usize]).unwrap();
    let before = contents(&mount.path().join("data/db"));
    server.refused(2, &["is damaged"]);
    assert_eq!(contents(&mount.path().join("data/db")), before);
}

#[tokio::test]
async fn a_commit_that_finds_no_room_ends_the_server_and_nothing_told_before_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mount) = Mount::small(folder.path(), 64) else {
        return;
    };
    let mut server = on(&mount)
        .set("connection", "frames_per_second = 10000")
        .start();
    let (mut jim, _) = Client::join(&server, "Jim", "presence.a").await;
    mount.fill(0);
    let umd = |n: u64| json!(format!("{n:06}{}", "x".repeat(900)));
    let mut told = 0;
    for n in 1.. {
        assert!(n < 20_000, "the disk takes everything");
        let frame = update(&server, &jim, "presence.a", umd(n));
        let is_answer = |event: &Value| event["data"]["member"]["umd"] == umd(n);
        if jim.ask(&frame, is_answer).await.is_none() {
            break;
        }
        told = n;
    }
    server.wait_for_log("the database failed");
    server.kill();
    mount.make_room();
    server.run_again();
    let info = server.channel("presence.a").await;
    let found = &info["members"][0]["umd"];
    assert!(
        told > 0 && [umd(told), umd(told + 1)].contains(found),
        "{told} {info}"
    );
    server.kill();
}

#[tokio::test]
async fn below_the_reserve_nothing_is_stored_and_presence_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mount) = Mount::small(folder.path(), 256) else {
        return;
    };
    let mut server = on(&mount).start();
    let mut jim = Client::connect(&server, &Token::everything("Jim")).await;
    jim.subscribe("presence.a").await;
    let ready = async |server: &Server| {
        let answer = server.get("/readyz").await;
        answer.expect(200);
        answer.text
    };
    assert_eq!(ready(&server).await, r#"{"status":"ready"}"#);

    mount.fill(30 << 10);
    server.wait_for_log("the disk has little room left");
    let warned: Value = serde_json::from_str(&ready(&server).await).unwrap();
    assert_eq!(warned["status"], "ready");
    let warning = warned["warnings"][0].as_str().unwrap();
    assert!(warning.contains("MiB left"), "{warned}");
    let (status, shown) = server.status();
    assert_eq!(status["warnings"], warned["warnings"], "{status}");
    assert!(
        status["diskFreeBytes"].as_u64().unwrap() < 31 << 20,
        "{status}"
    );
    assert!(
        shown.contains("WARNING") && shown.contains(warning),
        "{shown}"
    );
    let kept = json!({"channel": "presence.a", "event": "e", "data": 1, "store": 600});
    server.publish(kept.clone()).await;
    let stored = jim.next_json().await;
    assert_eq!(stored["data"], 1);

    mount.fill(3 << 10);
    server.wait_for_log("messages are not stored any more");
    let refused = server.try_publish(&kept).await;
    refused.expect_error(507, "STORAGE_LIMIT_REACHED");
    // Every message of hers is to be stored.
    jim.send(r#"{"event":"e","channel":"presence.a","data":2}"#)
        .await;
    jim.expect_error("STORAGE_LIMIT_REACHED").await;
    let reaction = json!({
        "event": "hotsock.messageReaction", "channel": "presence.a",
        "data": {"messageId": stored["id"], "reaction": "thumbsup", "action": "add"},
    });
    jim.send(&reaction).await;
    jim.expect_error("STORAGE_LIMIT_REACHED").await;
    server
        .publish(json!({"channel": "presence.a", "event": "e", "data": 3}))
        .await;
    assert!(jim.next().await.contains("\"data\":3"));
    let (pam, _) = Client::join(&server, "Pam", "presence.a").await;
    assert!(jim.next().await.contains("hotsock.memberAdded"));
    pam.close().await;
    assert!(jim.next().await.contains("hotsock.memberRemoved"));
    server.check(0, &["stores no messages"]);

    mount.make_room();
    server.wait_for_log("the disk has room again");
    server.publish(kept).await;
    assert!(jim.next().await.contains("\"data\":1"));
    assert_eq!(ready(&server).await, r#"{"status":"ready"}"#);
    server.kill();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_system_refuses_at_a_start_is_not_called_damage() {
    if !has("strace") {
        return;
    }
    let mut server = filled(Setup::new().boot_grace("60s").start()).await;
    let data = server.data_dir();
    let before = contents(&data);
    for (call, path, error, mend) in [
        ("read", "db/db", "EIO", "the disk fails"),
        ("pread64", "db/db", "EIO", "the disk fails"),
        ("openat", "db/db", "EACCES", "own the folder"),
        ("openat", "lock", "EROFS", "mount it for writing"),
        ("openat", "db/db", "EMFILE", "LimitNOFILE"),
        ("openat", "last-commit", "ENFILE", "LimitNOFILE"),
        ("pwrite64", "db/db", "ENOSPC", "make room"),
        ("fsync", "db/db", "EIO", "the disk fails"),
        ("fdatasync", "db/db", "EIO", "the disk fails"),
    ] {
        let path = data.join(path);
        let strace = Strace::inject(call, &format!("error={error}"));
        server = server.through(&strace.and(&["-P", path.to_str().unwrap()]).around());
        let said = server.refused(1, &[mend]);
        assert!(!said.contains("is damaged"), "{call} {error}: {said}");
        if !call.starts_with('f') {
            assert!(log(&contents(&data)) == log(&before), "{call} {error}");
        }
    }
    let mut server = server.directly();
    server.run_again();
    expect_all(&server).await;
}

#[tokio::test]
async fn what_a_server_makes_is_for_its_user_alone() {
    let mut server = Setup::new()
        .operated()
        .set("", "data_dir = \"above/data\"")
        .through(&["sh", "-c", "umask 0; exec \"$@\"", "sh"])
        .start();
    let (jim, _) = Client::join(&server, "Jim", "presence.a").await;
    server.crash();
    jim.close().await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&server.folder().join("admin.sock")), 0o660);
    let mut all = vec![server.folder().join("above")];
    let mut files = 0;
    while let Some(path) = all.pop() {
        if path.is_dir() {
            assert_eq!(mode(&path), 0o700, "{}", path.display());
            let entries = fs::read_dir(&path).unwrap();
            all.extend(entries.map(|entry| entry.unwrap().path()));
        } else {
            assert_eq!(mode(&path), 0o600, "{}", path.display());
            files += 1;
        }
    }
    assert!(files >= 5, "{files}");
}

#[tokio::test]
async fn a_check_reads_the_database_and_changes_nothing() {
    let mut server = Setup::new().boot_grace("60s").prepare();
    server.run_again();
    server.check(0, &["in use by the process"]);
    let server = filled(server).await;
    let before = contents(server.folder());
    server.check(0, &["sound"]);
    assert_eq!(contents(server.folder()), before);
    let db = server.data_dir().join("db/db");
    fs::write(&db, vec![0x5a; fs::metadata(&db).unwrap().len() as usize]).unwrap();
    let before = contents(server.folder());
    server.check(2, &["is damaged"]);
    assert_eq!(contents(server.folder()), before);
}

/// Faster than anybody looks now and then.
#[tokio::test]
async fn a_flood_of_stored_messages_ends_at_the_reserve_and_not_with_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mount) = Mount::small(folder.path(), 128) else {
        return;
    };
    let server = on(&mount).start();
    let kept = json!({
        "channel": "c", "event": "e", "data": "x".repeat(32_000), "store": -1,
    });
    let mut refused = 0;
    for _ in 0..20_000 {
        let answer = server.try_publish(&kept).await;
        if answer.status == 507 {
            refused += 1;
            if refused > 20 {
                break;
            }
        } else {
            assert_eq!(answer.status, 202, "{answer:?}");
        }
    }
    assert!(refused > 20, "the disk has not become full");
    let (mut jim, _) = Client::join(&server, "Jim", "presence.a").await;
    let (pam, _) = Client::join(&server, "Pam", "presence.a").await;
    assert!(jim.next().await.contains("hotsock.memberAdded"));
    pam.close().await;
    assert!(jim.next().await.contains("hotsock.memberRemoved"));
}
