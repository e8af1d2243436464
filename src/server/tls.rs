//! TLS while the server runs: the certificate, its reload when its files change, and daily warnings before it expires.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{NoServerSessionStorage, ProducesTickets};
use tracing::{info, warn};

use crate::tls::{Pair, Standing, TlsError, Validity};
use crate::world::clock;

/// How often the files and the certificate's expiry are checked.
const LOOK: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Tls {
    certificate: PathBuf,
    private_key: PathBuf,
    current: ArcSwap<Current>,
    /// The standing that was last logged.
    told: Mutex<Option<Standing>>,
    /// Keeps tickets valid across reloads.
    ticketer: Arc<dyn ProducesTickets>,
}

#[derive(Debug)]
struct Current {
    config: Arc<ServerConfig>,
    validity: Option<Validity>,
}

impl Tls {
    /// Reads the files. A certificate that is not valid now is served with a warning: a client that checks the time refuses
    /// it, and a client that pins it does not.
    pub(super) fn load(certificate: &Path, private_key: &Path) -> Result<Self, TlsError> {
        let ticketer = Ticketer::new().map_err(|error| TlsError::Pair {
            certificate: certificate.to_owned(),
            private_key: private_key.to_owned(),
            error,
        })?;
        let tls = Self {
            certificate: certificate.to_owned(),
            private_key: private_key.to_owned(),
            current: ArcSwap::from_pointee(read(certificate, private_key, &ticketer)?),
            told: Mutex::new(None),
            ticketer,
        };
        tls.tell();
        Ok(tls)
    }

    /// For the next handshake.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.load().config)
    }

    /// `None` where the certificate states none.
    pub(super) fn validity(&self) -> Option<Validity> {
        self.current.load().validity
    }

    /// Reads the files again. Open connections keep their certificate. If the files cannot be used, the certificate before
    /// stays.
    pub(super) fn reload(&self) {
        match read(&self.certificate, &self.private_key, &self.ticketer) {
            Ok(current) => {
                self.current.store(Arc::new(current));
                info!(certificate = %self.certificate.display(), "certificate reloaded");
                *self.told.lock() = None;
                self.tell();
            }
            Err(error) => warn!(%error, "the certificate was not reloaded; the one before stays"),
        }
    }

    /// Reloads whenever the files have changed, and warns once a day of a certificate that expires soon or has expired.
    pub(super) async fn watch(self: Arc<Self>) {
        let mut known = self.stamps();
        loop {
            tokio::time::sleep(LOOK).await;
            let tls = Arc::clone(&self);
            // The disk may hang, and the runtime must not.
            let looked = tokio::task::spawn_blocking(move || {
                let now = tls.stamps();
                if now != known {
                    tls.reload();
                }
                tls.tell();
                now
            });
            match looked.await {
                Ok(now) => known = now,
                Err(_) => return,
            }
        }
    }

    fn stamps(&self) -> [Option<(SystemTime, u64)>; 2] {
        [stamp(&self.certificate), stamp(&self.private_key)]
    }

    /// Logs the certificate's standing where it has changed and needs attention, or needs none any more.
    fn tell(&self) {
        let now = self.validity().map(|v| v.standing(clock::now_seconds()));
        let before = std::mem::replace(&mut *self.told.lock(), now);
        if now == before {
            return;
        }
        let certificate = self.certificate.display();
        let Some(standing) = now else { return };
        match standing.advice() {
            Some(advice) => warn!(%certificate, "certificate {standing}; {advice}"),
            None if before.is_some_and(|before| before.advice().is_some()) => {
                info!(%certificate, "certificate {standing} again");
            }
            None => {}
        }
    }
}

/// Changes when the file does, or the file that a link leads to.
fn stamp(file: &Path) -> Option<(SystemTime, u64)> {
    let metadata = fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn read(
    certificate: &Path,
    private_key: &Path,
    ticketer: &Arc<dyn ProducesTickets>,
) -> Result<Current, TlsError> {
    let Pair {
        mut config,
        validity,
    } = Pair::read(certificate, private_key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Tickets carry the session, so the server stores none. One ticket suffices for one reconnection.
    config.ticketer = Arc::clone(ticketer);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 1;
    Ok(Current {
        config: Arc::new(config),
        validity,
    })
}
