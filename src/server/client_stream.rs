//! An accepted connection, and the place that it has within the limits.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

use super::delivery::{deliver, is_undelivered, reset};
use super::limits::Permit;

/// A TCP connection. Once it is dropped, its place is free as soon as the client has taken what was sent to it, or another
/// connection has the place.
#[derive(Debug)]
pub(super) struct ClientStream {
    stream: TcpStream,
    place: Arc<Permit>,
}

impl ClientStream {
    pub fn new(stream: TcpStream, place: Permit) -> Self {
        Self { stream, place: Arc::new(place) }
    }

    /// The place of this connection.
    pub fn place(&self) -> Arc<Permit> {
        Arc::clone(&self.place)
    }

    /// Records that something was written: there was a query, and room for its answer.
    fn progress(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(written, Poll::Ready(Ok(1..))) {
            self.place.has_progress();
        }
        written
    }
}

impl Drop for ClientStream {
    fn drop(&mut self) {
        if !is_undelivered(&self.stream) {
            return;
        }
        let stream = SockRef::from(&self.stream);
        match (Handle::try_current(), stream.try_clone()) {
            (Ok(runtime), Ok(stream)) if !self.place.is_displaced() => {
                let place = Arc::clone(&self.place);
                runtime.spawn(async move {
                    tokio::select! {
                        () = deliver(&stream, place.idle()) => {}
                        () = place.displaced() => reset(&stream),
                    }
                });
            }
            _ => reset(&stream),
        }
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, octets);
        self.progress(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, octets);
        self.progress(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
