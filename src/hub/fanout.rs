//! Who makes others receive pays for it.
//!
//! A change of a presence channel puts a frame with the whole list into the queue of everybody in it. So each connection,
//! and each uid (else reconnecting would help), has a budget of bytes that its changes may cause: the frame times its
//! receivers. A change is admitted while the balance is positive and may take it below zero, so that the first join of
//! any room is never delayed. Whoever is in debt waits with its next change, and with nothing else. Leaving by closing is
//! paid for, but never waits.
//!
//! A change is charged when it is decided, and not when it is delivered: between the two lies a commit, in which a
//! client could have any number of changes admitted. For the same reason the changes of one payer are decided one after
//! the other: whoever is admitted holds the payer's *turn* until its change is decided.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Mutex as Turns, OwnedMutexGuard};

use super::bucket::Bucket;
use super::connection::Connection;
use super::room::Room;
use crate::presence::Change;
use crate::protocol::{ConnectionId, names};
use crate::world::clock::Instant;
use crate::world::tasks;

/// No change, however many receive it, keeps its payer waiting for longer.
const LONGEST_DEBT: Duration = Duration::from_secs(60);
/// How many payers are remembered without a look at who could be forgotten.
const FEW: usize = 1_024;
/// How many payers are remembered at the most. Beyond, those are forgotten who are in no debt.
const MOST: usize = 262_144;

/// The budgets. Who has spent nothing, or has got it all back, is not in it.
#[derive(Debug)]
pub(super) struct FanOut {
    bytes_per_second: f64,
    burst_bytes: f64,
    payers: Mutex<Payers>,
}

#[derive(Debug)]
struct Payers {
    by_key: HashMap<Payer, Arc<Account>>,
    /// At how many to look for who can be forgotten.
    sweep_at: usize,
}

/// Who pays.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Payer {
    Connection(ConnectionId),
    Uid(Arc<str>),
}

#[derive(Debug)]
struct Account {
    bucket: Mutex<Bucket>,
    turn: Arc<Turns<()>>,
}

/// The right to decide one change. The payers' next ones wait for its end.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    fan_out: &'a FanOut,
    held: Vec<(Payer, Arc<Account>, OwnedMutexGuard<()>)>,
}

impl FanOut {
    /// Budgets of `burst_bytes` that refill by `bytes_per_second`.
    pub(super) fn new(bytes_per_second: u64, burst_bytes: u64) -> Self {
        #[allow(clippy::cast_precision_loss, reason = "both are far below 2^52")]
        let (bytes_per_second, burst_bytes) = (bytes_per_second as f64, burst_bytes as f64);
        Self {
            bytes_per_second,
            burst_bytes,
            payers: Mutex::new(Payers {
                by_key: HashMap::new(),
                sweep_at: FEW,
            }),
        }
    }

    /// Waits until a change of this subscription may be decided. It may be given up at any time. Nothing comes of a
    /// channel whose changes nobody receives.
    pub(super) async fn turn(
        &self,
        connection: &Connection,
        uid: Option<&Arc<str>>,
        channel: &str,
    ) -> Option<Turn<'_>> {
        if !names::is_presence(channel) {
            return None;
        }
        let _waiting = connection.waits.begin();
        let mut turn = Turn {
            fan_out: self,
            held: Vec::with_capacity(2),
        };
        for payer in payers(connection.id, uid) {
            let account = self.account(&payer, Instant::now());
            let guard = Arc::clone(&account.turn).lock_owned().await;
            loop {
                let wait = account.bucket.lock().until(1.0, Instant::now());
                if wait.is_zero() {
                    break;
                }
                tasks::sleep(wait).await;
            }
            turn.held.push((payer, account, guard));
        }
        Some(turn)
    }

    /// Forgets who has got everything back. To be called now and then: otherwise that is done only as there come to be more.
    pub(super) fn forget_paid(&self) {
        self.payers.lock().sweep(Instant::now());
    }

    /// Charges a change of a room that has been decided, and that `bytes` of frames tell of. Under the lock of its state.
    pub(super) fn charge(&self, room: &Room, change: &Change, bytes: usize) {
        let Some(subscription) = change.written.as_ref().or(change.removed.as_ref()) else {
            return;
        };
        let receivers = room.audience.lock().len();
        #[allow(clippy::cast_precision_loss, reason = "a budget need not be exact")]
        let cost = bytes as f64 * receivers as f64;
        let uid = subscription.uid.as_ref();
        self.spend(subscription.connection, uid, cost, Instant::now());
    }

    fn spend(&self, connection: ConnectionId, uid: Option<&Arc<str>>, bytes: f64, now: Instant) {
        for payer in payers(connection, uid) {
            self.account(&payer, now).bucket.lock().spend(bytes, now);
        }
    }

    /// How many payers are remembered.
    #[cfg(feature = "simulation")]
    pub(super) fn payers(&self) -> usize {
        self.payers.lock().by_key.len()
    }

    fn account(&self, payer: &Payer, now: Instant) -> Arc<Account> {
        let mut payers = self.payers.lock();
        if let Some(account) = payers.by_key.get(payer) {
            return Arc::clone(account);
        }
        if payers.by_key.len() >= payers.sweep_at {
            payers.sweep(now);
        }
        let bucket = Bucket::new(self.bytes_per_second, self.burst_bytes, now);
        let account = Arc::new(Account {
            bucket: Mutex::new(bucket.with_longest_debt(LONGEST_DEBT)),
            turn: Arc::default(),
        });
        payers.by_key.insert(payer.clone(), Arc::clone(&account));
        account
    }
}

