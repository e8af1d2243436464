//! For how long changes wait, as whoever watches the server is told.

use std::sync::mpsc;

use tempfile::TempDir;

use super::super::open::Options;
use super::*;

/// How long anything may take that must happen.
const PATIENCE: Duration = Duration::from_secs(10);

fn start(folder: &TempDir, durability: Durability) -> (Store, Committer<u64>, mpsc::Receiver<u64>) {
    let options = Options {
        folder: folder.path().to_owned(),
        cache_bytes: 1 << 20,
    };
    let store = Store::open(&options).unwrap();
    let (sender, released) = mpsc::channel();
    let committer = Committer::start(
        &store,
        durability,
        |_| {},
        move |waiting| waiting.into_iter().for_each(|n| sender.send(n).unwrap()),
        |error| panic!("{error}"),
    )
    .unwrap();
    (store, committer, released)
}

fn something() -> Changes {
    let mut changes = Changes::new();
    changes.put_id_lease(1);
    changes
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn what_a_commit_works_at_has_an_age_and_so_has_what_waits_behind_it() {
    let folder = TempDir::new().unwrap();
    let (_store, committer, released) = start(&folder, Durability::Commit);
    until("nothing waits", || committer.oldest_waiting().is_none());
    let (resume, hang) = mpsc::channel::<()>();
    let (tell, told) = mpsc::channel();
    let hangs = move |_: &Store| {
        tell.send(()).unwrap();
        hang.recv().unwrap();
        something()
    };
    committer.submit_computed(hangs, 1);
    told.recv_timeout(PATIENCE).unwrap();
    let age = committer.oldest_waiting().unwrap();
    committer.submit(something(), 2);
    // The oldest counts, and it grows older.
    until("it grows older", || committer.oldest_waiting() > Some(age));
    assert!(released.try_recv().is_err());
    resume.send(()).unwrap();
    for n in [1, 2] {
        assert_eq!(released.recv_timeout(PATIENCE), Ok(n));
    }
    until("nothing waits any more", || {
        committer.oldest_waiting().is_none()
    });
    committer.finish();
    assert_eq!(committer.oldest_waiting(), None);
}

#[test]
fn a_disk_that_is_slow_makes_changes_old_and_is_not_stalled() {
    let folder = TempDir::new().unwrap();
    let (_store, committer, released) = start(&folder, Durability::Commit);
    let (resume, hang) = mpsc::channel::<()>();
    let hang = std::sync::Arc::new(Mutex::new(hang));
    for n in [1, 2] {
        let hang = std::sync::Arc::clone(&hang);
        let slow = move |_: &Store| {
            hang.lock().recv().unwrap();
            something()
        };
        committer.submit_computed(slow, n);
    }
    let enough = Duration::from_millis(50);
    until("it stalls", || committer.stalled() > Some(enough));
    resume.send(()).unwrap();
    assert_eq!(released.recv_timeout(PATIENCE), Ok(1));
    // The second is as old as the first was, and older; but the first is done.
    let oldest = committer.oldest_waiting().unwrap();
    assert!(oldest > enough, "{oldest:?}");
    until("the second is at work", || {
        committer.stalled() < committer.oldest_waiting()
    });
    resume.send(()).unwrap();
    assert_eq!(released.recv_timeout(PATIENCE), Ok(2));
    until("nothing waits any more", || committer.stalled().is_none());
    committer.finish();
}

#[test]
fn in_periodic_durability_a_change_waits_until_it_is_on_disk() {
    let folder = TempDir::new().unwrap();
    let (store, committer, released) = start(&folder, Durability::Periodic);
    committer.submit(something(), 1);
    assert_eq!(released.recv_timeout(PATIENCE), Ok(1));
    // Released, and not on disk: unless this thread was kept waiting for so long that it is.
    let age = committer.oldest_waiting();
    assert!(age.is_some() || store.is_durable());
    until("it is on disk", || store.is_durable());
    until("nothing waits any more", || {
        committer.oldest_waiting().is_none()
    });
    committer.finish();
}
