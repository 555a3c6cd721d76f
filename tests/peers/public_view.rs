//! Knot and BIND as secondaries of the public view of two replicas: they have what is exported of it, and nothing else.

use std::fs;
use std::net::SocketAddr;

use kube_sandbox::kind::Kind as ObjectKind;
use kube_sandbox::{Options, Sandbox};
use serde_json::json;
use tempfile::TempDir;

use crate::support::peers::secondary::{KEY, Kind, PUBLIC_KEY, PUBLIC_ZONE, Secondary, lines, wait_for};
use crate::support::peers::{bounded, free_address, missing, run};
use crate::support::program::Program;
use crate::support::services;

/// Services, of which some are public.
const SERVICES: usize = 6;

struct Cluster {
    sandbox: Sandbox,
    folder: TempDir,
    replicas: [SocketAddr; 2],
}

impl Cluster {
    async fn start() -> Self {
        let sandbox = Sandbox::start(Options { controllers: None, ..Options::default() }).await.expect("a free port");
        let folder = tempfile::tempdir().expect("a folder");
        sandbox.write_kubeconfig(&folder.path().join("kubeconfig")).expect("a file");
        for (name, key) in [("keys", KEY), ("public-keys", PUBLIC_KEY)] {
            fs::write(folder.path().join(name), key).expect("written");
        }
        for number in 0..SERVICES {
            services::put(&sandbox, &format!("s{number}"), &[number as u8 + 1, number as u8 + 101]);
        }
        Self { sandbox, folder, replicas: [free_address(), free_address()] }
    }

    /// Annotates a Service.
    fn annotate(&self, number: usize, public: &str) {
        let mut service = services::service(&format!("s{number}"));
        service["metadata"]["annotations"] = json!({ "headless-dns/public": public });
        self.sandbox.store().update(ObjectKind::Service, service).expect("a valid object");
    }

    fn replica(&self, number: usize, secondaries: &[Secondary]) -> Program {
        let path = |name: &str| self.folder.path().join(name).to_str().expect("UTF-8").to_owned();
        let (kubeconfig, keys, public_keys) = (path("kubeconfig"), path("keys"), path("public-keys"));
        let notify: Vec<_> = secondaries.iter().map(Secondary::notify).collect();
        let number_text = number.to_string();
        let mut arguments = vec!["--kubeconfig", &kubeconfig, "--replica", &number_text, "--drain-timeout", "0"];
        arguments.extend(["--reverse-zone", "10.0.0.0/8", "--nameserver", "127.0.0.1"]);
        // An address in both: the key alone says who may have what.
        arguments.extend(["--transfer-clients", "127.0.0.0/8", "--transfer-keys", &keys]);
        arguments.extend(["--public-clients", "127.0.0.0/8", "--public-keys", &public_keys]);
        arguments.extend(["--public-origin", PUBLIC_ZONE, "--public-nameserver", "ns1.example.org"]);
        notify.iter().for_each(|to| arguments.extend(["--public-notify", to]));
        Program::serve_on(&self.replicas[number].to_string(), &arguments)
    }
}

/// Waits until every secondary has of the view what a replica exports, which has to be so many Services.
fn converge(replica: &Program, secondaries: &[Secondary], services: usize) {
    for secondary in secondaries {
        wait_for(
            secondary,
            || replica.page("/transfers").1,
            || {
                let exported = lines(&replica.page(&format!("/zone?name={PUBLIC_ZONE}")).1);
                // Of each Service two addresses and two records of a port, twice, and two names of endpoints.
                let is_complete = exported.len() == 1 + services * 8;
                let seen = secondary.records(PUBLIC_ZONE);
                let is_there = is_complete && seen.as_ref() == Some(&exported);
                (!is_there).then(|| format!("{services} Services of what is exported: {exported:#?}\nbut {seen:#?}"))
            },
        );
        let records = secondary.records(PUBLIC_ZONE).unwrap_or_default();
        assert!(
            records.iter().all(|line| line.contains(PUBLIC_ZONE) && !line.contains("cluster.local")),
            "{records:?}"
        );
    }
}

/// X8.
#[tokio::test(flavor = "multi_thread")]
async fn knot_and_bind_follow_the_public_view_as_services_are_chosen_and_get_nothing_else() {
    let kinds = [Kind::Knot, Kind::Bind];
    let programs: Vec<_> = kinds.iter().map(|kind| kind.program()).chain(["dig"]).collect();
    if missing(&programs) {
        return;
    }
    let cluster = Cluster::start().await;
    let mut secondaries: Vec<_> = kinds.iter().map(|kind| Secondary::of_public_view(*kind, cluster.replicas)).collect();
    cluster.annotate(0, "true");
    let replicas = [0, 1].map(|number| cluster.replica(number, &secondaries));
    tokio::task::block_in_place(|| {
        replicas.iter().for_each(Program::until_synchronised);
        secondaries.iter_mut().for_each(Secondary::start);
        converge(&replicas[0], &secondaries, 1);
        for (number, public, services) in
            [(1, "true", 2), (2, "yes", 2), (3, "true", 3), (0, "false", 2), (1, "false", 1)]
        {
            cluster.annotate(number, public);
            replicas.iter().for_each(|replica| converge(replica, &secondaries, services));
        }
        let [_, bind] = &secondaries[..] else { panic!("two secondaries") };
        assert_eq!(bind.serial("10.in-addr.arpa"), None, "{}", bind.said());
        let secret = PUBLIC_KEY.split('"').nth(1).expect("a secret");
        let port = replicas[0].dns.port().to_string();
        for zone in ["cluster.local", "10.in-addr.arpa"] {
            let key = format!("hmac-sha256:public:{secret}");
            let said = run(bounded("dig").args(["@127.0.0.1", "-p", &port, "-y", &key, zone, "AXFR"])).stdout;
            assert!(said.contains("Transfer failed"), "{zone}: {said}");
        }
    });
}
