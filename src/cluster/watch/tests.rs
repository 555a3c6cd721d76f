//! Watches of an API server that only refuses, on paused time.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tower::service_fn;

use super::retry::MAX_RETRY_AFTER;
use super::{Feed, PodSelection, Selection, Timing, follow_all};
use crate::cluster::connection::Connection;
use crate::cluster::objects::Scope;

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
    let connection = Connection { client: Client::new(service, "default"), url: String::new() };
    let timing = Timing { stale_after: Duration::from_secs(60), reconcile_every: Duration::ZERO };
    let selection = Selection { pods: PodSelection::Off, ..Selection::of(vec![Scope::All], timing) };
    // Room for every event, because nobody receives them.
    let (updates, _received) = mpsc::channel(1024);
    let feed = Feed { positions: HashMap::new(), updates };
    let metrics = Arc::default();
    let pause = async {
        let first = requests.recv().await.unwrap();
        requests.recv().await.unwrap() - first
    };
    tokio::select! {
        pause = pause => pause,
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
