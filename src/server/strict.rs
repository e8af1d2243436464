//! What is refused of every request, whatever it asks for: what could be read in two ways.
//!
//! hyper parses; it refuses what is no HTTP/1 (400, 414, 431), and lets the following through. A proxy before us may have
//! read such a request otherwise than we do, and then one client's bytes become another's request (RFC 9112 11.2).

use hyper::header::{self, HeaderMap, HeaderName};
use hyper::http::uri::Authority;
use hyper::{Method, Request, StatusCode, Version};

use super::answer::{Refused, error};

/// Headers that say one thing, and of which there can be only one.
const SINGLE: [HeaderName; 7] = [
    header::AUTHORIZATION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::HOST,
    header::ORIGIN,
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_VERSION,
];

/// Refuses what has two meanings, or none.
pub(super) fn check<B>(request: &Request<B>) -> Result<(), Refused> {
    let (headers, target) = (request.headers(), request.uri());
    if target.scheme().is_none()
        && target.authority().is_some()
        && request.method() != Method::CONNECT
    {
        return Err(invalid("the target of the request is no path"));
    }
    if let Some(name) = SINGLE.iter().find(|name| count(headers, name) > 1) {
        return Err(invalid(&format!("there are two headers `{name}`")));
    }
    match headers.get(header::HOST) {
        None if request.version() == Version::HTTP_11 => {
            return Err(invalid("the header `host` is missing"));
        }
        Some(host) if !is_host(host.as_bytes()) => {
            return Err(invalid("the header `host` is no host"));
        }
        _ => {}
    }
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next()
        && (!coding.as_bytes().eq_ignore_ascii_case(b"chunked") || codings.next().is_some())
    {
        return Err(error(
            StatusCode::NOT_IMPLEMENTED,
            "INVALID_REQUEST",
            "the only Transfer-Encoding understood here is `chunked`, once",
        )
        .into());
    }
    Ok(())
}

fn count(headers: &HeaderMap, name: &HeaderName) -> usize {
    headers.get_all(name).iter().count()
}

/// A host and perhaps a port. An empty one says that there is no name for us (RFC 9110 7.2).
fn is_host(host: &[u8]) -> bool {
    host.is_empty() || Authority::try_from(host).is_ok_and(|host| !host.as_str().contains('@'))
}

/// 400 for a request that is no good as HTTP.
pub(super) fn invalid(message: &str) -> Refused {
    error(StatusCode::BAD_REQUEST, "INVALID_REQUEST", message).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_a_name_and_perhaps_a_port() {
        for host in [
            "localhost",
            "rollcall.example:8443",
            "[2001:db8::1]:443",
            "192.0.2.1",
            "",
        ] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in ["a b", "a, b", "a/b", "jim@a", "http://a", "\u{e4}"] {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
    }
}
