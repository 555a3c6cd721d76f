//! dnstap: frames to a collector, over a Unix socket or TCP, in Frame Streams (`frame_streams.rs`).
//!
//! A collector that is not there is tried again and again; what is seen meanwhile fills the lanes, and then is left out.

use std::fmt;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::frame_streams::{ACCEPT, FINISH, READY, START, STOP, control, expect};
use super::lanes::{Receivers, Senders, Weighed, lanes};
use super::{END, Seen, message};
use crate::telemetry::metrics::Metrics;

/// How long a collector may take for a connection, and for a control frame.
const PATIENCE: Duration = Duration::from_secs(5);
/// The pause before a collector is tried again; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// Where frames are sent: `unix:PATH`, `tcp:ADDRESS:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Collector {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

impl Collector {
    /// Reads a collector as it is configured.
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once(':')? {
            ("unix", path) if !path.is_empty() => Some(Self::Unix(path.into())),
            ("tcp", address) => address.parse().ok().map(Self::Tcp),
            _ => None,
        }
    }
}

impl fmt::Display for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
        }
    }
}

/// Makes frames.
#[derive(Debug)]
pub(super) struct Dnstap {
    head: Box<[u8]>,
    frames: Senders<Frame>,
    metrics: Arc<Metrics>,
}

/// Sends them.
pub(super) struct FrameSender {
    collector: Collector,
    frames: Receivers<Frame>,
    /// What is being sent.
    taken: Vec<Frame>,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Frame(Vec<u8>);

impl Weighed for Frame {
    fn octets(&self) -> usize {
        self.0.capacity() + size_of::<Self>()
    }
}

/// A connection of either kind.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Dnstap {
    pub fn new(collector: Collector, identity: String, count: usize, metrics: Arc<Metrics>) -> (Self, FrameSender) {
        let (senders, frames) = lanes(count);
        let sender = FrameSender { collector, frames, taken: Vec::new(), metrics: Arc::clone(&metrics) };
        (Self { head: message::head(&identity), frames: senders, metrics }, sender)
    }

    pub fn see(&self, lane: usize, seen: &Seen<'_>) {
        if !self.frames.put(lane, || Frame(message::encode(&self.head, seen, SystemTime::now()))) {
            self.metrics.taps().frames_dropped(1);
        }
    }
}

impl FrameSender {
    /// Sends until there will be no more, or until `stop`, and then what waits, as far as the collector takes it by the end.
    pub async fn run(mut self, stop: CancellationToken) {
        let end = async {
            stop.cancelled().await;
            sleep(END).await;
        };
        tokio::select! {
            () = self.send(&stop) => {}
            () = end => {}
        }
        self.frames.close();
        while self.frames.take(&mut self.taken).await {}
        self.metrics.taps().frames_dropped(self.taken.len() as u64);
    }

