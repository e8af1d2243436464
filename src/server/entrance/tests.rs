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
