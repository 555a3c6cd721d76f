//! Watches of an API server that only refuses, or is none, on paused time.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tower::{Service, service_fn};

use super::retry::MAX_RETRY_AFTER;
use super::{Feed, PodSelection, Selection, Timing, follow_all};
use crate::cluster::connection::Connection;
use crate::cluster::objects::Scope;

/// A list without a resourceVersion, which no API server sends, shows no place from which a watch could go on.
#[tokio::test(start_paused = true)]
async fn a_list_that_does_not_say_its_version_is_asked_for_again_and_nothing_is_watched_from_it() {
    let (requested, mut requests) = mpsc::unbounded_channel();
    let service = service_fn(move |request: Request<Body>| {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let is_watch = query.contains("watch=");
        // Streaming lists are refused, so that pages are asked for.
        let (status, body) = if is_watch { (400, "{}") } else { (200, r#"{"metadata":{},"items":[]}"#) };
        requested.send(query).unwrap();
        let response = Response::builder().status(status).header(CONTENT_TYPE, "application/json");
        let response = response.body(Body::from(body.as_bytes().to_vec())).unwrap();
        async move { Ok::<_, Infallible>(response) }
    });
    let asking = async {
        let mut lists = 0;
        while lists < 10 {
            let query = requests.recv().await.unwrap();
            lists += usize::from(!query.contains("watch="));
            let is_resumed = query.contains("watch=") && !query.contains("sendInitialEvents=true");
            assert!(!is_resumed, "{query}");
        }
    };
    follow_until(service, asking).await;
}

/// The pause between the first two requests for Services to a server that refuses all as kube-apiserver does when it is
/// overloaded: 429, plain text, and this header (`tooManyRequests` in `apiserver/pkg/server/filters/maxinflight.go`).
async fn pause_between_requests(retry_after: &'static str) -> Duration {
    let (requested, mut requests) = mpsc::unbounded_channel();
    let service = service_fn(move |request: Request<Body>| {
        if request.uri().path().ends_with("/services") {
            requested.send(Instant::now()).unwrap();
        }
        let body = Body::from(b"Too many requests, please try again later.\n".to_vec());
        let response = Response::builder().status(429).header(RETRY_AFTER, retry_after).body(body).unwrap();
        async move { Ok::<_, Infallible>(response) }
    });
    let pause = async {
        let first = requests.recv().await.unwrap();
        requests.recv().await.unwrap() - first
    };
    follow_until(service, pause).await
}

/// Follows Services and EndpointSlices of an API server until something has happened.
async fn follow_until<S, T>(service: S, happened: impl Future<Output = T>) -> T
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Send + 'static,
{
    let connection = Connection { client: Client::new(service, "default"), url: String::new() };
    let timing = Timing { stale_after: Duration::from_secs(60), reconcile_every: Duration::ZERO };
    let selection = Selection { pods: PodSelection::Off, ..Selection::of(vec![Scope::All], timing) };
    // Room for every event, because nobody receives them.
    let (updates, _received) = mpsc::channel(1024);
    let feed = Feed { positions: HashMap::new(), updates };
    let metrics = Arc::default();
    tokio::select! {
        happened = happened => happened,
        () = follow_all(&connection, &selection, feed, &metrics) => panic!("a watch never ends by itself"),
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honoured_beyond_the_longest_backoff_and_up_to_a_bound() {
    for (header, expected) in [("1", 1), ("45", 45), ("86400", MAX_RETRY_AFTER.as_secs())] {
        assert_eq!(pause_between_requests(header).await.as_secs(), expected, "Retry-After: {header}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_number_in_retry_after_the_backoff_decides() {
    assert!(pause_between_requests("Fri, 31 Dec 1999 23:59:59 GMT").await < Duration::from_secs(1));
}
