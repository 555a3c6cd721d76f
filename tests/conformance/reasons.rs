//! The reason for an absent name, as a client with EDNS gets it.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;

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

/// T3.
#[tokio::test]
async fn an_absent_name_is_denied_with_the_reason() {
    let mut server = Server::start(options(), LIMITS);
    server.apply(CLUSTER);
    server.writer.set_synchronised();
    for (name, reason) in [
        ("pg-1.pg", "Pod db/pg-1 has not been Ready since 2026-11-21T02:04:05Z"),
        ("pg-2.pg", "Pod db/pg-2 is terminating"),
        ("pg-3.pg", "Pod db/pg-3 has no IP address yet"),
        ("pg-4.pg", "Pod db/pg-4 has terminated and will not restart"),
        ("pg-5.pg", "Pod db/pg-5 has no subdomain: its StatefulSet sets no serviceName"),
        ("pg-6.pg", "Pod db/pg-6 has subdomain pg, but does not match the selector of that Service"),
        ("pg-7.pg", "Service db/pg has no ready endpoint pg-7"),
        ("pg-0.other", "Pod db/pg-0 has subdomain pg (the serviceName of its StatefulSet), not other"),
        ("down", "Service db/down has no ready endpoint (0 of 1); Pod db/down-0 is not Ready"),
        ("down-0.down", "Pod db/down-0 is not Ready"),
        ("down-1.down", "Service db/down has no ready endpoint (0 of 1); Pod db/down-0 is not Ready"),
        ("typo", "Service db/typo selects no Pods: none matches its selector app=gp,tier=data"),
        ("gp-0.typo", "Service db/typo selects no Pods: none matches its selector app=gp,tier=data"),
        ("bare", "Service db/bare has no selector and no EndpointSlice"),
        ("b.hand", "endpoint b of Service db/hand is not Ready"),
        ("web", "Service db/web has no cluster IP yet"),
        ("zk-lost", "Service db/zk-lost does not exist, but StatefulSet zoo sets it as its serviceName"),
        ("zoo-0.zk-lost", "Service db/zk-lost does not exist, but StatefulSet zoo sets it as its serviceName"),
        ("lone.nobody", "Service db/nobody does not exist, but Pod lone sets it as its subdomain"),
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
