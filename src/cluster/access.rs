//! Where the API server is and who we are there.

use std::path::PathBuf;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

/// How long a connection to the API server may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the API server may be silent before the connection counts as dead. Longer than a watch lasts
/// ([`super::watch`]), since a watch on which nothing changes is silent.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Set by Kubernetes in every container.
const IN_CLUSTER_VARIABLE: &str = "KUBERNETES_SERVICE_HOST";

/// Where the credentials come from. Without either, a Pod uses its service account and anything else `KUBECONFIG` or
/// `~/.kube/config`.
#[derive(Clone, Debug, Default)]
pub struct CredentialSource {
    pub kubeconfig: Option<PathBuf>,
    pub context: Option<String>,
}

/// Credentials that cannot be used; nothing was sent yet.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    #[error("the kubeconfig {} cannot be used: {problem}; name another with --kubeconfig, or choose one of its contexts with --context", path.display())]
    File { path: PathBuf, problem: Box<KubeconfigError> },
    #[error(
        "no kubeconfig can be used: {0}; name one with --kubeconfig or KUBECONFIG, or try without a cluster: headless-dns serve --sandbox PATH"
    )]
    Default(Box<KubeconfigError>),
    #[error("the Pod's service account cannot be used: {0}; is automountServiceAccountToken off?")]
    InCluster(kube::config::InClusterError),
    #[error("no client can be made of the credentials: {0}")]
    Client(Box<kube::Error>),
}

/// The way to an API server.
#[derive(Clone)]
pub struct Connection {
    pub client: Client,
    /// The server's URL, for messages.
    pub url: String,
}

/// Makes a client; does not connect yet.
///
/// # Errors
/// The credentials cannot be read or used.
pub async fn connect(access: &CredentialSource) -> Result<Connection, CredentialError> {
    let options = KubeConfigOptions { context: access.context.clone(), ..KubeConfigOptions::default() };
    let mut config = match &access.kubeconfig {
        Some(path) => {
            let unusable = |problem| CredentialError::File { path: path.clone(), problem: Box::new(problem) };
            let kubeconfig = Kubeconfig::read_from(path).map_err(unusable)?;
            Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(unusable)?
        }
        None if access.context.is_none() && std::env::var_os(IN_CLUSTER_VARIABLE).is_some() => {
            Config::incluster().map_err(CredentialError::InCluster)?
        }
        None => {
            Config::from_kubeconfig(&options).await.map_err(|problem| CredentialError::Default(Box::new(problem)))?
        }
    };
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(READ_TIMEOUT);
    config.reset_reader_on_write = true;
    config.write_timeout = Some(WRITE_TIMEOUT);
    // The client would try 429, 503 and 504 again by itself, up to fifteen times over minutes and without a word: the watch
    // has a pace of its own, says what is wrong, and lists anew where trying again is no use.
    config.default_retry = false;
    let url = config.cluster_url.to_string();
    let client = Client::try_from(config).map_err(|problem| CredentialError::Client(Box::new(problem)))?;
    Ok(Connection { client, url })
}
