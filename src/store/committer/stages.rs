//! The stages of a commit, one at a time, on a disk in memory.

use std::sync::mpsc;

use rustix::io::Errno;

use super::super::engine::memory::{Fault, Memory};
use super::commit_loop::Stage;
use super::*;
use crate::protocol::EventKind;

/// A committer whose loop is gone through by hand.
struct Bench {
    memory: Memory,
    store: Store,
    committer: Committer<u64>,
    commit_loop: CommitLoop<u64>,
    released: mpsc::Receiver<Vec<u64>>,
    failed: mpsc::Receiver<StoreError>,
}

impl Bench {
    fn on(memory: Memory, durability: Durability) -> Self {
        let store = Store::on(Arc::new(memory.clone()), memory.noted()).unwrap();
        let (release, released) = mpsc::channel();
        let (fail, failed) = mpsc::channel();
        let (committer, commit_loop) = Committer::new(
            &store,
            durability,
            Calls {
                before: Box::new(|_| {}),
                release: Box::new(move |waiting| release.send(waiting).unwrap()),
                failed: Some(Box::new(move |error| fail.send(error).unwrap())),
            },
        )
        .unwrap();
        Self {
            memory,
            store,
            committer,
            commit_loop,
            released,
            failed,
        }
    }

    fn submit(&self, n: u64) {
        self.committer.submit(lease(n), n);
    }

    fn steps(&mut self, expected: &[Stage]) {
        for stage in expected {
            assert_eq!(self.commit_loop.step(), *stage);
        }
    }
}

fn lease(n: u64) -> Changes {
    let mut changes = Changes::new();
    changes.put_id_lease(n);
    changes
}

const IDLE: Stage = Stage::Idle { until: None };

#[test]
fn a_change_is_applied_then_durable_then_told() {
    let mut bench = Bench::on(Memory::new(), Durability::Commit);
    bench.steps(&[IDLE, IDLE]);
    bench.submit(1);
    bench.submit(2);
    bench.steps(&[Stage::Applied]);
    assert_eq!(bench.store.id_lease().unwrap(), 2);
    assert!(!bench.store.is_durable() && bench.released.try_recv().is_err());
    assert!(bench.committer.oldest_waiting().is_some());
    // What comes now is of the next commit.
    bench.submit(3);
    bench.steps(&[Stage::Durable]);
    assert!(bench.store.is_durable() && bench.released.try_recv().is_err());
    bench.steps(&[Stage::Released]);
    assert_eq!(bench.released.try_recv(), Ok(vec![1, 2]));
    bench.committer.finish();
    bench.submit(4);
    bench.steps(&[Stage::Applied, Stage::Durable, Stage::Released]);
    assert_eq!(bench.released.try_recv(), Ok(vec![3]));
    bench.steps(&[Stage::Over, Stage::Over]);
    assert_eq!(bench.committer.oldest_waiting(), None);
    assert!(bench.failed.try_recv().is_err());
}

#[test]
fn what_writes_nothing_asks_nothing_of_the_disk() {
    let mut bench = Bench::on(Memory::new(), Durability::Commit);
    bench.memory.fail(Fault::RefuseApply(Errno::IO), 0);
    bench.memory.fail(Fault::RefuseSync(Errno::IO), 0);
    bench.committer.submit(Changes::new(), 1);
    bench.steps(&[Stage::Applied, Stage::Released, IDLE]);
    assert_eq!(bench.released.try_recv(), Ok(vec![1]));
}

#[test]
fn in_periodic_durability_it_is_told_before_it_is_durable_and_durable_soon() {
    let mut bench = Bench::on(Memory::new(), Durability::Periodic);
    bench.submit(1);
    bench.steps(&[Stage::Applied, Stage::Durable, Stage::Released]);
    bench.submit(2);
    bench.steps(&[Stage::Applied, Stage::Released]);
    assert_eq!(bench.released.try_iter().flatten().last(), Some(2));
    assert_eq!(bench.memory.pending(), 1);
    let Stage::Idle { until: Some(until) } = bench.commit_loop.step() else {
        panic!("the disk is to be seen to");
    };
    assert!(until > Instant::now());
    bench.committer.finish();
    bench.steps(&[Stage::Durable, Stage::Over]);
    assert_eq!(bench.memory.pending(), 0);
}

#[test]
fn starts_that_are_cut_short_give_no_sequence_twice() {
    let memory = Memory::new();
    let mut given = Vec::new();
    for _ in 0..3 {
        let mut bench = Bench::on(memory.clone(), Durability::Periodic);
        let mut changes = Changes::new();
        changes.put_document(EventKind::Connected, 0, b"{}".to_vec());
        bench.committer.submit(changes, 1);
        while bench.released.try_recv().is_err() {
            bench.commit_loop.step();
        }
        given.push(bench.store.last_event());
        memory.power_cut(0);
    }
    assert!(given.is_sorted_by(|a, b| a < b), "{given:?}");
}

#[test]
fn what_is_in_no_hurry_is_due_at_its_time_or_with_another() {
    let mut bench = Bench::on(Memory::new(), Durability::Commit);
    let begun = Instant::now();
    bench.committer.submit_lazily(lease(1), 1);
    if let Stage::Idle { until } = bench.commit_loop.step() {
        assert!(until >= Some(begun + COMPANY) && until <= Some(Instant::now() + COMPANY));
    }
    bench.submit(2);
    bench.steps(&[Stage::Applied, Stage::Durable, Stage::Released, IDLE]);
    assert_eq!(bench.released.try_recv(), Ok(vec![1, 2]));
}

#[test]
fn a_disk_that_fails_ends_it_and_nothing_is_told() {
    for fault in [
        Fault::RefuseApply(Errno::NOSPC),
        Fault::RefuseSync(Errno::IO),
    ] {
        let mut bench = Bench::on(Memory::new(), Durability::Commit);
        bench.memory.fail(fault, 0);
        bench.submit(1);
        while bench.failed.try_recv().is_err() {
            assert_ne!(bench.commit_loop.step(), IDLE);
        }
        bench.submit(2);
        bench.steps(&[Stage::Over, Stage::Over]);
        assert!(bench.released.try_recv().is_err());
        assert!(bench.failed.try_recv().is_err(), "it is told once");
    }
}

/// Whatever the power cuts short, what was told is there.
#[test]
fn what_was_told_outlasts_a_power_cut_between_any_two_stages() {
    for (between, last, keep) in (0..36).map(|n| (n / 9, n / 3 % 3, n % 3)) {
        let mut bench = Bench::on(Memory::new(), Durability::Commit);
        for n in 1..=4 {
            bench.submit(n);
            for _ in 0..between {
                bench.commit_loop.step();
            }
        }
        for _ in 0..last {
            bench.commit_loop.step();
        }
        let told = bench.released.try_iter().flatten().max();
        let memory = bench.memory.clone();
        drop(bench);
        memory.power_cut(keep);
        let bench = Bench::on(memory, Durability::Commit);
        let lease = bench.store.id_lease().unwrap();
        assert!(lease <= 4 && lease >= told.unwrap_or_default());
    }
}
