//! RFC 6455, case by case, over raw frames. The cases are numbered as the Autobahn test suite numbers its own, so that a
//! number can be looked up there; they are written from the RFC.
//!
//! That suite has its server echo. This one answers requests, so a case that expects an echo sends a request in the shape
//! of the case instead: well-formed JSON is answered by a pong of the protocol, any other text by an error. What must
//! fail is judged by the close code. After every case the connection is closed as the RFC says: the server's close frame
//! comes first, then the end of TLS, and no reset.
//!
//! `peer` is the client, `framing` has the cases 1 to 5, `text` 6, `closing` 7, `sizes` 9 and 10.

mod closing;
mod framing;
mod peer;
mod sizes;
mod text;

use futures_util::StreamExt as _;
use futures_util::stream::iter;

use crate::support::{Server, Setup, in_time};
use peer::{Came, Peer, frame};

/// The opcodes.
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// How many cases are played at a time.
const AT_ONCE: usize = 16;

/// One case.
struct Case {
    number: String,
    /// What is sent, each in a write of its own.
    writes: Vec<Vec<u8>>,
    /// What must come, in this order, before the close.
    wanted: Vec<Want>,
    close: Close,
}

/// What must come.
#[derive(Debug, PartialEq, Eq)]
enum Want {
    /// The answer to a request.
    Answer,
    /// An error about what is no request.
    Refusal,
    /// A pong with this payload.
    Pong(Vec<u8>),
}

/// How the case ends.
#[derive(Debug, PartialEq, Eq)]
enum Close {
    /// The connection is open: the client says goodbye, and is answered.
    ByUs,
    /// The server closes with this code, or without one.
    With(Option<u16>),
}

impl Case {
    fn new(number: impl Into<String>) -> Self {
        Self {
            number: number.into(),
            writes: Vec::new(),
            wanted: Vec::new(),
            close: Close::ByUs,
        }
    }

    /// Sends a whole frame.
    fn send(self, opcode: u8, payload: &[u8]) -> Self {
        self.raw(frame(0x80 | opcode, payload))
    }

    /// Sends a frame that more fragments follow.
    fn begin(self, opcode: u8, payload: &[u8]) -> Self {
        self.raw(frame(opcode, payload))
    }

    /// Sends these bytes.
    fn raw(mut self, bytes: Vec<u8>) -> Self {
        self.writes.push(bytes);
        self
    }

    /// Sends everything up to here in pieces of so many bytes.
    fn chopped(mut self, size: usize) -> Self {
        let all = self.writes.concat();
        self.writes = all.chunks(size).map(<[u8]>::to_vec).collect();
        self
    }

    /// Sends everything up to here in one write.
    fn at_once(mut self) -> Self {
        self.writes = vec![self.writes.concat()];
        self
    }

    fn want(mut self, want: Want) -> Self {
        self.wanted.push(want);
        self
    }

    fn answered(self) -> Self {
        self.want(Want::Answer)
    }

    fn refused(self) -> Self {
        self.want(Want::Refusal)
    }

    fn ponged(self, payload: &[u8]) -> Self {
        self.want(Want::Pong(payload.to_vec()))
    }

    /// The server must close with this code.
    fn closed(mut self, code: u16) -> Self {
        self.close = Close::With(Some(code));
        self
    }

    /// The server must close without a code.
    fn closed_without_code(mut self) -> Self {
        self.close = Close::With(None);
        self
    }

    /// Plays it; what is wrong, if anything is.
    async fn play(self, server: &Server) -> Result<(), String> {
        let mut peer = Peer::connect(server).await;
        let mut came = Vec::new();
        let outcome = in_time(&self.number, self.talk(&mut peer, &mut came)).await;
        outcome.map_err(|wrong| format!("{}: {wrong}, after {came:?}", self.number))
    }

    async fn talk(&self, peer: &mut Peer, came: &mut Vec<Want>) -> Result<(), String> {
        // A peer that only writes would wait for ever for a server that waits until its answers are read.
        let (mut reader, mut writer) = peer.split();
        let write = async {
            for bytes in &self.writes {
                // After a violation the server need not take the rest.
                if writer.send(bytes).await.is_err() {
                    return;
                }
            }
        };
        let read = async {
            for want in &self.wanted {
                match reader.next().await? {
                    Came::Frame(got) if got == *want => came.push(got),
                    other => return Err(format!("{other:?} in place of {want:?}")),
                }
            }
            Ok(())
        };
        let ((), read) = tokio::join!(write, read);
        read?;
        let wanted = match self.close {
            Close::ByUs => {
                let goodbye = frame(0x80 | CLOSE, &1000_u16.to_be_bytes());
                writer.send(&goodbye).await.map_err(|e| e.to_string())?;
                Some(1000)
            }
            Close::With(code) => code,
        };
        match reader.next().await? {
            Came::Close(code) if code == wanted => {}
            other => return Err(format!("{other:?} in place of a close with {wanted:?}")),
        }
        if self.close == Close::With(wanted) && self.sent_no_close() {
            let answer = frame(0x80 | CLOSE, &wanted.unwrap_or(1000).to_be_bytes());
            let _ = writer.send(&answer).await;
        }
        reader.end().await
    }

    fn sent_no_close(&self) -> bool {
        let close = |bytes: &Vec<u8>| bytes.first() == Some(&(0x80 | CLOSE));
        !self.writes.iter().any(close)
    }
}

/// A request of so many bytes, which is answered; what is too short for one is refused.
fn request(bytes: usize) -> Vec<u8> {
    let around = br#"{"event":"hotsock.ping","data":""}"#.len();
    let Some(padding) = bytes.checked_sub(around) else {
        return vec![b'*'; bytes];
    };
    format!(
        r#"{{"event":"hotsock.ping","data":"{}"}}"#,
        "*".repeat(padding)
    )
    .into_bytes()
}

/// Plays all of them against one server; returns how many there were.
async fn play(setup: Setup, cases: Vec<Case>) -> usize {
    let server = setup.start();
    let count = cases.len();
    let played = iter(cases).map(|case| case.play(&server));
    let outcomes: Vec<_> = played.buffer_unordered(AT_ONCE).collect().await;
    let wrong: Vec<String> = outcomes.into_iter().filter_map(Result::err).collect();
    assert!(
        wrong.is_empty(),
        "{} of {count} cases:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_control_frames_reserved_bits_and_fragments() {
    assert_eq!(play(Setup::new(), framing::cases()).await, 64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_is_utf_8() {
    assert_eq!(play(Setup::new(), text::cases()).await, 145);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_goodbye_is_answered() {
    assert_eq!(play(Setup::new(), closing::cases()).await, 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_messages_and_many_messages() {
    let setup = Setup::new()
        .set("connection", "frame_bytes = \"16MiB\"")
        .hasty();
    assert_eq!(play(setup, sizes::cases()).await, 55);
}
