//! Refuses ambiguous requests, whatever they ask for.
//!
//! hyper refuses what is no HTTP/1 (400, 414, 431) and lets the following through. A proxy before us may read such a request
//! in another way than we do; then one client's bytes become another client's request (request smuggling, RFC 9112 11.2).

use hyper::header::{self, HeaderMap, HeaderName};
use hyper::http::uri::Authority;
use hyper::{Method, Request, StatusCode, Version};

use super::answer::{Refused, refused};

/// Headers that may stand in a request only once.
const SINGLE: [HeaderName; 7] = [
    header::AUTHORIZATION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::HOST,
    header::ORIGIN,
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_VERSION,
];

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
        return Err(refused(
            StatusCode::NOT_IMPLEMENTED,
            "INVALID_REQUEST",
            "the only Transfer-Encoding understood here is `chunked`, once",
        ));
    }
    Ok(())
}

fn count(headers: &HeaderMap, name: &HeaderName) -> usize {
    headers.get_all(name).iter().count()
}

/// A host and perhaps a port. It may be empty, where the target has no authority (RFC 9110 7.2).
fn is_host(host: &[u8]) -> bool {
    host.is_empty() || Authority::try_from(host).is_ok_and(|host| !host.as_str().contains('@'))
}

pub(super) fn invalid(message: &str) -> Refused {
    refused(StatusCode::BAD_REQUEST, "INVALID_REQUEST", message)
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
