//! The body of a watch, cut into frames: lines of JSON, or Protobuf of which each frame has its length before it, in four octets in
//! network byte order (`LengthDelimitedFramer` in `apimachinery/pkg/runtime/serializer/protobuf`).

use std::ops::Range;

use super::ApiError;
use crate::cluster::decoding::Encoding;

/// Octets of the longest frame. etcd limits an object to 1.5 MiB unless it is told otherwise, in Protobuf; JSON has at most a few times as many.
const MAX_FRAME: usize = 32 << 20;
/// Octets of the buffer that are kept while nothing is in it. Frames of most events are shorter.
const KEPT: usize = 64 << 10;
/// Octets of the length of a frame.
const LENGTH: usize = size_of::<u32>();

/// What has come of the body and is not yet read.
#[derive(Debug)]
pub(super) struct Frames {
    encoding: Encoding,
    octets: Vec<u8>,
    /// Where the next frame begins.
    start: usize,
    /// Up to where there is no end of a line.
    searched: usize,
}

impl Frames {
    pub fn new(encoding: Encoding) -> Self {
        Self { encoding, octets: Vec::new(), start: 0, searched: 0 }
    }

    /// Takes what has come.
    pub fn push(&mut self, data: &[u8]) {
        if self.start == self.octets.len() {
            self.octets.clear();
            // A list is over: what comes is short.
            if self.octets.capacity() > KEPT && data.len() <= KEPT {
                self.octets = Vec::new();
            }
        } else {
            self.octets.drain(..self.start);
        }
        self.searched = self.searched.saturating_sub(self.start);
        self.start = 0;
        self.octets.extend_from_slice(data);
    }

    /// The next whole frame. None if there is none yet.
    pub fn next(&mut self) -> Result<Option<&[u8]>, ApiError> {
        let frame = match self.encoding {
            Encoding::Json => self.line(),
            Encoding::Protobuf => self.delimited()?,
        };
        if frame.is_none() && self.octets.len() - self.start > MAX_FRAME {
            return Err(ApiError::TooLong);
        }
        Ok(frame.map(|frame| &self.octets[frame]))
    }

    /// The next line that is not empty.
    fn line(&mut self) -> Option<Range<usize>> {
        loop {
            let from = self.start.max(self.searched);
            let Some(length) = memchr::memchr(b'\n', &self.octets[from..]) else {
                self.searched = self.octets.len();
                return None;
            };
            let line = self.start..from + length;
            self.start = line.end + 1;
            if !line.is_empty() {
                return Some(line);
            }
        }
    }

    fn delimited(&mut self) -> Result<Option<Range<usize>>, ApiError> {
        let Some((length, rest)) = self.octets[self.start..].split_first_chunk::<LENGTH>() else { return Ok(None) };
        let length = u32::from_be_bytes(*length) as usize;
        if length > MAX_FRAME {
            return Err(ApiError::TooLong);
        }
        if rest.len() < length {
            return Ok(None);
        }
        let start = self.start + LENGTH;
        self.start = start + length;
        Ok(Some(start..start + length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(encoding: Encoding, body: &[u8], chunk: usize) -> Vec<Vec<u8>> {
        let (mut frames, mut found) = (Frames::new(encoding), Vec::new());
        for data in body.chunks(chunk) {
            frames.push(data);
            while let Some(frame) = frames.next().unwrap() {
                found.push(frame.to_vec());
            }
        }
        found
    }

    #[test]
    fn frames_are_the_same_however_they_are_cut() {
        let long = vec![b'x'; 3000];
        let json = [b"{}\n\n{\"a\":1}\n", &*long, b"\n{\"half\":"].concat();
        let protobuf =
            [&[0, 0, 0, 2], &b"hi"[..], &[0, 0, 0, 0], &[0, 0, 0x0b, 0xb8], &long, &[0, 0, 0, 9], b"half"].concat();
        for chunk in (1..40).chain([1000, 10_000]) {
            assert_eq!(frames(Encoding::Json, &json, chunk), [b"{}".to_vec(), b"{\"a\":1}".to_vec(), long.clone()]);
            assert_eq!(frames(Encoding::Protobuf, &protobuf, chunk), [b"hi".to_vec(), vec![], long.clone()]);
        }
    }

    #[test]
    fn a_frame_that_would_never_end_is_refused_before_it_is_stored() {
        let mut frames = Frames::new(Encoding::Protobuf);
        frames.push(&[0xff; 5]);
        assert!(matches!(frames.next(), Err(ApiError::TooLong)));
        let mut frames = Frames::new(Encoding::Json);
        frames.push(&vec![b'x'; MAX_FRAME + 1]);
        assert!(matches!(frames.next(), Err(ApiError::TooLong)));
    }

    #[test]
    fn the_buffer_of_a_list_is_given_back() {
        let mut frames = Frames::new(Encoding::Json);
        frames.push(&[&vec![b'x'; KEPT * 4][..], b"\n"].concat());
        assert!(frames.next().unwrap().is_some());
        frames.push(b"{}\n");
        assert!(frames.octets.capacity() <= KEPT && frames.next().unwrap() == Some(b"{}"));
    }
}
