//! What a reload makes of upstreams that there were not at the start, and of those that fail.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;

use super::reload::Configured;
use crate::support::common::{exchange, query};
use crate::support::peers::{free_address, until};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_off_at_the_start_needs_a_restart_and_is_not_on_by_half() {
    let server = Configured::start("").await;
    let said = server
        .reload("forward = ['127.0.0.1:9']\ntransfer_clients = ['127.0.0.0/8']\nnotify = ['127.0.0.1:9']\nttl = 9\n");
    assert_eq!(said, "reloaded: changed ttl; needs a restart: forward, transfer_clients, notify\n");
    let refused = server.ask("a.example.", RecordType::A).await;
    assert_eq!(refused.metadata.response_code, ResponseCode::Refused);
    let transfer = query("cluster.local.", RecordType::AXFR);
    let refused = exchange(server.program.dns, &transfer, true).await.expect("an answer");
    assert_eq!(refused.metadata.response_code, ResponseCode::Refused);
    server.end().await;
}

/// F6.
#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_fails_is_known_to_fail_after_a_reload_too() {
    let nobody = free_address();
    let forward = format!("forward = ['{nobody}']\n");
    let server = Configured::start(&forward).await;
    let is_failing = || {
        let failing = format!("headless_dns_forward_healthy{{to=\"{nobody}\"}} 0.0\n");
        server.program.page("/metrics").1.contains(&failing)
    };
    until("it is known to fail", || is_failing().then_some(()));
    assert_eq!(server.reload(&format!("{forward}forward_timeout = 2\n")), "reloaded: changed forward_timeout\n");
    assert!(is_failing());
    server.end().await;
}
