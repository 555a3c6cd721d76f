//! The client's side of `/zone` and `/explain`: what `headless-dns export` and `headless-dns explain` ask a running server.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use axum::body::Body;
use http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

use super::explain::Explanation;

/// How long to wait for the zone; one of a large cluster has some hundred thousand records.
const FETCH_TIMEOUT: Duration = Duration::from_secs(60);

/// Why a zone could not be had from a running server.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Nobody answers there.
    #[error("no server answers at the admin address {0} (is it running, and is that its admin address?)")]
    Connect(SocketAddr, #[source] std::io::Error),
    /// The conversation broke off.
    #[error("the server at the admin address {0} did not answer as expected")]
    Http(SocketAddr, #[source] Box<dyn std::error::Error + Send + Sync>),
    /// The server has another opinion.
    #[error("the server at the admin address {0} refused: {1}")]
    Refused(SocketAddr, String),
    /// It takes too long.
    #[error("the server at the admin address {0} did not answer within {FETCH_TIMEOUT:?}")]
    Timeout(SocketAddr),
}

/// The zone file of `zone`, from the server whose admin pages are at `admin`.
pub async fn fetch_zone(admin: SocketAddr, zone: &str) -> Result<String, FetchError> {
    let (status, text) = fetch(admin, &format!("/zone?name={zone}")).await?;
    if status == StatusCode::OK { Ok(text) } else { Err(FetchError::refused(admin, &text)) }
}

/// The explanation of `name`, a domain name, from that server.
pub async fn fetch_explanation(admin: SocketAddr, name: &str) -> Result<Explanation, FetchError> {
    let (status, text) = fetch(admin, &format!("/explain?name={name}")).await?;
    match status {
        StatusCode::OK | StatusCode::NOT_FOUND => Ok(Explanation { resolves: status == StatusCode::OK, text }),
        _ => Err(FetchError::refused(admin, &text)),
    }
}

impl FetchError {
    fn refused(admin: SocketAddr, text: &str) -> Self {
        Self::Refused(reachable(admin), text.trim_end().to_owned())
    }
}

async fn fetch(admin: SocketAddr, page: &str) -> Result<(StatusCode, String), FetchError> {
    let address = reachable(admin);
    timeout(FETCH_TIMEOUT, exchange(address, page)).await.map_err(|_| FetchError::Timeout(address))?
}

async fn exchange(address: SocketAddr, page: &str) -> Result<(StatusCode, String), FetchError> {
    let broken = |error: Box<dyn std::error::Error + Send + Sync>| FetchError::Http(address, error);
    let stream = TcpStream::connect(address).await.map_err(|error| FetchError::Connect(address, error))?;
    let (mut requests, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(error.into()))?;
    let request = Request::get(page)
        .header(header::HOST, address.to_string())
        .body(Body::empty())
        .map_err(|error| broken(error.into()))?;
    // Owns the sender, whose end ends the connection.
    let exchange = async move {
        let response = requests.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        Ok::<_, hyper::Error>((status, body))
    };
    let (exchanged, _) = tokio::join!(exchange, connection);
    let (status, body) = exchanged.map_err(|error| broken(error.into()))?;
    let text = String::from_utf8(body.into()).map_err(|error| broken(error.into()))?;
    Ok((status, text))
}

/// A server that listens on every address is reached by loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => (Ipv4Addr::LOCALHOST, v4.port()).into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => (Ipv6Addr::LOCALHOST, v6.port()).into(),
        _ => address,
    }
}
