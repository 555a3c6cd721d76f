//! DNS over UDP: one datagram, one answer.

use std::sync::Arc;

use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

use super::Responder;
use crate::metrics::{DropReason, Transport};
use crate::wire::MAX_MESSAGE;

/// Answers on one socket until `shutdown`.
pub(super) async fn serve(socket: UdpSocket, responder: Arc<Responder>, shutdown: CancellationToken) {
    let mut datagram = vec![0; usize::from(MAX_MESSAGE)];
    let mut answer = Vec::new();
    loop {
        let received = tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            received = socket.recv_from(&mut datagram) => received,
        };
        // An error here is news of an earlier datagram that could not be delivered (ICMP): it concerns no later one.
        let Ok((length, client)) = received else { continue };
        answer.clear();
        if responder.respond(&datagram[..length], client, Transport::Udp, &mut answer)
            && socket.send_to(&answer, client).await.is_err()
        {
            responder.metrics().dropped(DropReason::SendFailed);
        }
    }
}
