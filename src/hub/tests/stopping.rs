//! What is asked of a hub that commits nothing any more.

use super::*;
use crate::protocol::Refusal;

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_kept_any_more_is_refused_because_the_server_stops() {
    let folder = tempfile::tempdir().unwrap();
    let room = Room::open(folder.path(), settings()).await;
    let jim = room.connect("Jim", Value::Null).await;
    room.hub.begin_stop();
    let hub = Arc::clone(&room.hub);
    tokio::task::spawn_blocking(move || hub.finish())
        .await
        .unwrap();
    let refused = Refusal::from(room.hub.pipeline.settle().await.unwrap_err());
    assert_eq!(refused.code, ErrorCode::ServerStopping);
    let refused = room.hub.channel_info("c").await.err().unwrap();
    assert_eq!(refused.code, ErrorCode::ServerStopping);
    // A WebSocket is told what it has always been told.
    assert_eq!(refused.code.as_str(), "INTERNAL_ERROR");
    drop(jim);
}
