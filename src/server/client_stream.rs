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

/// A TCP connection. Once it is dropped, its place is free as soon as the client has taken what was sent to it.
#[derive(Debug)]
pub(super) struct ClientStream {
    stream: TcpStream,
    place: Arc<Permit>,
}

impl ClientStream {
    pub fn new(stream: TcpStream, place: Permit) -> Self {
        Self { stream, place: Arc::new(place) }
    }
}

impl Drop for ClientStream {
    fn drop(&mut self) {
        if !is_undelivered(&self.stream) {
            return;
        }
        let stream = SockRef::from(&self.stream);
        match (Handle::try_current(), stream.try_clone()) {
            (Ok(runtime), Ok(stream)) => {
                let place = Arc::clone(&self.place);
                runtime.spawn(async move { deliver(&stream, place.idle()).await });
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
        Pin::new(&mut self.stream).poll_write(context, octets)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, octets)
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
