//! The reason for an absent name, as a client with EDNS gets it.

use headless_dns::authority;
use headless_dns::cluster::{Change, ClusterEvent, PodSelection, Resource, Scope, WatchId};
use headless_dns::index::{self, Index};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use jiff::Timestamp;

use crate::support::common::{LIMITS, Server, extended_errors, options};

const CLUSTER: &str = r#"
kind: Service
metadata: {namespace: db, name: pg}
spec: {clusterIP: None, selector: {app: pg}}
---
kind: Service
metadata: {namespace: db, name: other}
spec: {clusterIP: None, selector: {app: pg}}
---
kind: Service
metadata: {namespace: db, name: down}
spec: {clusterIP: None, selector: {app: down}}
---
kind: Service
metadata: {namespace: db, name: typo}
spec: {clusterIP: None, selector: {app: gp, tier: data}}
---
kind: Service
metadata: {namespace: db, name: bare}
spec: {clusterIP: None}
---
kind: Service
metadata: {namespace: db, name: hand}
spec: {clusterIP: None}
---
kind: EndpointSlice
metadata: {namespace: db, name: hand, labels: {kubernetes.io/service-name: hand}}
addressType: IPv4
endpoints:
- {addresses: [10.1.9.1], hostname: a}
- {addresses: [10.1.9.2], hostname: b, conditions: {ready: false}}
---
kind: Service
metadata: {namespace: db, name: web}
spec: {type: ClusterIP}
---
kind: Pod
metadata: {namespace: db, name: pg-0, labels: {app: pg}, ownerReferences: [{kind: StatefulSet, name: pg, controller: true}]}
spec: {hostname: pg-0, subdomain: pg}
status: {podIPs: [{ip: 10.1.0.10}], conditions: [{type: Ready, status: "True"}]}
---
kind: Pod
metadata: {namespace: db, name: pg-1, labels: {app: pg}}
spec: {hostname: pg-1, subdomain: pg}
status: {podIPs: [{ip: 10.1.0.11}], conditions: [{type: Ready, status: "False", lastTransitionTime: "2026-11-21T02:04:05Z"}]}
---
kind: Pod
metadata: {namespace: db, name: pg-2, labels: {app: pg}, deletionTimestamp: "2026-11-21T02:04:05Z"}
spec: {hostname: pg-2, subdomain: pg}
status: {podIPs: [{ip: 10.1.0.12}], conditions: [{type: Ready, status: "True"}]}
---
kind: Pod
metadata: {namespace: db, name: pg-3, labels: {app: pg}}
spec: {hostname: pg-3, subdomain: pg}
status: {phase: Pending}
---
kind: Pod
metadata: {namespace: db, name: pg-4, labels: {app: pg}}
spec: {hostname: pg-4, subdomain: pg}
status: {phase: Failed, podIPs: [{ip: 10.1.0.14}]}
---
kind: Pod
metadata: {namespace: db, name: pg-5, labels: {app: pg}}
spec: {hostname: pg-5}
status: {podIPs: [{ip: 10.1.0.15}], conditions: [{type: Ready, status: "True"}]}
---
kind: Pod
metadata: {namespace: db, name: pg-6, labels: {app: wrong}}
spec: {hostname: pg-6, subdomain: pg}
status: {podIPs: [{ip: 10.1.0.16}], conditions: [{type: Ready, status: "True"}]}
---
kind: Pod
metadata: {namespace: db, name: down-0, labels: {app: down}}
spec: {hostname: down-0, subdomain: down}
status: {podIPs: [{ip: 10.1.1.10}], conditions: [{type: Ready, status: "False"}]}
---
kind: Pod
metadata: {namespace: db, name: zoo-0, labels: {app: zoo}, ownerReferences: [{kind: StatefulSet, name: zoo, controller: true}]}
spec: {hostname: zoo-0, subdomain: zk-lost}
status: {podIPs: [{ip: 10.1.2.10}], conditions: [{type: Ready, status: "True"}]}
---
kind: Pod
metadata: {namespace: db, name: lone, labels: {app: lone}}
spec: {hostname: lone, subdomain: nobody}
status: {podIPs: [{ip: 10.1.2.11}], conditions: [{type: Ready, status: "True"}]}
"#;

/// A server with these objects.
fn server(index: index::Options, manifests: &str) -> Server {
    let served = authority::Options { headless_only: index.headless_only, ..options() };
    let mut server = Server::start(served, LIMITS);
    server.index = Index::new(index.clone());
    if index.pods != PodSelection::Off {
        for change in [Change::RelistStarted, Change::RelistDone] {
            server.index.apply(ClusterEvent::Pod(Scope::All, change));
        }
    }
    server.apply(manifests);
    server.writer.set_synchronised();
    server
}

