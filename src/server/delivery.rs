//! The end of a connection: the kernel keeps nothing of it for long.
//!
//! What the client of a closed connection has not taken yet stays in the kernel, which goes on offering it for minutes. It counts
//! against the memory limit of a container, and a client that asks, takes nothing and connects anew would make it pile up. So a
//! connection keeps its place within the limits until its client has taken everything. One that takes nothing any more is reset:
//! then the kernel drops the rest.

use std::net::Shutdown;
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::Socket;
use tokio::time::{Instant, sleep};

use super::sys;

/// How long a client may take nothing of what is left for it: many round trips.
const STALLED: Duration = Duration::from_millis(500);
/// The first pause between two looks at what is left, and the longest: each is twice the one before it.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
/// What is left when the client has taken all octets: the end of the stream.
const END: usize = 1;

/// Whether the client of a stream has not taken yet what was sent to it. Where the kernel does not tell, it has.
pub(super) fn is_undelivered(stream: impl AsFd) -> bool {
    sys::undelivered(stream.as_fd()).is_ok_and(|octets| octets > 0)
}

/// Ends a stream and waits until its client has taken everything. If it takes nothing for a while, or has not taken all within
/// `patience`, the stream is reset when it is dropped.
pub async fn deliver(stream: &Socket, patience: Duration) {
    // The client may have gone.
    let _ = stream.shutdown(Shutdown::Write);
    let deadline = Instant::now() + patience;
    let (mut least, mut stalled, mut pause) = (usize::MAX, Instant::now() + STALLED, FIRST_PAUSE);
    loop {
        let now = Instant::now();
        match sys::undelivered(stream.as_fd()) {
            Ok(left) if left > END => {
                if left < least {
                    (least, stalled) = (left, now + STALLED);
                }
            }
            Ok(_) | Err(_) => return,
        }
        if now >= stalled.min(deadline) {
            return reset(stream);
        }
        sleep(pause).await;
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

/// Makes a stream be reset when its last handle is dropped, whatever its client has not taken.
pub fn reset(stream: &Socket) {
    // If this fails, the kernel keeps the rest for some minutes.
    let _ = stream.set_linger(Some(Duration::ZERO));
}
