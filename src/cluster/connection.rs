//! Credentials and the client: how to reach the API server.

use std::path::PathBuf;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

/// How long connecting to the API server may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may carry no data before it counts as dead. Longer than a watch lasts ([`super::watch`]), since an
/// idle watch carries none.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Set by Kubernetes in every container.
const IN_CLUSTER_VARIABLE: &str = "KUBERNETES_SERVICE_HOST";

/// Where to find the credentials. With neither field set, a Pod uses its service account and any other process `KUBECONFIG`
/// or `~/.kube/config`.
#[derive(Clone, Debug, Default)]
pub struct CredentialSource {
    pub kubeconfig: Option<PathBuf>,
    pub context: Option<String>,
}

/// The credentials cannot be used. Nothing has been sent yet.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    #[error("the kubeconfig {} cannot be used: {problem}; name another with --kubeconfig, or choose one of its contexts with --context", path.display())]
    File { path: PathBuf, problem: Box<KubeconfigError> },
    #[error("there is no context {name} in {file}; choose one with --context: {}", known.join(", "))]
    Context { file: String, name: String, known: Vec<String> },
    #[error(
        "no kubeconfig can be used: {0}; name one with --kubeconfig or KUBECONFIG, or try it without a cluster: headless-dns serve --sandbox PATH"
    )]
    Default(Box<KubeconfigError>),
    #[error("the Pod's service account cannot be used: {0}; is automountServiceAccountToken off?")]
    InCluster(kube::config::InClusterError),
    #[error("cannot make a client from the credentials: {0}")]
    Client(Box<kube::Error>),
}

/// A client, and the server that it talks to.
#[derive(Clone)]
pub struct Connection {
    pub client: Client,
    /// URL of the API server, for messages.
    pub url: String,
}

/// Makes a client. Does not connect yet.
///
/// # Errors
/// The credentials cannot be read or used.
pub async fn connect(access: &CredentialSource) -> Result<Connection, CredentialError> {
    let options = KubeConfigOptions { context: access.context.clone(), ..KubeConfigOptions::default() };
    let mut config = match &access.kubeconfig {
        Some(path) => {
            let unusable = |problem| CredentialError::File { path: path.clone(), problem: Box::new(problem) };
            let file = format!("the kubeconfig {}", path.display());
            from_kubeconfig(Kubeconfig::read_from(path), &file, &options, unusable).await?
        }
        None if access.context.is_none() && std::env::var_os(IN_CLUSTER_VARIABLE).is_some() => {
            Config::incluster().map_err(CredentialError::InCluster)?
        }
        None => {
            let unusable = |problem| CredentialError::Default(Box::new(problem));
            let file = "the files of KUBECONFIG or ~/.kube/config";
            from_kubeconfig(Kubeconfig::read(), file, &options, unusable).await?
        }
    };
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(READ_TIMEOUT);
    config.reset_reader_on_write = true;
    config.write_timeout = Some(WRITE_TIMEOUT);
    // The client would silently retry 429, 503 and 504 by itself, up to fifteen times over minutes. The watch has a backoff of
    // its own, reports the error, and relists where a retry cannot help.
    config.default_retry = false;
    let url = config.cluster_url.to_string();
    let client = Client::try_from(config).map_err(|problem| CredentialError::Client(Box::new(problem)))?;
    Ok(Connection { client, url })
}

/// The context that is asked for, or else the current one, of what has been read from `file`.
async fn from_kubeconfig(
    read: Result<Kubeconfig, KubeconfigError>,
    file: &str,
    options: &KubeConfigOptions,
    unusable: impl Fn(KubeconfigError) -> CredentialError,
) -> Result<Config, CredentialError> {
    let kubeconfig = read.map_err(&unusable)?;
    let known: Vec<_> = kubeconfig.contexts.iter().map(|context| context.name.clone()).collect();
    let name = options.context.as_ref().or(kubeconfig.current_context.as_ref());
    // Of a file without any, kube says what is wrong.
    if let Some(name) = name.filter(|name| !known.is_empty() && !known.contains(name)) {
        return Err(CredentialError::Context { file: file.to_owned(), name: name.clone(), known });
    }
    Config::from_custom_kubeconfig(kubeconfig, options).await.map_err(unusable)
}
