//! The running sandbox: a listener on loopback, the connections it accepts, and the loops behind the API.
//!
//! [`Sandbox::start`] binds first and returns the real address; everything runs until [`Sandbox::shutdown`]. The API can
//! be made to vanish and to come back on the same port ([`Fault::Down`](super::faults::Fault::Down)), which is why the
//! listener and its connections live in a loop of their own.

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
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::api::{Api, DropConnection, namespaces, router};
use super::controllers;
use super::faults::Faults;
use super::manifests::{self, ManifestError};
use super::store::Store;

/// How often a watch that allows bookmarks gets one. The API server sends one a minute; a sandbox's client should not have
/// to wait that long to show what it does with them.
pub const DEFAULT_BOOKMARK_INTERVAL: Duration = Duration::from_secs(5);

/// Between two attempts to accept a connection or to bind again, after one that failed.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// How a sandbox is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Whether watches may begin with the present state (`sendInitialEvents`), as API servers since 1.32 do unasked.
    pub streaming_lists: bool,
    /// How often a watch that allows bookmarks gets one.
    pub bookmark_interval: Duration,
    /// How the controllers and the kubelet behave; without them, objects stay as they are written.
    pub controllers: Option<controllers::Options>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            streaming_lists: true,
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
    #[error("the sandbox's first namespaces were refused: {0}")]
    Namespaces(#[from] super::api::status::ApiError),
}

/// A running sandbox. Dropping it leaves it running; [`Sandbox::shutdown`] ends it.
pub struct Sandbox {
    address: SocketAddr,
    api: Arc<Api>,
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

impl Sandbox {
    /// Binds, and serves from then on.
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
        namespaces::create_initial(&store)?;
        let faults = Faults::new(Arc::clone(&store));
        let Options { streaming_lists, bookmark_interval, controllers, .. } = options;
        let api = Arc::new(Api { store: Arc::clone(&store), faults, streaming_lists, bookmark_interval });

        let shutdown = CancellationToken::new();
        let tasks = TaskTracker::new();
        let front = Front { router: router(Arc::clone(&api)), faults: api.faults.clone(), shutdown: shutdown.clone() };
        tasks.spawn(front.run(listener, address));
        // Everything that acts on the store by itself starts here.
        if let Some(options) = controllers {
            tasks.spawn(controllers::run(store, options, shutdown.clone()));
        }
        tasks.close();
        Ok(Self { address, api, shutdown, tasks })
    }

    /// Where the API listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The objects, for whoever is in the same process.
    pub fn store(&self) -> &Arc<Store> {
        &self.api.store
    }

    /// The handle by which the API is made to misbehave.
    pub fn faults(&self) -> &Faults {
        &self.api.faults
    }

    /// A kubeconfig for this sandbox, as YAML.
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

    /// Creates or updates what the manifests in these files and folders say. Returns how many objects that was.
    ///
    /// # Errors
    /// [`ManifestError`], which names the file, the place in it, the object and the field. Objects before it are in the
    /// store by then.
    pub fn apply(&self, paths: &[PathBuf]) -> Result<usize, ManifestError> {
        let manifests = manifests::load(paths)?;
        for manifest in &manifests {
            manifest.apply(&self.api.store)?;
        }
        Ok(manifests.len())
    }

    /// Closes the listener and all connections, and waits until everything has ended.
    pub async fn shutdown(self) {
        self.shutdown.cancel();
        self.tasks.wait().await;
    }
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

    /// Serves connections until the API is to go down or to end.
    async fn accept(&self, listener: &TcpListener, connections: &CancellationToken, tasks: &TaskTracker) {
        let mut changes = self.faults.subscribe();
        while self.faults.down().is_none() {
            tokio::select! {
                () = self.shutdown.cancelled() => return,
                _ = changes.changed() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        // As an API server has it: an event does not wait until the client has acknowledged the one before.
                        let _ = stream.set_nodelay(true);
                        let connection = serve(self.router.clone(), stream);
                        let closed = connections.clone();
                        tasks.spawn(async move { closed.run_until_cancelled(connection).await });
                    }
                    // Out of file descriptors, or the peer was gone again.
                    Err(_) => sleep(RETRY_INTERVAL).await,
                },
            }
        }
    }

    async fn stay_down(&self) {
        let mut changes = self.faults.subscribe();
        let began = Instant::now();
        while let Some((number, duration)) = self.faults.down() {
            let over = async {
                match duration {
                    Some(duration) => sleep_until(began + duration).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.shutdown.cancelled() => return,
                _ = changes.changed() => {}
                () = over => self.faults.remove(number),
            }
        }
    }

    /// None if the sandbox is shut down before the port is free.
    async fn bind_again(&self, address: SocketAddr) -> Option<TcpListener> {
        loop {
            match TcpListener::bind(address).await {
                Ok(listener) => return Some(listener),
                Err(error) => tracing::warn!(%address, %error, "the sandbox's API cannot listen again yet"),
            }
            self.shutdown.run_until_cancelled(sleep(RETRY_INTERVAL)).await?;
        }
    }
}

/// A request that is answered by closing the connection.
#[derive(Debug, thiserror::Error)]
#[error("the connection was dropped by an injected fault")]
struct Dropped;

/// Serves one connection to its end.
async fn serve(router: Router, stream: TcpStream) {
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let router = router.clone();
        async move {
            let Ok(response) = router.oneshot(request.map(Body::new)).await.map_err(|never: Infallible| never);
            if response.extensions().get::<DropConnection>().is_some() { Err(Dropped) } else { Ok(response) }
        }
    });
    // How a connection ends is its client's affair; injected faults end it with an error on purpose.
    let _ = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
}
