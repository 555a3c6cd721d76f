//! What it costs to read a cluster, by the encoding in which the API server sends it: octets, and CPU time from the first octet to the
//! table. The bodies are recorded from the sandbox once, and come from memory: no socket, no TLS, no server's work is in the figures.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body as Answer;
use futures::{StreamExt, stream};
use headless_dns::cluster::{Connection, Feed, Scope, Selection, Timing, WatchUpdate, follow_all};
use headless_dns::index::Index;
use headless_dns::table::table;
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::body::Bytes;
use kube::Client;
use kube::client::Body;
use kube_sandbox::{Options, Sandbox};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tower::service_fn;

use crate::objects::Workload;
use crate::support::figures::median;
use crate::support::process::Process;

const CLUSTERS: [usize; 3] = [1_000, 5_000, 10_000];
/// Pods of each Service.
const REPLICAS: usize = 15;
/// Each cluster is read so often that this many Services are, so that short times can be told in steps of 10 ms.
const SERVICES_READ: usize = 10_000;
/// Octets that arrive at a time.
const CHUNK: usize = 16 << 10;

const ENCODINGS: [(&str, &str); 2] =
    [("JSON", "application/json"), ("Protobuf", "application/vnd.kubernetes.protobuf")];
const PATHS: [&str; 3] = ["/api/v1/services", "/apis/discovery.k8s.io/v1/endpointslices", "/api/v1/pods"];

/// How the objects come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As a streaming list.
    Streamed,
    /// As a list in pages.
    Paged,
    /// As events of watches whose lists were empty.
    Watched,
}

impl Form {
    const ALL: [(Self, &str); 3] =
        [(Self::Streamed, "streamed"), (Self::Paged, "in pages"), (Self::Watched, "as events")];
}

/// The response to each of [`PATHS`].
#[derive(Clone)]
struct Recorded {
    media_type: &'static str,
    form: Form,
    /// Objects in all of them.
    objects: usize,
    bodies: [Bytes; 3],
}

impl Recorded {
    async fn of(sandbox: &Sandbox, services: usize, media_type: &'static str, form: Form) -> Self {
        let counts = [services, services, services * REPLICAS];
        let is_streamed = form != Form::Paged;
        let mut bodies = [const { Bytes::new() }; 3];
        for ((path, objects), body) in PATHS.iter().zip(counts).zip(&mut bodies) {
            let query = if is_streamed {
                "?watch=true&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
            } else {
                ""
            };
            let request = Request::get(format!("{path}{query}")).header("accept", media_type);
            let request = request.body(Empty::<Bytes>::new()).expect("a request");
            let response = sandbox.in_process().send(request).await.expect("a response");
            let mut chunks = response.into_body().into_data_stream();
            // A watch does not end: an event for each object, and the bookmark.
            let wanted = if is_streamed { objects + 1 } else { usize::MAX };
            let mut octets = Vec::new();
            for _ in 0..wanted {
                let Some(chunk) = chunks.next().await else { break };
                octets.push(chunk.expect("a body"));
            }
            if form == Form::Watched {
                // With the bookmark in front nothing is a part of the list.
                octets.rotate_right(1);
            }
            *body = octets.concat().into();
        }
        Self { media_type, form, objects: counts.iter().sum(), bodies }
    }

    fn mebibytes(&self) -> f64 {
        self.bodies.iter().map(Bytes::len).sum::<usize>() as f64 / f64::from(1 << 20)
    }

    /// What the server answers. After its list, a watch says nothing.
    fn respond(&self, request: &Request<Body>) -> Response<Answer> {
        let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
        let place = PATHS.iter().position(|known| *known == path).expect("a path that is recorded");
        let is_list = query.contains("sendInitialEvents") || !query.contains("watch=true");
        let refuses = query.contains("sendInitialEvents") && self.form == Form::Paged;
        let octets = if is_list && !refuses { self.bodies[place].clone() } else { Bytes::new() };
        let ends = refuses || !query.contains("watch=true");
        let chunks =
            (0..octets.len().div_ceil(CHUNK)).map(move |i| octets.slice(i * CHUNK..octets.len().min((i + 1) * CHUNK)));
        let chunks = stream::iter(chunks.map(Ok::<_, Infallible>));
        let body =
            if ends { Answer::from_stream(chunks) } else { Answer::from_stream(chunks.chain(stream::pending())) };
        let status = if refuses { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
        Response::builder().status(status).header("content-type", self.media_type).body(body).expect("a response")
    }

    /// Reads everything into a table.
    fn read(self, threads: &Runtime) {
        let events = if self.form == Form::Watched { self.objects } else { 0 };
        let service = service_fn(move |request: Request<Body>| {
            let response = self.respond(&request);
            async move { Ok::<_, Infallible>(response) }
        });
        let timing = Timing { stale_after: Duration::from_secs(60), reconcile_every: Duration::ZERO };
        let selection = Selection::of(vec![Scope::All], timing);
        let metrics = Arc::default();
        let (updates, mut incoming) = mpsc::channel::<WatchUpdate>(1024);
        let feed = Feed { positions: HashMap::new(), updates };
        let (mut writer, _reader) = table();
        threads.block_on(async {
            // It starts a task, so it needs the runtime.
            let connection = Connection { client: Client::new(service, "default"), url: String::new() };
            let apply = async {
                let (mut index, mut lists, mut seen) = (Index::default(), 0, 0);
                while lists < PATHS.len() || seen < events {
                    let update = incoming.recv().await.expect("a watch that goes on");
                    lists += usize::from(update.event.synchronises());
                    // What an event of an object has, and no other update, are its times.
                    seen += usize::from(update.times.is_some());
                    index.apply(update);
                }
                writer.publish(index.take_publications());
            };
            tokio::select! {
                () = apply => {}
                () = follow_all(&connection, &selection, feed, &metrics) => panic!("a watch never ends by itself"),
            }
        });
    }
}

pub fn run(cluster: &Runtime) {
    let threads = Builder::new_current_thread().enable_all().build().expect("a runtime");
    println!("feed: Services of {REPLICAS} Pods each, from the first octet to the table, medians of the readings");
    println!("objects    Services   JSON: MiB   CPU ms   Protobuf: MiB   CPU ms   MiB ratio   CPU ratio");
    for services in CLUSTERS {
        let sandbox = cluster.block_on(Sandbox::start(Options { controllers: None, ..Options::default() }));
        let sandbox = sandbox.expect("a free port");
        let workload = |i| Workload { name: format!("db{i:05}"), replicas: REPLICAS, first: i * REPLICAS };
        (0..services).for_each(|i| workload(i).create(&sandbox, true));
        for (form, name) in Form::ALL {
            let recorded =
                ENCODINGS.map(|(_, media_type)| cluster.block_on(Recorded::of(&sandbox, services, media_type, form)));
            let mut times = [Vec::new(), Vec::new()];
            // In turn, so that both have the same machine.
            for _ in 0..SERVICES_READ / services {
                for (recorded, times) in recorded.iter().zip(&mut times) {
                    let before = Process::own().cpu();
                    recorded.clone().read(&threads);
                    times.push((Process::own().cpu() - before).as_secs_f64() * 1e3);
                }
            }
            let [json, protobuf] = times.map(median);
            let [json_size, protobuf_size] = recorded.each_ref().map(Recorded::mebibytes);
            println!(
                "{name:<10} {services:>8} {json_size:>11.1} {json:>8.0} {protobuf_size:>15.1} {protobuf:>8.0} {:>11.2} {:>11.2}",
                protobuf_size / json_size,
                protobuf / json,
            );
        }
        cluster.block_on(sandbox.shutdown());
    }
}
