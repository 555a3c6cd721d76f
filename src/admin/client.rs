//! The client of `/zone`, `/explain` and `/reload`, which the commands of these names use (`export` for a zone).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use axum::body::Body;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::page::SERVER;
use crate::dns::name::Name;

/// How long a page may take; the zone of a large cluster has hundreds of thousands of records.
const FETCH_TIMEOUT: Duration = Duration::from_secs(60);

/// Why a running server could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No connection.
    #[error("no server answers at the admin address {0}; check that it is running, or give its address with --admin")]
    Connect(SocketAddr, #[source] std::io::Error),
    /// No complete HTTP response.
    #[error("the server at the admin address {0} did not answer with a complete HTTP response")]
    Http(SocketAddr, #[source] Box<dyn std::error::Error + Send + Sync>),
    /// Something else is there.
    #[error("what answers at {0} is not the admin address of headless-dns; give that with --admin")]
    Other(SocketAddr),
    /// An HTTP error, with its text.
    #[error("the server at the admin address {0} refused the request: {1}")]
    Refused(SocketAddr, String),
    /// No response in time.
    #[error("the server at the admin address {0} did not answer within {FETCH_TIMEOUT:?}")]
    Timeout(SocketAddr),
}

/// Fetches the zone file of `zone` from the server with this admin address.
///
/// # Errors
/// The server cannot be reached, is not ready, or does not serve the zone.
pub async fn fetch_zone(admin: SocketAddr, zone: &Name) -> Result<String, FetchError> {
    let (status, text) = fetch(admin, Method::GET, &format!("/zone?name={zone}")).await?;
    if status == StatusCode::OK { Ok(text) } else { Err(FetchError::refused(admin, &text)) }
}

/// The explanation of a name, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplanationText {
    /// Whether the name owns a record.
    pub resolves: bool,
    /// For a person, several lines.
    pub text: String,
}

/// Fetches the explanation of a name from that server. It may be an address, or the beginning of a name.
///
/// # Errors
/// The server cannot be reached.
pub async fn fetch_explanation(admin: SocketAddr, name: &str) -> Result<ExplanationText, FetchError> {
    let parameters = form_urlencoded::Serializer::new(String::new()).append_pair("name", name).finish();
    let (status, text) = fetch(admin, Method::GET, &format!("/explain?{parameters}")).await?;
    match status {
        StatusCode::OK | StatusCode::NOT_FOUND => Ok(ExplanationText { resolves: status == StatusCode::OK, text }),
        _ => Err(FetchError::refused(admin, &text)),
    }
}

/// Makes that server load its configuration anew. Returns what has changed.
///
/// # Errors
/// The server cannot be reached, or the configuration cannot be used.
pub async fn request_reload(admin: SocketAddr) -> Result<String, FetchError> {
    let (status, text) = fetch(admin, Method::POST, "/reload").await?;
    if status == StatusCode::OK { Ok(text) } else { Err(FetchError::refused(admin, &text)) }
}

impl FetchError {
    fn refused(admin: SocketAddr, text: &str) -> Self {
        Self::Refused(reachable(admin), text.trim_end().to_owned())
    }
}

async fn fetch(admin: SocketAddr, method: Method, page: &str) -> Result<(StatusCode, String), FetchError> {
    let address = reachable(admin);
    timeout(FETCH_TIMEOUT, exchange(address, method, page)).await.map_err(|_| FetchError::Timeout(address))?
}

async fn exchange(address: SocketAddr, method: Method, page: &str) -> Result<(StatusCode, String), FetchError> {
    let broken = |error: Box<dyn std::error::Error + Send + Sync>| FetchError::Http(address, error);
    let stream = TcpStream::connect(address).await.map_err(|error| FetchError::Connect(address, error))?;
    let (mut requests, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(error.into()))?;
    let request = Request::builder()
        .method(method)
        .uri(page)
        .header(header::HOST, address.to_string())
        .body(Body::empty())
        .map_err(|error| broken(error.into()))?;
    // Owns the sender: dropping it ends the connection.
    let exchange = async move {
        let response = requests.send_request(request).await?;
        // What else somebody else says is not read.
        if response.headers().get(header::SERVER) != Some(&SERVER) {
            return Ok(None);
        }
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        Ok::<_, hyper::Error>(Some((status, body)))
    };
    let (exchanged, _) = tokio::join!(exchange, connection);
    let (status, body) = exchanged.map_err(|error| broken(error.into()))?.ok_or(FetchError::Other(address))?;
    let text = String::from_utf8(body.into()).map_err(|error| broken(error.into()))?;
    Ok((status, text))
}

/// Replaces a wildcard address by loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => (Ipv4Addr::LOCALHOST, v4.port()).into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => (Ipv6Addr::LOCALHOST, v6.port()).into(),
        _ => address,
    }
}