/// The reason for which `NAME.svc.cluster.local` does not exist.
async fn reason(server: &Server, name: &str) -> String {
    let answer = server.ask(&format!("{name}.svc.cluster.local."), RecordType::A).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain, "{name}");
    let [(0, reason)] = &extended_errors(&answer)[..] else { panic!("{name}: {answer}") };
    reason.clone()
}

fn pods(pods: PodSelection) -> index::Options {
    index::Options { pods, ..index::Options::default() }
}

/// T3.
#[tokio::test]
async fn an_absent_name_is_denied_with_the_reason() {
    let server = server(pods(PodSelection::All), CLUSTER);
    for (name, reason) in [
        ("pg-1.pg", "Pod db/pg-1 has not been Ready since 2026-11-21T02:04:05Z"),
        ("pg-2.pg", "Pod db/pg-2 is terminating"),
        ("pg-3.pg", "Pod db/pg-3 has no IP address yet"),
        ("pg-4.pg", "Pod db/pg-4 has terminated and will not restart"),
        ("pg-5.pg", "Pod db/pg-5 has no subdomain"),
        ("pg-6.pg", "Pod db/pg-6 has subdomain pg, but does not match the selector of that Service"),
        ("pg-7.pg", "Service db/pg has no ready endpoint pg-7"),
        ("pg-0.other", "Pod db/pg-0 has subdomain pg, not other"),
        // Pods of pg that are ready are endpoints of it, under other names.
        ("nope.other", "Service db/other has no ready endpoint nope"),
        ("down", "Service db/down has no ready endpoint (0 of 1); Pod db/down-0 is not Ready"),
        ("down-0.down", "Pod db/down-0 is not Ready"),
        ("down-1.down", "Service db/down has no ready endpoint (0 of 1); Pod db/down-0 is not Ready"),
        ("typo", "Service db/typo selects no Pods: none matches its selector app=gp,tier=data"),
        ("gp-0.typo", "Service db/typo selects no Pods: none matches its selector app=gp,tier=data"),
        ("bare", "Service db/bare has no selector, and no EndpointSlice has an address for it"),
        ("b.hand", "endpoint b of Service db/hand is not Ready"),
        ("web", "Service db/web has no cluster IP yet"),
        (
            "zk-lost",
            "Service db/zk-lost does not exist, but Pod zoo-0 of StatefulSet zoo has it as its subdomain (serviceName)",
        ),
        (
            "zoo-0.zk-lost",
            "Service db/zk-lost does not exist, but Pod zoo-0 of StatefulSet zoo has it as its subdomain (serviceName)",
        ),
        ("lone.nobody", "Service db/nobody does not exist, but Pod lone has it as its subdomain"),
        ("zoo-0.zoo", "there is no Service zoo in namespace db"),
    ] {
        let answer = server.ask(&format!("{name}.db.svc.cluster.local."), RecordType::A).await;
        assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain, "{name}");
        assert_eq!(extended_errors(&answer), [(0, reason.to_owned())], "{name}");
    }
    let answer = server.ask("pg-0.pg.db.svc.cluster.local.", RecordType::A).await;
    assert_eq!((answer.answers.len(), extended_errors(&answer).len()), (1, 0), "an existing name needs no reason");
}

/// T3.
#[tokio::test]
async fn a_reason_disappears_when_the_problem_is_fixed() {
    let mut server = Server::start(options(), LIMITS);
    server.apply(CLUSTER);
    server.writer.set_synchronised();
    let ready = "
kind: Pod
metadata: {namespace: db, name: down-0, labels: {app: down}}
spec: {hostname: down-0, subdomain: down}
status: {podIPs: [{ip: 10.1.1.10}], conditions: [{type: Ready, status: 'True'}]}
---
kind: Service
metadata: {namespace: db, name: zk-lost}
spec: {clusterIP: None, selector: {app: zoo}}
";
    server.apply(ready);
    for name in ["down", "down-0.down", "zk-lost", "zoo-0.zk-lost"] {
        let answer = server.ask(&format!("{name}.db.svc.cluster.local."), RecordType::A).await;
        assert_eq!((answer.answers.len(), extended_errors(&answer).len()), (1, 0), "{name}");
    }
    let answer = server.ask("down-1.down.db.svc.cluster.local.", RecordType::A).await;
    assert_eq!(extended_errors(&answer), [(0, "Service db/down has no ready endpoint down-1".to_owned())]);
}

const TYPO: &str = "
kind: Service
metadata: {namespace: db, name: typo}
spec: {clusterIP: None, selector: {app: gp}}
";

