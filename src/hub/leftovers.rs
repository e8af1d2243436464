//! What a simulation wants to know of the hub, and nobody else.

use super::Hub;
use super::connection::Connection;

/// What the hub holds in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// Connections.
    pub connections: usize,
    /// Channels.
    pub channels: usize,
    /// Absent subscriptions whose grace goes on.
    pub absences: usize,
    /// Who is in debt for what others received.
    pub payers: usize,
    /// Single uses that are being decided.
    pub reservations: usize,
    /// Permits for changes that are on their way to the disk.
    pub permits_out: usize,
    /// The bytes in the longest queue of a connection.
    pub largest_queue: usize,
    /// Tasks, those of connections and requests included.
    pub tasks: usize,
}

impl Hub {
    pub(crate) fn leftovers(&self) -> Leftovers {
        let mut largest_queue = 0;
        self.connections.for_each(|connection| {
            largest_queue = largest_queue.max(connection.queue.bytes());
        });
        Leftovers {
            connections: self.connections.len(),
            channels: self.rooms.len(),
            absences: self.rooms.absences.len(),
            payers: self.rooms.fan_out.payers(),
            reservations: self.once.len(),
            permits_out: self.pipeline.changes_in_flight(),
            largest_queue,
            tasks: 0,
        }
    }
}

impl Connection {
    /// The id and the secret, as the first frame tells them.
    pub(crate) fn credentials(&self) -> (String, String) {
        (self.id.to_string(), self.secret.0.to_string())
    }
}
