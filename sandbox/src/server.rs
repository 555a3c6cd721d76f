//! The running sandbox: the listener on loopback, its connections, and the controllers' task.
//!
//! [`Sandbox::start`] binds and returns the actual address; everything runs until [`Sandbox::shutdown`]. The API can go down
//! and come back on the same port ([`Fault::Down`](crate::faults::Fault::Down)), so the listener and its connections run in a
//! loop of their own.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::api::{Api, DropConnection, create_initial_objects, router};
use crate::controllers;
use crate::faults::Faults;
use crate::fields;
use crate::in_process::InProcess;
use crate::kind::Kind;
use crate::manifests::{ManifestError, Manifests};
use crate::status::ApiError;
use crate::store::Store;

/// Default of [`Options::bookmark_interval`]. The API server sends a bookmark about once a minute, which is too long for tests.
const DEFAULT_BOOKMARK_INTERVAL: Duration = Duration::from_secs(5);

/// Pause after a failed attempt to accept a connection or to bind again.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// The configuration of a sandbox.
#[derive(Clone, Debug)]
pub struct Options {
    /// A loopback address; port 0 lets the system choose a port.
    pub listen: SocketAddr,
    /// Whether watches may start with the current state (`sendInitialEvents`), as in API servers with the WatchList feature.
    pub streaming_lists: bool,
    /// Whether Services, EndpointSlices and Pods are sent in Protobuf to whoever prefers it, as by every API server.
    pub protobuf: bool,
    /// How often a watch that allows bookmarks gets one.
    pub bookmark_interval: Duration,
    /// The options of controllers and kubelet; None for none, so that objects stay as they are written.
    pub controllers: Option<controllers::Options>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            streaming_lists: true,
            protobuf: true,
            bookmark_interval: DEFAULT_BOOKMARK_INTERVAL,
            controllers: Some(controllers::Options::default()),
        }
    }
}

/// Why a sandbox did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the sandbox's API has no access control and listens on loopback only, not on {0}")]
    NotLoopback(SocketAddr),
    #[error("the sandbox's API cannot listen on {address}: {source}; is the port in use?")]
    Bind { address: SocketAddr, source: io::Error },
    #[error("cannot create the sandbox's initial objects: {0}")]
    InitialObjects(#[from] ApiError),
}

/// A running sandbox. It keeps running when dropped; [`Sandbox::shutdown`] ends it.
pub struct Sandbox {
    address: SocketAddr,
    api: Arc<Api>,
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

impl Sandbox {
    /// Binds the listener and starts serving.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let listen = options.listen;
        if !listen.ip().is_loopback() {
            return Err(StartError::NotLoopback(listen));
        }
        let bind = |source| StartError::Bind { address: listen, source };
        let listener = TcpListener::bind(listen).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;

        let store = Arc::new(Store::default());
        create_initial_objects(&store, options.controllers.as_ref())?;
        let faults = Faults::new(Arc::clone(&store));
        let Options { streaming_lists, protobuf, bookmark_interval, controllers, .. } = options;
        let api = Arc::new(Api { store: Arc::clone(&store), faults, streaming_lists, protobuf, bookmark_interval });

        let shutdown = CancellationToken::new();
        let tasks = TaskTracker::new();
        let front = Front { router: router(Arc::clone(&api)), faults: api.faults.clone(), shutdown: shutdown.clone() };
        tasks.spawn(front.run(listener, address));
        if let Some(options) = controllers {
            tasks.spawn(controllers::run(store, options, shutdown.clone()));
        }
        tasks.close();
        Ok(Self { address, api, shutdown, tasks })
    }

    /// The address of the API.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The objects. Writes through the store bypass admission.
    pub fn store(&self) -> &Arc<Store> {
        &self.api.store
    }

    /// The handle for fault injection and request counts.
    pub fn faults(&self) -> &Faults {
        &self.api.faults
    }

    /// The API without sockets.
    pub fn in_process(&self) -> InProcess {
        InProcess { router: router(Arc::clone(&self.api)), faults: self.api.faults.clone() }
    }

    /// A kubeconfig for the API, as YAML.
    pub fn kubeconfig(&self) -> String {
        format!(
            "apiVersion: v1\n\
             kind: Config\n\
             current-context: sandbox\n\
             clusters:\n\
             - name: sandbox\n  cluster:\n    server: http://{}\n\
             contexts:\n\
             - name: sandbox\n  context:\n    cluster: sandbox\n    namespace: default\n    user: sandbox\n\
             users:\n\
             - name: sandbox\n  user: {{}}\n",
            self.address
        )
    }