    async fn send(&mut self, stop: &CancellationToken) {
        let mut pause = FIRST_PAUSE;
        let mut known_problem = None;
        loop {
            let error = match timeout(PATIENCE, self.connect()).await {
                Ok(Ok(stream)) => {
                    tracing::info!(collector = %self.collector, "dnstap frames are taken");
                    let began = Instant::now();
                    match self.send_all(stream, stop).await {
                        Ok(()) => return,
                        // One that ends each connection at once is tried no more often than one that is not there.
                        Err(error) if began.elapsed() < LONGEST_PAUSE => error,
                        Err(error) => {
                            (pause, known_problem) = (FIRST_PAUSE, None);
                            error
                        }
                    }
                }
                Ok(Err(error)) => error,
                Err(_) => io::ErrorKind::TimedOut.into(),
            };
            // Logged once, not at every attempt.
            let problem = Some(error.to_string());
            if problem != known_problem {
                tracing::warn!(collector = %self.collector, %error, "no collector takes dnstap frames; retrying");
                known_problem = problem;
            }
            if stop.run_until_cancelled(sleep(pause)).await.is_none() || self.frames.are_closed() {
                return;
            }
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        let mut stream: Box<dyn Stream> = match &self.collector {
            Collector::Unix(path) => Box::new(UnixStream::connect(path).await?),
            Collector::Tcp(address) => Box::new(TcpStream::connect(address).await?),
        };
        stream.write_all(&control(READY)).await?;
        expect(&mut stream, ACCEPT).await?;
        stream.write_all(&control(START)).await?;
        Ok(stream)
    }

    /// Sends frames until there will be no more.
    ///
    /// # Errors
    /// The collector takes no more. What it was being sent is lost.
    async fn send_all(&mut self, mut stream: Box<dyn Stream>, stop: &CancellationToken) -> io::Result<()> {
        let (mut octets, mut is_stalled) = (Vec::new(), false);
        loop {
            let taken = tokio::select! {
                // First: what waits can be sent to the next one.
                biased;
                error = ended(&mut stream) => return Err(error),
                taken = stop.run_until_cancelled(self.frames.take(&mut self.taken)) => taken,
            };
            let goes_on = match taken {
                Some(goes_on) => goes_on,
                None => {
                    self.frames.close();
                    self.frames.take(&mut self.taken).await
                }
            };
            octets.clear();
            for Frame(frame) in &self.taken {
                // A frame has two messages of at most 65,535 octets.
                octets.extend_from_slice(&(frame.len() as u32).to_be_bytes());
                octets.extend_from_slice(frame);
            }
            let sent = self.write(&mut stream, &octets, &mut is_stalled).await;
            let count = self.taken.len() as u64;
            self.taken.clear();
            if let Err(error) = sent {
                self.metrics.taps().frames_dropped(count);
                return Err(error);
            }
            self.metrics.taps().frames_sent(count);
            if !goes_on {
                stream.write_all(&control(STOP)).await?;
                // Whether it has understood does not matter any more.
                let _ = timeout(PATIENCE, expect(&mut stream, FINISH)).await;
                return Ok(());
            }
        }
    }

    /// Writes for as long as that takes. That a collector stalls is logged once, and that it does so no more.
    async fn write(&self, stream: &mut Box<dyn Stream>, octets: &[u8], is_stalled: &mut bool) -> io::Result<()> {
        let mut writing = pin!(stream.write_all(octets));
        if let Ok(written) = timeout(PATIENCE, &mut writing).await {
            if mem::take(is_stalled) {
                tracing::info!(collector = %self.collector, "the dnstap collector keeps up again");
            }
            return written;
        }
        if !mem::replace(is_stalled, true) {
            tracing::warn!(collector = %self.collector, "the dnstap collector stalls; frames are left out");
        }
        writing.await
    }
}

/// Waits until the collector takes no more. It has nothing to say before it is told the end.
async fn ended(stream: &mut Box<dyn Stream>) -> io::Error {
    match stream.read_u8().await {
        Ok(_) => io::Error::new(io::ErrorKind::InvalidData, "it speaks before the end"),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            io::Error::new(io::ErrorKind::ConnectionAborted, "it has closed the connection")
        }
        Err(error) => error,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;
    use crate::dns::wire::Rcode;
    use crate::telemetry::metrics::{Exporter, Format, Transport};

    /// Frames of two queries, on their way to nobody, and no more.
    fn two_frames() -> (FrameSender, Arc<Metrics>) {
        let (_, sender, metrics) = first_frames();
        (sender, metrics)
    }

    /// Those of two queries, of which there may be more.
    fn first_frames() -> (Dnstap, FrameSender, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::new());
        let nobody = Collector::Unix("/nonexistent/dnstap.sock".into());
        let (dnstap, sender) = Dnstap::new(nobody, String::new(), 1, Arc::clone(&metrics));
        let (client, rcode, took) = ("192.0.2.7:5353".parse().expect("an address"), Rcode::NoError, Duration::ZERO);
        for query in [&[1; 12], &[2; 12]] {
            dnstap.see(0, &Seen { transport: Transport::Udp, client, query, response: query, rcode, took });
        }
        (dnstap, sender, metrics)
    }

    /// Frames that were taken, and that were left out.
    fn counts(metrics: &Arc<Metrics>) -> [u64; 2] {
        let text = Exporter::new(Arc::clone(metrics)).encode(Format::Prometheus).expect("text");
        ["headless_dns_dnstap_frames_total ", "headless_dns_dnstap_dropped_total "].map(|metric| {
            let value = text.lines().find_map(|line| line.strip_prefix(metric)).expect("a metric");
            value.parse().expect("a number")
        })
    }