/// T8. With the default, the Pods of a Deployment are not watched.
#[tokio::test]
async fn a_service_is_said_to_select_no_pod_only_where_every_pod_is_watched() {
    let no_stateful_set =
        "Service db/typo has no endpoint: no EndpointSlice lists one, and no Pod of a StatefulSet matches app=gp";
    let no_slice = "Service db/typo has no endpoint: no EndpointSlice lists one (its selector is app=gp)";
    for (selection, text) in [
        (PodSelection::All, "Service db/typo selects no Pods: none matches its selector app=gp"),
        (PodSelection::StatefulSets, no_stateful_set),
        (PodSelection::Off, no_slice),
    ] {
        let server = server(pods(selection), TYPO);
        assert_eq!(reason(&server, "typo.db").await, text);
    }
    let mut server = server(pods(PodSelection::All), TYPO);
    for _ in 0..2 {
        let watch = WatchId::new(Resource::Pods, Scope::All);
        server.index.apply(ClusterEvent::WatchStale { watch, since: Timestamp::UNIX_EPOCH });
    }
    server.apply("");
    assert_eq!(reason(&server, "typo.db").await, no_slice, "their watch is stale");
}

/// T8. The commonest mistake of all.
#[tokio::test]
async fn a_service_that_has_a_cluster_ip_is_not_said_not_to_exist() {
    let headless_only = index::Options { headless_only: true, ..index::Options::default() };
    let watched = format!(
        "{TYPO}---
kind: Pod
metadata: {{namespace: db, name: cip-0, ownerReferences: [{{kind: StatefulSet, name: cip, controller: true}}]}}
spec: {{hostname: cip-0, subdomain: cip}}
status: {{podIPs: [{{ip: 10.1.2.10}}], conditions: [{{type: Ready, status: 'True'}}]}}
"
    );
    let mut server = server(headless_only, &watched);
    let missing = "no headless Service db/cip exists (one with a cluster IP may), but Pod cip-0 of StatefulSet cip has it as \
                   its subdomain (serviceName)";
    for (name, text) in [
        ("cip.db", missing),
        ("cip-0.cip.db", missing),
        ("web.db", "there is no headless Service db/web; one with a cluster IP may exist, and is not served"),
        ("web.cache", "no headless Service in namespace cache; others may exist, and are not served"),
    ] {
        assert_eq!(reason(&server, name).await, text, "{name}");
    }
    // An API server that does not know the field selector lists all of them.
    server.apply("{kind: Service, metadata: {namespace: db, name: cip}, spec: {clusterIP: 10.96.0.9}}");
    let known = "Service db/cip is not headless, and this server serves headless Services only";
    assert_eq!(reason(&server, "cip-0.cip.db").await, known);
}

/// T8. A Pod that may be gone is not claimed to want anything.
#[tokio::test]
async fn a_reason_says_nothing_of_pods_whose_watch_is_not_up_to_date() {
    let mut server = server(pods(PodSelection::All), CLUSTER);
    assert!(reason(&server, "zk-lost.db").await.contains("but Pod zoo-0"));
    let watch = WatchId::new(Resource::Pods, Scope::All);
    for _ in 0..2 {
        server.index.apply(ClusterEvent::WatchStale { watch: watch.clone(), since: Timestamp::UNIX_EPOCH });
    }
    server.apply("");
    assert_eq!(reason(&server, "zk-lost.db").await, "there is no Service zk-lost in namespace db");
    assert_eq!(
        reason(&server, "pg-1.pg.db").await,
        "Service db/pg has no endpoint: no EndpointSlice lists one (its selector is app=pg)"
    );
    for change in [Change::RelistStarted, Change::RelistDone] {
        // Listed anew, and the watch has told so.
        server.index.apply(ClusterEvent::Pod(Scope::All, change));
    }
    server.index.apply(ClusterEvent::WatchProven(watch));
    server.apply(CLUSTER);
    assert!(reason(&server, "zk-lost.db").await.contains("but Pod zoo-0"));
}

