use super::*;

const SOON: Duration = Duration::from_secs(10);

async fn in_handshake(entrance: &Arc<Entrance>) -> Visit {
    let visit = entrance.come(SocketAddr::from(([192, 0, 2, 1], 1)));
    assert!(visit.guest().handshake_place().await);
    visit
}

#[tokio::test]
async fn a_bell_that_rang_in_the_handshake_closes_nobody_who_is_kept() {
    let entrance = Entrance::new();
    let visit = in_handshake(&entrance).await;
    let guest = visit.guest();
    guest.ask();
    guest.serve();
    assert!(guest.answered(true));
    let mut asked = pin!(guest.asked());
    let pause = Duration::from_millis(20);
    assert!(tokio::time::timeout(pause, asked.as_mut()).await.is_err());
    guest.ask();
    let stage = tokio::time::timeout(SOON, asked).await.unwrap();
    assert_eq!(stage, Stage::Kept);
}

#[tokio::test]
async fn who_owes_its_body_may_have_to_give_way_and_who_is_served_not() {
    let entrance = Entrance::new();
    let visit = in_handshake(&entrance).await;
    let guest = visit.guest();
    let later = Instant::now() + 2 * STALL;
    guest.serve();
    let way = || entrance.rooms.lock().handshake.give_way(later);
    assert!(matches!(way(), Way::Nobody));
    guest.await_body();
    assert!(matches!(way(), Way::Ask(_)));
    // It has come in the meantime.
    guest.serve();
    assert!(matches!(way(), Way::Nobody));
}
