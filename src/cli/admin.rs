//! How the operator's commands reach the server on this machine: with HTTP over its admin socket.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::dev::{DEFAULT_DIR, DEV_SOCKET};
use super::{Failure, files};
use crate::config::DEFAULT_FILE;

/// The socket of the package's configuration.
const DEFAULT_SOCKET: &str = "/run/rollcall/admin.sock";

/// Which server a command speaks to.
#[derive(Debug, clap::Args)]
pub(super) struct Server {
    /// The server's admin socket [default: the admin.socket of the configuration; of the development server if there is
    /// one in this directory]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// The server's configuration file, for its admin.socket [default: /etc/rollcall/rollcall.toml]
    #[arg(long, value_name = "FILE", conflicts_with = "socket")]
    config: Option<PathBuf>,
}

impl Server {
    fn path(&self) -> Result<PathBuf, Failure> {
        if let Some(socket) = &self.socket {
            return Ok(socket.clone());
        }
        if let Some(file) = &self.config {
            return socket_of(file)?.ok_or_else(|| {
                Failure::Usage(format!(
                    "{} sets no admin.socket: without one, no command can reach the server",
                    file.display()
                ))
            });
        }
        let dev = Path::new(DEFAULT_DIR).join(DEV_SOCKET);
        if dev.exists() {
            return Ok(dev);
        }
        // Perhaps only the server may read the file. Then the default is the best guess.
        let configured = socket_of(Path::new(DEFAULT_FILE)).ok().flatten();
        Ok(configured.unwrap_or_else(|| DEFAULT_SOCKET.into()))
    }

    /// Requests `target` with GET.
    ///
    /// # Errors
    /// When the server cannot be reached, or refuses: with its message.
    pub(super) async fn get(&self, target: &str) -> Result<Response<Incoming>, Failure> {
        let path = self.path()?;
        let stream = UnixStream::connect(&path)
            .await
            .map_err(|error| unreachable(&path, &error))?;
        let failed =
            |error: hyper::Error| Failure::Failed(format!("the server did not answer: {error}"));
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(failed)?;
        tokio::spawn(connection);
        let request = Request::get(target)
            .header("host", "localhost")
            .body(Empty::<Bytes>::new())
            .map_err(|error| Failure::Usage(error.to_string()))?;
        let answer = sender.send_request(request).await.map_err(failed)?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let body = answer.into_body().collect().await.map_err(failed)?;
        let said: serde_json::Value = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
        Err(Failure::Failed(
            said["error"]["message"]
                .as_str()
                .map_or_else(|| format!("the server says {status}"), str::to_owned),
        ))
    }

    /// As [`Server::get`], for an answer in JSON.
    pub(super) async fn get_json<T: DeserializeOwned>(&self, target: &str) -> Result<T, Failure> {
        let body = self.get(target).await?.into_body().collect().await;
        let body = body
            .map_err(|error| Failure::Failed(format!("the answer broke off: {error}")))?
            .to_bytes();
        serde_json::from_slice(&body)
            .map_err(|error| Failure::Failed(format!("the answer makes no sense: {error}")))
    }
}

pub(super) fn block_on<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("no thread to run on: {error}")))?
        .block_on(command)
}

/// The `admin.socket` of a configuration file. The rest is not checked: it may name files that only the server can read.
fn socket_of(file: &Path) -> Result<Option<PathBuf>, Failure> {
    let text = files::read(file)?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        Failure::Usage(format!("{}: {}", file.display(), error.message()))
    })?;
    let socket = table
        .get("admin")
        .and_then(|admin| admin.get("socket"))
        .and_then(toml::Value::as_str);
    let folder = file.parent().unwrap_or(Path::new("."));
    Ok(socket.map(|socket| folder.join(socket)))
}

fn unreachable(path: &Path, error: &std::io::Error) -> Failure {
    let socket = path.display();
    Failure::Failed(match error.kind() {
        ErrorKind::NotFound => format!(
            "there is no server at {socket}: it is not running, or its admin.socket is elsewhere (--socket, --config)"
        ),
        ErrorKind::ConnectionRefused => {
            format!("nobody listens on {socket}: the server that made it is not running any more")
        }
        ErrorKind::PermissionDenied => {
            let group = std::fs::metadata(path).map_or_else(
                |_| "the group of its folder".to_owned(),
                |file| format!("the group {}", file.gid()),
            );
            format!(
                "you may not use {socket}: become root, or a member of {group} (`ls -ln {socket}`; on a host with the package: `adduser YOU rollcall`)"
            )
        }
        _ => format!("the server at {socket} cannot be reached: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_is_found_in_the_configuration_relative_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("r.toml");
        std::fs::write(&file, "data_dir = \"x\"\n[admin]\nsocket = \"a.sock\"\n").unwrap();
        assert_eq!(
            socket_of(&file).unwrap(),
            Some(folder.path().join("a.sock"))
        );
        std::fs::write(&file, "[admin]\nsocket = \"/run/a.sock\"\n").unwrap();
        assert_eq!(socket_of(&file).unwrap(), Some("/run/a.sock".into()));
        std::fs::write(&file, "data_dir = \"x\"\n").unwrap();
        assert_eq!(socket_of(&file).unwrap(), None);
        assert!(socket_of(&folder.path().join("absent")).is_err());
    }
}
