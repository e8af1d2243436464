//! Rollcall over the wire: the real binary, TLS sockets, a real database.

// A test that cannot go on fails; clippy takes the helpers of an integration test for production code.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub
)]

#[path = "../support/mod.rs"]
mod support;

mod admin;
mod authorities;
mod bad_input;
mod capacity;
mod certificate;
mod channels;
mod claims;
mod clock;
mod crash;
mod dev;
mod dialogue;
mod entrance;
mod fanout;
mod feed;
mod hanging_disk;
mod haste;
mod history;
mod hostile;
mod http;
mod kills;
mod lifetime;
mod limits;
mod messages;
mod metadata;
mod openapi;
mod order;
mod origins;
mod pages;
mod permissions;
mod power;
mod presence;
mod publish;
mod reactions;
mod replay;
mod restart;
mod rfc6455;
mod room;
mod silence;
mod slow;
mod starts;
mod stopping;
mod storage;
mod strict;
mod tls;
mod tokens;
mod webhooks;
mod wire_page;
