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
    let probes = ProbeSources {
        heartbeats: Heartbeats::default(),
        readiness: Readiness::new(),
        exporter: Exporter::new(Arc::new(Metrics::new())),
        table: reader,
    };
    let (reload, mut requests) = reload_requests();
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            request.answer(Ok("reloaded: nothing changed".to_owned()));
        }
    });
    pages::router(Sources {
        probes: Arc::new(probes),
        serving: SharedServing::new(Serving::of(Arc::new(authority()))),
        index: mpsc::channel(1).0,
        transfers: None,
        reload: Some(reload),
    })
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
        let answer = router().layer(Extension(Client(client))).oneshot(request).await.expect("an answer");
        assert_eq!(answer.status(), expected, "{client}");
    }
}
