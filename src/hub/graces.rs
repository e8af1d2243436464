//! Graces end as their time comes, and with them the places of those who did not return (section 4).

use super::rooms::Rooms;
use super::telling::Cause;
use crate::protocol::RemovalReason;
use crate::world::tasks::sleep_until;

impl Rooms {
    /// Ends absences as their time comes, until the server stops.
    pub(super) async fn end_absences(&self) {
        let absences = &self.absences;
        while absences.are_granted() && !self.is_frozen() {
            let Some(ends) = absences.next_end() else {
                absences.begun.notified().await;
                continue;
            };
            sleep_until(ends).await;
            let Ok(permit) = self.pipeline.permit().await else {
                return;
            };
            let Some((room, connection)) = absences.take_due() else {
                continue;
            };
            if self.is_frozen() {
                return;
            }
            let mut decision = self.decide(&room);
            if let Some(change) = decision.presence().end_absence(connection) {
                decision.record(&change, Cause::Left(RemovalReason::Disconnected));
                decision.submit(permit);
            }
        }
    }
}