impl Payers {
    fn sweep(&mut self, now: Instant) {
        // Nobody can get at an account meanwhile: who is not counted now does not use it.
        let in_use = |account: &Arc<Account>| Arc::strong_count(account) > 1;
        self.by_key
            .retain(|_, account| in_use(account) || !account.bucket.lock().is_full(now));
        if self.by_key.len() > MOST {
            self.by_key
                .retain(|_, account| in_use(account) || !account.bucket.lock().is_solvent(now));
        }
        self.by_key.shrink_to(2 * self.by_key.len());
        self.sweep_at = FEW.max(2 * self.by_key.len());
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut payers = self.fan_out.payers.lock();
        for (payer, account, guard) in self.held.drain(..) {
            drop(guard);
            // The map's and ours: nobody else waits for it.
            if Arc::strong_count(&account) == 2 && account.bucket.lock().is_full(now) {
                payers.by_key.remove(&payer);
            }
        }
    }
}

/// A uid pays for all its connections, and a connection for all its uids.
fn payers(connection: ConnectionId, uid: Option<&Arc<str>>) -> impl Iterator<Item = Payer> {
    let uid = uid.map(|uid| Payer::Uid(Arc::clone(uid)));
    std::iter::once(Payer::Connection(connection)).chain(uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> ConnectionId {
        ConnectionId::from_bytes([n; 16])
    }

    fn count(fan_out: &FanOut) -> usize {
        fan_out.payers.lock().by_key.len()
    }

    #[test]
    fn a_uid_pays_on_with_its_next_connection_until_all_is_paid() {
        let start = Instant::now();
        let fan_out = FanOut::new(100, 1_000);
        let jim: Arc<str> = "Jim".into();
        fan_out.spend(id(1), Some(&jim), 3_000.0, start);
        assert_eq!(count(&fan_out), 2);
        let wait = |payer: &Payer, now| fan_out.account(payer, now).bucket.lock().until(0.0, now);
        let uid = Payer::Uid(Arc::clone(&jim));
        assert_eq!(wait(&uid, start), Duration::from_secs(20));
        assert_eq!(wait(&Payer::Connection(id(2)), start), Duration::ZERO);
        let pam = Payer::Uid("Pam".into());
        assert_eq!(wait(&pam, start), Duration::ZERO);
        // Who has spent nothing is forgotten; then, when all is paid, everybody.
        fan_out.payers.lock().sweep(start);
        assert_eq!(count(&fan_out), 2);
        fan_out.payers.lock().sweep(start + Duration::from_secs(31));
        assert_eq!(count(&fan_out), 0);
    }

    #[test]
    fn no_more_payers_are_remembered_than_are_of_use() {
        let mut now = Instant::now();
        let fan_out = FanOut::new(100, 1_000);
        for n in 0..10 * FEW {
            let uid: Arc<str> = format!("user-{n}").into();
            fan_out.spend(id(1), Some(&uid), 10.0, now);
            now += Duration::from_millis(1);
        }
        assert!(count(&fan_out) <= 2 * FEW, "{}", count(&fan_out));
    }
}
