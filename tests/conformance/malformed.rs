//! Ten thousand malformed messages over UDP and TCP: each gets what the rules of the wire say (W1 to W5, by the oracle),
//! and valid queries beside them are answered.

use crate::support::common::{LIMITS, Server, options};
use crate::support::malformed::{CLUSTER, Client, MESSAGES, Random, pester};

/// W1, W2, W3, W4, W5.
#[tokio::test]
async fn ten_thousand_malformed_messages_get_what_the_rules_say_and_valid_queries_are_answered_beside_them() {
    let mut server = Server::start(options(), LIMITS);
    server.apply(CLUSTER);
    server.writer.set_synchronised();
    for (is_stream, seed) in [(false, 1), (true, 2)] {
        // One after the other: a connection that waits for as long as the other takes may be closed meanwhile.
        let mut client = if is_stream { Client::tcp(server.address).await } else { Client::udp(server.address).await };
        let tally = pester(&mut client, &mut Random(seed)).await;
        let most = [tally.dropped, tally.refused, tally.answered].into_iter().min();
        assert!(most >= Some(MESSAGES / 20), "some of each: {tally:?}");
    }
}