    /// Writes [`Self::kubeconfig`] to a file.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write_kubeconfig(&self, path: &Path) -> io::Result<()> {
        std::fs::write(path, self.kubeconfig())
    }

    /// Creates or updates the objects of the manifests in these files and folders. Returns the number of objects.
    ///
    /// # Errors
    /// [`ManifestError`], which names the file, the position, the object and the field.
    pub fn apply(&self, paths: &[PathBuf]) -> Result<usize, ManifestError> {
        self.apply_read(&Manifests::read(paths)?)
    }

    /// The same with manifests that have been read.
    ///
    /// # Errors
    /// [`ManifestError::Rejected`].
    pub fn apply_read(&self, manifests: &Manifests) -> Result<usize, ManifestError> {
        manifests.apply(&self.api.store)
    }

    /// Waits until every workload has all of its Pods and every Pod is Ready, but not for longer than `limit`.
    pub async fn settled(&self, limit: Duration) {
        let mut writes = self.api.store.subscribe();
        let settled = async {
            while !is_settled(&self.api.store) {
                // An error is impossible: the sender belongs to the store.
                let _ = writes.changed().await;
            }
        };
        // A Pod may take longer, or never be Ready.
        let _ = tokio::time::timeout(limit, settled).await;
    }

    /// Closes the listener and all connections, stops the controllers, and waits until all tasks have ended.
    pub async fn shutdown(self) {
        self.shutdown.cancel();
        self.tasks.wait().await;
    }
}

/// Whether the workloads have what they want. Nothing is as it should be while one has not been looked at yet.
fn is_settled(store: &Store) -> bool {
    let is_complete = |workload: &Value| {
        workload["status"]["observedGeneration"] == workload["metadata"]["generation"]
            && workload["status"]["readyReplicas"].as_u64().unwrap_or(0)
                >= workload["spec"]["replicas"].as_u64().unwrap_or(0)
    };
    let is_ready = |pod: &Value| {
        let conditions = fields::list(&pod["status"]["conditions"]);
        conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
    };
    let all = |kind: Kind, holds: &dyn Fn(&Value) -> bool| store.list(kind, None).1.iter().all(|object| holds(object));
    [Kind::StatefulSet, Kind::Deployment, Kind::ReplicaSet].into_iter().all(|kind| all(kind, &is_complete))
        && all(Kind::Pod, &is_ready)
}

/// The listener and its connections.
struct Front {
    router: Router,
    faults: Faults,
    shutdown: CancellationToken,
}

impl Front {
    async fn run(self, mut listener: TcpListener, address: SocketAddr) {
        loop {
            let connections = self.shutdown.child_token();
            let tasks = TaskTracker::new();
            self.accept(&listener, &connections, &tasks).await;
            drop(listener);
            connections.cancel();
            tasks.close();
            tasks.wait().await;
            self.stay_down().await;
            if self.shutdown.is_cancelled() {
                return;
            }
            listener = match self.bind_again(address).await {
                Some(listener) => listener,
                None => return,
            };
        }
    }

    /// Serves connections until the API goes down or the sandbox is shut down.
    async fn accept(&self, listener: &TcpListener, connections: &CancellationToken, tasks: &TaskTracker) {
        let mut changes = self.faults.subscribe();
        while self.faults.down().is_none() {
            tokio::select! {
                () = self.shutdown.cancelled() => return,
                _ = changes.changed() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        // As in the API server: without it, an event waits for the acknowledgement of the one before.
                        let _ = stream.set_nodelay(true);
                        let connection = serve(self.router.clone(), stream);
                        let closed = connections.clone();
                        tasks.spawn(async move { closed.run_until_cancelled(connection).await });
                    }
                    // Out of file descriptors, or the client has closed the connection again.
                    Err(_) => sleep(RETRY_INTERVAL).await,
                },
            }
        }
    }

    async fn stay_down(&self) {
        let mut changes = self.faults.subscribe();
        let start = Instant::now();
        while let Some((number, duration)) = self.faults.down() {
            let end = async {
                match duration {
                    Some(duration) => sleep_until(start + duration).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.shutdown.cancelled() => return,
                _ = changes.changed() => {}
                () = end => self.faults.remove(number),
            }
        }
    }

    /// None if the sandbox is shut down before the port is free.
    async fn bind_again(&self, address: SocketAddr) -> Option<TcpListener> {
        loop {
            match TcpListener::bind(address).await {
                Ok(listener) => return Some(listener),
                Err(error) => tracing::warn!(%address, %error, "cannot bind the sandbox's API again, retrying"),
            }
            self.shutdown.run_until_cancelled(sleep(RETRY_INTERVAL)).await?;
        }
    }
}

/// Makes hyper close the connection without a response.
#[derive(Debug, thiserror::Error)]
#[error("the connection was dropped by an injected fault")]
struct Dropped;

/// Serves one connection until it is closed.
async fn serve(router: Router, stream: TcpStream) {
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let router = router.clone();
        async move {
            let Ok(response) = router.oneshot(request.map(Body::new)).await.map_err(|never: Infallible| never);
            if response.extensions().get::<DropConnection>().is_some() { Err(Dropped) } else { Ok(response) }
        }
    });
    // Errors are expected: clients disconnect, and injected faults break connections.
    let _ = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
}