/// T3. Of several Pods, the reason is about the one that was asked for.
#[tokio::test]
async fn a_reason_names_the_pod_that_it_is_about_among_others() {
    let pod = |name: &str, app: &str, subdomain: &str, status: &str| {
        format!(
            "---\nkind: Pod\nmetadata: {{namespace: db, name: {name}, labels: {{app: {app}}}}}\n\
             spec: {{hostname: {name}, subdomain: {subdomain}}}\nstatus: {status}\n"
        )
    };
    const READY: &str = "{podIPs: [{ip: 10.1.0.9}], conditions: [{type: Ready, status: 'True'}]}";
    const NOT_READY: &str = "{podIPs: [{ip: 10.1.0.8}], conditions: [{type: Ready, status: 'False'}]}";
    let pods_of: String = [
        pod("ant-0", "ant", "ants-lost", READY),
        pod("bee-0", "bee", "bees-lost", READY),
        pod("bee-1", "bee", "bees-lost", READY),
        pod("cat-0", "cat", "cats-lost", READY),
        pod("gp-0", "gp", "typo", NOT_READY),
        pod("gp-1", "gp", "typo", "{phase: Pending}"),
        pod("gp-2", "gp", "typo", NOT_READY),
        pod("gp-3", "wrong", "typo", READY),
    ]
    .concat();
    let server = server(pods(PodSelection::All), &format!("{TYPO}{pods_of}"));
    for (name, text) in [
        ("bees-lost", "Service db/bees-lost does not exist, but Pod bee-0 has it as its subdomain"),
        ("ant-0.ants-lost", "Service db/ants-lost does not exist, but Pod ant-0 has it as its subdomain"),
        ("cats-lost", "Service db/cats-lost does not exist, but Pod cat-0 has it as its subdomain"),
        ("gp-0.typo", "Pod db/gp-0 is not Ready"),
        ("gp-1.typo", "Pod db/gp-1 has no IP address yet"),
        ("gp-2.typo", "Pod db/gp-2 is not Ready"),
        ("gp-3.typo", "Pod db/gp-3 has subdomain typo, but does not match the selector of that Service"),
        ("gp-4.typo", "Service db/typo has no ready endpoint (0 of 3); Pod db/gp-0 is not Ready"),
    ] {
        assert_eq!(reason(&server, &format!("{name}.db")).await, text, "{name}");
    }
}

/// T8.
#[tokio::test]
async fn a_reason_is_true_of_aliases_of_families_of_ports_and_of_addresses_behind_a_cluster_ip() {
    let server = server(
        pods(PodSelection::All),
        "
kind: Service
metadata: {namespace: db, name: alias}
spec: {type: ExternalName, externalName: db.example.com, ports: [{name: sql, port: 1}]}
---
kind: EndpointSlice
metadata: {namespace: db, name: alias, labels: {kubernetes.io/service-name: alias}}
addressType: IPv4
endpoints:
- {addresses: [10.1.0.40], hostname: x, conditions: {ready: false}}
---
kind: Service
metadata: {namespace: db, name: six}
spec: {clusterIP: None, ipFamilies: [IPv6], selector: {app: six}, ports: [{name: sql, port: 5432, targetPort: sql}]}
---
kind: Pod
metadata: {namespace: db, name: six-0, labels: {app: six}}
spec: {hostname: six-0, subdomain: six}
status: {podIPs: [{ip: 10.1.0.9}], conditions: [{type: Ready, status: 'True'}]}
---
kind: Pod
metadata: {namespace: db, name: six-1, labels: {app: six}}
spec: {hostname: six-1, subdomain: six}
status: {podIPs: [{ip: 'fd00::9'}], conditions: [{type: Ready, status: 'True'}]}
---
kind: Service
metadata: {namespace: db, name: web, annotations: {headless-dns/not-ready-ordinals: 'true'}}
spec: {clusterIP: 10.96.0.10}
---
kind: EndpointSlice
metadata: {namespace: db, name: web, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints:
- {addresses: [10.1.0.30]}
- {addresses: [10.1.0.31], hostname: web-1, conditions: {ready: false}}
---
kind: Service
metadata: {namespace: db, name: name-only}
spec: {clusterIP: None}
---
kind: EndpointSlice
metadata: {namespace: db, name: name-only, labels: {kubernetes.io/service-name: name-only}}
addressType: IPv4
endpoints: []
",
    );
    for (name, text) in [
        ("x.alias.db", "Service db/alias is an alias (ExternalName): no name is below it"),
        ("_sql._tcp.alias.db", "Service db/alias is an alias (ExternalName): no name is below it"),
        ("six-0.six.db", "Pod db/six-0 has no IPv6 address, and Service six has no other family"),
        ("_sql._tcp.six.db", "Service db/six has no ready endpoint with a port _sql._tcp"),
        ("_x._tcp.web.db", "Service db/web has no port _x._tcp"),
        ("web-1.web.db", "endpoint web-1 of Service db/web is not Ready"),
        ("name-only.db", "Service db/name-only has no selector, and no EndpointSlice has an address for it"),
    ] {
        assert_eq!(reason(&server, name).await, text, "{name}");
    }
    let answer = server.ask("30.0.1.10.in-addr.arpa.", RecordType::PTR).await;
    let text = "no cluster IP and no ready endpoint of a headless Service that is served here has this address";
    assert_eq!(extended_errors(&answer), [(0, text.to_owned())], "it is an endpoint, of a Service with a cluster IP");
}
