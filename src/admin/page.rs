//! The page for people, at `/` for whoever asks as a browser does. It is made of files that are part of the program, and gets what
//! it shows from the other pages: `/status` twice a second, the rest when that says that something has changed.
//!
//! Names, labels and annotations are whatever somebody has written into the cluster. The page inserts them as text, and the
//! browser is told to run nothing and to load nothing but these files.

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// The document.
pub(super) const DOCUMENT: &str = include_str!("page/index.html");
/// What it loads, by addresses that are relative to its own: it may be behind a proxy, below any path.
pub(super) const FILES: [(&str, &str, &str); 8] = [
    ("/page/style.css", CSS, include_str!("page/style.css")),
    ("/page/page.js", JAVASCRIPT, include_str!("page/page.js")),
    ("/page/dom.js", JAVASCRIPT, include_str!("page/dom.js")),
    ("/page/status.js", JAVASCRIPT, include_str!("page/status.js")),
    ("/page/charts.js", JAVASCRIPT, include_str!("page/charts.js")),
    ("/page/services.js", JAVASCRIPT, include_str!("page/services.js")),
    ("/page/explain.js", JAVASCRIPT, include_str!("page/explain.js")),
    ("/page/others.js", JAVASCRIPT, include_str!("page/others.js")),
];

/// Nothing but these files, no form that leads elsewhere, and no other page around it.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'",
);
/// Whose pages these are; the client looks at it.
pub(super) const SERVER: HeaderValue = HeaderValue::from_static("headless-dns");
/// For every page: it is what it says it is, no other origin may have it or show it, none learns of its address, and it is not kept.
const GUARDS: [(HeaderName, HeaderValue); 6] = [
    (header::SERVER, SERVER),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
];
/// What changes with the program alone is asked for each time.
const REVALIDATE: HeaderValue = HeaderValue::from_static("no-cache");

/// The files of the page.
pub(super) fn files<S: Clone + Send + Sync + 'static>() -> Router<S> {
    FILES.iter().fold(Router::new(), |router, (path, media_type, text)| {
        router.route(path, get(async move || with_policy(media_type, text)))
    })
}

/// The page, or the list of pages as text for whoever does not ask for HTML.
pub(super) fn document_or(list: String, headers: &HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let mut response = if accept.contains("text/html") { with_policy(HTML, DOCUMENT) } else { list.into_response() };
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    response
}

/// Adds the guards to every page that has none of its own.
pub(super) fn guarded(router: Router) -> Router {
    router.layer(from_fn(async |request: Request, next: Next| {
        let mut response = next.run(request).await;
        for (name, value) in GUARDS {
            response.headers_mut().entry(name).or_insert(value);
        }
        response
    }))
}

fn with_policy(media_type: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, REVALIDATE),
    ];
    (headers, text).into_response()
}
