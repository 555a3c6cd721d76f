//! Long pages, and clients that read them slowly or not at all.

use serde_json::Value;
use tokio::net::TcpSocket;
use tokio::time::Instant;

use super::*;
use crate::admin::records_page::RecordsPage;
use crate::admin::views::RecordsQuery;
use crate::records::Hosts;

/// The headless Service `namespace/big`, whose records fill several parts of a page.
fn big(namespace: &str) -> Publication {
    let host = |i: u32| (label(&format!("big-{i}")).as_wire().to_vec(), [(0x0a01_0000_u32 + i).to_be_bytes().into()]);
    let records = ServiceRecords {
        hosts: Hosts::from_iter((0..BIG as u32).map(host)),
        ..ServiceRecords::empty(ServiceKind::Headless)
    };
    (ServiceKey::new(&label(namespace), &label("big")), Some(records))
}

/// Its endpoints.
const BIG: usize = 4000;

/// A client that asks for a page and reads nothing of it.
async fn asks_and_reads_nothing(address: SocketAddr, target: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("an option");
    let mut stream = socket.connect(address).await.expect("connected");
    stream.write_all(format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).await.expect("sent");
    // Its response has begun.
    stream.peek(&mut [0]).await.expect("a response");
    stream
}

#[tokio::test]
async fn a_third_reader_of_records_is_told_to_come_back_and_is_served_when_one_has_gone() {
    let mut admin = Running::start().await;
    admin.writer.publish([big("c")]);
    let zone = "/zone?name=cluster.local";
    let first = asks_and_reads_nothing(admin.address, zone).await;
    let _second = asks_and_reads_nothing(admin.address, "/records?limit=5000").await;
    for target in [zone, "/records"] {
        let (status, head, body) = admin.get(target, "").await;
        assert_eq!(status, 503, "{body}");
        assert!(head.contains("retry-after: 5") && body.starts_with("busy: two other clients"), "{head} {body}");
    }
    assert_eq!(admin.get("/explain?name=x.a.svc.cluster.local", "").await.0, 200);
    drop(first);
    while admin.get(zone, "").await.0 == 503 {}
}

/// With the clock paused, time passes as soon as everybody waits.
#[tokio::test(start_paused = true)]
async fn readers_that_take_nothing_lose_their_places() {
    let mut admin = Running::start().await;
    admin.writer.publish([big("c")]);
    let zone = "/zone?name=cluster.local";
    let began = Instant::now();
    let _readers =
        [asks_and_reads_nothing(admin.address, zone).await, asks_and_reads_nothing(admin.address, zone).await];
    assert_eq!(admin.get(zone, "").await.0, 503);
    while admin.get(zone, "").await.0 == 503 {
        sleep(Duration::from_secs(1)).await;
    }
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "{:?}: sooner than the lifetime of a connection",
        began.elapsed()
    );
}

#[tokio::test]
async fn pages_of_many_parts_are_whole() {
    let mut admin = Running::start().await;
    admin.writer.publish([big("a0"), big("c")]);
    let page = admin.page("/records").await;
    assert_eq!(keys(&page), ["a/x", "a/y", "a0/big", "b/x", "c/big"]);
    let names = page["services"][2]["names"].as_array().expect("names");
    assert_eq!(names.len(), 2 * BIG, "each endpoint and its address");
    let (_, _, file) = admin.get("/zone?name=cluster.local", "").await;
    assert_eq!(file.lines().filter(|line| line.starts_with("big-")).count(), 2 * BIG);
    let (_, _, file) = admin.get("/zone?name=in-addr.arpa", "").await;
    // The three of the other Services, and those that both big ones have.
    assert_eq!(file.lines().filter(|line| line.contains("\tPTR\t")).count(), 3 + 2 * BIG);
}

/// The parts of a page may be far apart, and the table changes meanwhile.
#[tokio::test]
async fn a_service_that_goes_while_it_is_read_leaves_a_page_that_can_be_parsed() {
    let mut admin = Running::start().await;
    admin.writer.publish([big("a0")]);
    let records = Records::new(Arc::new(authority()), admin.reader.clone());
    for limit in [3, 5] {
        let mut parts = RecordsPage::new(records.clone(), RecordsQuery::default(), limit);
        let mut text = parts.next().expect("a part");
        admin.writer.publish([(big("a0").0, None)]);
        text.extend(parts);
        let page: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let expected = ["a/x", "a/y", "a0/big", "b/x"];
        assert_eq!(keys(&page), expected[..limit.min(4)]);
        assert_eq!(page["continue"].as_str(), (limit == 3).then_some("a0/big"));
        admin.writer.publish([big("a0")]);
    }
}