    #[tokio::test]
    async fn a_collector_gets_every_frame_once_and_then_the_end() {
        let ((mut sender, metrics), stop) = (two_frames(), CancellationToken::new());
        let (stream, mut collector) = duplex(4096);
        stop.cancel();
        let collected = async {
            let mut frames = Vec::new();
            loop {
                let length = collector.read_u32().await.expect("a length");
                if length == 0 {
                    break;
                }
                let mut frame = vec![0; length as usize];
                collector.read_exact(&mut frame).await.expect("a frame");
                frames.push(frame);
            }
            let mut end = [0; 8];
            collector.read_exact(&mut end).await.expect("a control frame");
            assert_eq!(end, [0, 0, 0, 4, 0, 0, 0, STOP as u8]);
            collector.write_all(&control(FINISH)).await.expect("taken");
            frames
        };
        let (sent, frames) = tokio::join!(sender.send_all(Box::new(stream), &stop), collected);
        sent.expect("it takes them");
        let holds = |frame: &Vec<u8>, query: u8| frame.windows(12).any(|octets| octets == [query; 12]);
        assert!(frames.len() == 2 && holds(&frames[0], 1) && holds(&frames[1], 2), "{frames:?}");
        assert_eq!(counts(&metrics), [2, 0]);
    }

    #[tokio::test]
    async fn frames_that_a_collector_does_not_take_are_counted() {
        let ((mut sender, metrics), stop) = (two_frames(), CancellationToken::new());
        let (stream, mut collector) = duplex(8);
        let breaks_off = async {
            collector.read_u32().await.expect("the length of a frame");
            drop(collector);
        };
        let (sent, ()) = tokio::join!(sender.send_all(Box::new(stream), &stop), breaks_off);
        assert!(sent.is_err());
        assert_eq!(counts(&metrics), [0, 2], "it broke off");

        let (mut sender, metrics) = two_frames();
        let (stream, collector) = duplex(8);
        drop(collector);
        assert!(sender.send_all(Box::new(stream), &stop).await.is_err());
        assert_eq!(counts(&metrics), [0, 0], "it has gone before, and they wait for the next");

        let (sender, metrics) = two_frames();
        stop.cancel();
        sender.run(stop).await;
        assert_eq!(counts(&metrics), [0, 2], "it was never there");
    }

    /// It has nothing to take meanwhile.
    #[tokio::test]
    async fn a_collector_that_goes_is_noticed_before_the_next_query() {
        let (_dnstap, mut sender, metrics) = first_frames();
        let (stream, mut collector) = duplex(4096);
        let stop = CancellationToken::new();
        let goes = async {
            let mut frames = vec![0; 64];
            collector.read_exact(&mut frames).await.expect("frames");
            drop(collector);
        };
        let (sent, ()) = tokio::join!(sender.send_all(Box::new(stream), &stop), goes);
        assert_eq!(sent.expect_err("it is gone").to_string(), "it has closed the connection");
        assert_eq!(counts(&metrics), [2, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_collector_that_ends_each_connection_at_once_is_tried_seldom_and_logged_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let listener = tokio::net::UnixListener::bind(&path).expect("a socket");
        let metrics = Arc::new(Metrics::new());
        let (dnstap, sender) = Dnstap::new(Collector::Unix(path), String::new(), 1, metrics);
        let (client, rcode, took) = ("192.0.2.7:5353".parse().expect("an address"), Rcode::NoError, Duration::ZERO);
        let query = &[1; 12];
        let stop = CancellationToken::new();
        let sending = tokio::spawn(sender.run(stop.clone()));
        let mut connected = Vec::new();
        while connected.len() < 8 {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            connected.push(Instant::now());
            stream.write_all(&control(ACCEPT)).await.expect("sent");
            let mut start = vec![0; control(READY).len() + control(START).len()];
            stream.read_exact(&mut start).await.expect("its start");
            drop(stream);
            dnstap.see(0, &Seen { transport: Transport::Udp, client, query, response: query, rcode, took });
        }
        let pauses: Vec<_> = connected.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(pauses[6] >= LONGEST_PAUSE, "{pauses:?}");
        stop.cancel();
        sending.await.expect("no panic");
    }

    #[test]
    fn collectors_are_read_as_they_are_written() {
        for text in ["unix:/run/dnstap.sock", "tcp:127.0.0.1:6000", "tcp:[::1]:6000"] {
            assert_eq!(Collector::parse(text).expect(text).to_string(), text);
        }
        for text in ["", "unix:", "tcp:localhost:6000", "tcp:127.0.0.1", "/run/dnstap.sock", "udp:127.0.0.1:1"] {
            assert_eq!(Collector::parse(text), None, "{text}");
        }
    }
}
