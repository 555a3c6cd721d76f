//! A plain HTTP client for the sandbox's API and a reader of watches. Every wait is bounded.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::{Body, Bytes};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// Bound on every wait.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Waits for a future that must complete.
pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(TIMEOUT, what).await.expect("completed in time")
}

pub struct Http {
    address: SocketAddr,
    client: Client<HttpConnector, Body>,
}

pub struct Reply {
    pub code: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Http {
    pub fn to(address: SocketAddr) -> Self {
        Self { address, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    pub fn request(&self, method: &Method, path: &str) -> http::request::Builder {
        Request::builder().method(method).uri(format!("http://{}{path}", self.address))
    }

    pub async fn send(&self, request: Request<Body>) -> Reply {
        let response = soon(self.client.request(request)).await.expect("a response");
        let (parts, body) = response.into_parts();
        let bytes = soon(body.collect()).await.expect("a whole body").to_bytes();
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Reply { code: parts.status, headers: parts.headers, body }
    }

    /// Sends a request that may fail.
    pub async fn try_send(&self, method: &Method, path: &str) -> Result<StatusCode, String> {
        let request = self.request(method, path).body(Body::empty()).expect("a request");
        soon(self.client.request(request)).await.map(|response| response.status()).map_err(|error| error.to_string())
    }

    async fn without_body(&self, method: &Method, path: &str) -> Reply {
        self.send(self.request(method, path).body(Body::empty()).expect("a request")).await
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.without_body(&Method::GET, path).await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        self.without_body(&Method::DELETE, path).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.with_body(&Method::POST, path, "application/json", &body.to_string()).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Reply {
        self.with_body(&Method::PUT, path, "application/json", &body.to_string()).await
    }

    /// `media_type` without `application/`: `merge-patch+json`.
    pub async fn patch(&self, path: &str, media_type: &str, body: &Value) -> Reply {
        self.with_body(&Method::PATCH, path, &format!("application/{media_type}"), &body.to_string()).await
    }

    pub async fn with_body(&self, method: &Method, path: &str, media_type: &str, body: &str) -> Reply {
        let request = self.request(method, path).header("content-type", media_type);
        self.send(request.body(Body::from(body.to_owned())).expect("a request")).await
    }

    pub async fn watch(&self, path: &str) -> Watch {
        let request = self.request(&Method::GET, path).body(Body::empty()).expect("a request");
        let response = soon(self.client.request(request)).await.expect("a response");
        assert_eq!(response.status(), StatusCode::OK);
        Watch { body: response.into_body(), buffer: Vec::new() }
    }
}

/// An open watch.
pub struct Watch {
    body: Incoming,
    buffer: Vec<u8>,
}

/// How a watch ended.
#[derive(Debug, PartialEq)]
pub enum End {
    Clean,
    Broken,
}

impl Watch {
    /// The next event, or how the watch ended.
    pub async fn next(&mut self) -> Result<Value, End> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Ok(serde_json::from_slice(&line).expect("one JSON object a line"));
            }
            match soon(self.body.frame()).await {
                None if self.buffer.is_empty() => return Err(End::Clean),
                None => return Err(End::Broken),
                Some(Err(_)) => return Err(End::Broken),
                Some(Ok(frame)) => self.buffer.extend_from_slice(&frame.into_data().unwrap_or_else(|_| Bytes::new())),
            }
        }
    }

    /// The type and the object's name of the next event other than a bookmark.
    pub async fn change(&mut self) -> (String, String) {
        loop {
            let event = self.next().await.expect("an event");
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            if event["type"] != "BOOKMARK" {
                return (text(&event["type"]), text(&event["object"]["metadata"]["name"]));
            }
        }
    }
}
