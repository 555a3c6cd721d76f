//! A page elsewhere can have its own name lead to 127.0.0.1, and so have a browser on this machine read the pages here as if they were
//! its own (DNS rebinding). The name that the browser asks for gives it away: a request from this machine names the address or
//! `localhost`. Who comes from elsewhere may know this server by any name.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::connection::Client;

const REBOUND: &str = "asked from this machine, this address has no other names than its numbers and localhost: a page elsewhere may \
have led a browser here. A proxy on this machine has to send 'Host: localhost'\n";

/// Refuses what a page elsewhere may have sent.
pub(super) async fn refuse_rebound(request: Request, next: Next) -> Response {
    let client = request.extensions().get::<Client>().map(|Client(client)| client.to_canonical());
    if client.is_some_and(|client| client.is_loopback()) && !names_this_machine(&request) {
        return (StatusCode::MISDIRECTED_REQUEST, REBOUND).into_response();
    }
    next.run(request).await
}

/// Whether a request names this machine, or nobody: every browser sends the name that it asks for (RFC 9112 section 3.2).
fn names_this_machine(request: &Request) -> bool {
    let named = request.headers().get_all(header::HOST).iter();
    let named = named.map(|host| Authority::try_from(host.as_bytes()).ok());
    named
        .chain(request.uri().authority().cloned().map(Some))
        .all(|named| named.is_some_and(|named| is_local(named.host())))
}

/// `localhost` and the names below it are never asked of a name server (RFC 6761 section 6.3).
fn is_local(host: &str) -> bool {
    let number = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    number.parse::<IpAddr>().is_ok() || name == "localhost" || name.ends_with(".localhost")
}
