//! Frame Streams: what is said before and after the frames (fstrm's protocol of two directions).
//!
//! ```text
//! READY ─▶            what is offered
//!       ◀─ ACCEPT
//! START ─▶ frame frame …   length, octets
//! STOP  ─▶
//!       ◀─ FINISH
//! ```

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// What the frames are: the content type of dnstap.
const CONTENT_TYPE: &[u8] = b"protobuf:dnstap.Dnstap";
/// Types of control frames.
pub(super) const ACCEPT: u32 = 1;
pub(super) const START: u32 = 2;
pub(super) const STOP: u32 = 3;
pub(super) const READY: u32 = 4;
pub(super) const FINISH: u32 = 5;
/// The one field of a control frame that is used.
const FIELD_CONTENT_TYPE: u32 = 1;
/// Octets of a control frame at most (fstrm, `FSTRM_CONTROL_FRAME_LENGTH_MAX`).
const MOST_CONTROL: u32 = 512;

/// A control frame: an escape (a length of zero), its length, its type, and the content type where that belongs.
pub(super) fn control(kind: u32) -> Vec<u8> {
    let mut body = kind.to_be_bytes().to_vec();
    if kind != STOP {
        body.extend_from_slice(&FIELD_CONTENT_TYPE.to_be_bytes());
        body.extend_from_slice(&(CONTENT_TYPE.len() as u32).to_be_bytes());
        body.extend_from_slice(CONTENT_TYPE);
    }
    [&[0; 4], &(body.len() as u32).to_be_bytes()[..], &body].concat()
}

/// Reads a control frame of this type.
///
/// # Errors
/// Something else comes, or nothing more; or an ACCEPT of other frames.
pub(super) async fn expect(stream: &mut (impl AsyncRead + Unpin), kind: u32) -> io::Result<()> {
    let unexpected = || io::Error::new(io::ErrorKind::InvalidData, "it does not speak Frame Streams");
    if stream.read_u32().await? != 0 {
        return Err(unexpected());
    }
    let length = stream.read_u32().await?;
    if !(4..=MOST_CONTROL).contains(&length) {
        return Err(unexpected());
    }
    let mut body = vec![0; length as usize];
    stream.read_exact(&mut body).await?;
    let is_kind = body.starts_with(&kind.to_be_bytes());
    if !is_kind {
        return Err(unexpected());
    }
    // An ACCEPT names what is accepted. One that names nothing accepts everything.
    let names_others = kind == ACCEPT && body.len() > 4;
    if names_others && !body.windows(CONTENT_TYPE.len()).any(|window| window == CONTENT_TYPE) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it takes frames of another content type than dnstap's",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_collector_has_to_accept_what_it_is_offered() {
        let other = [&[0, 0, 0, 0, 0, 0, 0, 14, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2][..], b"xy"].concat();
        let http = b"HTTP/1.0 400 Bad Request\r\n".to_vec();
        let bare = vec![0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 1];
        for (said, is_accepted) in
            [(control(ACCEPT), true), (bare, true), (control(FINISH), false), (other, false), (http, false)]
        {
            assert_eq!(expect(&mut &said[..], ACCEPT).await.is_ok(), is_accepted, "{said:?}");
        }
    }
}
