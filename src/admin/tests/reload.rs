//! Who may make a server load its configuration anew.

use std::net::IpAddr;

use axum::body::Body;
use axum::{Extension, Router};
use http::{Request, StatusCode};
use tower::ServiceExt;

use super::*;
use crate::admin::connection::Client;
use crate::admin::pages;

/// The pages of a server that reloads whenever it is asked.
fn router() -> Router {
    let (_, reader) = table();
    let metrics = Arc::new(Metrics::new());
    let probes = Arc::new(ProbeSources {
        heartbeats: Heartbeats::default(),
        readiness: Readiness::new(),
        exporter: Exporter::new(Arc::clone(&metrics)),
        table: reader,
    });
    let history = Arc::new(History::new(Arc::clone(&metrics), Arc::clone(&probes)));
    let (reload, mut requests) = reload_requests();
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            request.answer(Ok("reloaded: nothing changed".to_owned()));
        }
    });
    let sources = Sources {
        probes,
        serving: SharedServing::new(Serving::of(Arc::new(authority()))),
        metrics,
        index: mpsc::channel(1).0,
        transfers: None,
        reload: Some(reload),
    };
    pages::router(sources, history)
}

#[tokio::test]
async fn only_whoever_is_on_the_machine_of_the_server_may_make_it_reload() {
    for (client, expected) in [
        ("127.0.0.1", StatusCode::OK),
        ("::1", StatusCode::OK),
        ("::ffff:127.0.0.9", StatusCode::OK),
        ("10.0.0.7", StatusCode::FORBIDDEN),
        ("::ffff:10.0.0.7", StatusCode::FORBIDDEN),
        ("fd00::1", StatusCode::FORBIDDEN),
    ] {
        let client: IpAddr = client.parse().expect("an address");
        let request = Request::post("/reload").body(Body::empty()).expect("a request");
        let answer = router()
            .layer(Extension(Client { address: client, server: client }))
            .oneshot(request)
            .await
            .expect("an answer");
        assert_eq!(answer.status(), expected, "{client}");
    }
}
