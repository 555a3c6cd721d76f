//! Requests that a page elsewhere has had a browser on somebody's machine send. It may read nothing here, nor find out what there is, nor
//! have this server ask others.
//!
//! - A page can have its own name lead to 127.0.0.1 (DNS rebinding). The name that the browser asks for gives it away: a request from
//!   this machine names an address or `localhost`. Who comes from elsewhere may know this server by any name.
//! - A page can load what is here as an image or an object, and learn from it whether that is there. Browsers say that another page asks
//!   (`Sec-Fetch-Site` of *Fetch Metadata Request Headers*).

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::connection::Client;

const REBOUND: &str = "asked from this machine, this address has no other names than its numbers and localhost: a page elsewhere may \
have led a browser here. A proxy on this machine has to send 'Host: localhost'\n";
const OTHER_SITE: &str = "another site has asked for this in a browser; open it by its address, or the page at /\n";

/// Refuses what a page elsewhere may have sent.
pub(super) async fn refuse_foreign(request: Request, next: Next) -> Response {
    let is_of_this_machine = request.extensions().get().is_some_and(Client::is_this_machine);
    if is_of_this_machine && !names_this_machine(&request) {
        return (StatusCode::MISDIRECTED_REQUEST, REBOUND).into_response();
    }
    if is_of_other_site(&request) {
        return (StatusCode::FORBIDDEN, OTHER_SITE).into_response();
    }
    next.run(request).await
}

/// Whether a request names this machine, or nobody: every browser sends the name that it asks for (RFC 9112 section 3.2).
fn names_this_machine(request: &Request) -> bool {
    let named = request.headers().get_all(header::HOST).iter();
    let named = named.map(|host| Authority::try_from(host.as_bytes()).ok());
    let mut named = named.chain(request.uri().authority().cloned().map(Some));
    named.all(|named| named.is_some_and(|named| is_local(named.host())))
}

/// `localhost` and the names below it are never asked of a name server (RFC 6761 section 6.3).
fn is_local(host: &str) -> bool {
    let number = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    number.parse::<std::net::IpAddr>().is_ok() || name == "localhost" || name.ends_with(".localhost")
}

/// Whether a browser says that a page of another site asks. A link to the page for people may be followed.
fn is_of_other_site(request: &Request) -> bool {
    let said = |name: &str| request.headers().get(name).map(|value| value.as_bytes());
    let is_own = said("sec-fetch-site").is_none_or(|site| matches!(site, b"same-origin" | b"none"));
    let is_link = said("sec-fetch-mode") == Some(b"navigate") && said("sec-fetch-dest") == Some(b"document");
    !(is_own || is_link && request.uri().path() == "/")
}
