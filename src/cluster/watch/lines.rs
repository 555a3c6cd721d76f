//! The lines of a watch, as far as to tell events and bookmarks from anything else: one JSON object each, of which the API
//! server writes `type` first (`WatchEvent` in `apimachinery/pkg/apis/meta/v1`).

/// The beginning of a line that is an event or a bookmark.
const BEGINNINGS: [&[u8]; 4] =
    [b"{\"type\":\"ADDED\"", b"{\"type\":\"MODIFIED\"", b"{\"type\":\"DELETED\"", b"{\"type\":\"BOOKMARK\""];
/// Octets of the longest of them.
const LONGEST: usize = BEGINNINGS[1].len();

/// What has come of the current line, whose octets come in frames.
#[derive(Debug, Default)]
pub(super) struct Lines {
    beginning: [u8; LONGEST],
    /// Octets of `beginning` that have come.
    length: usize,
}

impl Lines {
    /// Takes a frame. Returns whether an event or a bookmark is complete with it.
    pub fn tell(&mut self, frame: &[u8]) -> bool {
        let mut is_told = false;
        for (number, part) in frame.split(|octet| *octet == b'\n').enumerate() {
            if number > 0 {
                is_told |= BEGINNINGS.iter().any(|known| self.beginning[..self.length].starts_with(known));
                self.length = 0;
            }
            let taken = part.len().min(LONGEST - self.length);
            self.beginning[self.length..self.length + taken].copy_from_slice(&part[..taken]);
            self.length += taken;
        }
        is_told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T4.
    #[test]
    fn events_and_bookmarks_are_told_from_errors_pages_and_noise_however_they_are_cut() {
        let words = ["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
            .map(|kind| format!("{{\"type\":\"{kind}\",\"object\":{{}}}}\n"));
        let noise = [
            "{\"type\":\"ERROR\",\"object\":{\"type\":\"ADDED\"}}\n",
            "<html>\n{\n",
            "\n\n",
            "{\"kind\":\"Status\"}\n",
        ];
        for frame_length in 1..40 {
            let told = |text: &str, lines: &mut Lines| {
                text.as_bytes().chunks(frame_length).filter(|frame| lines.tell(frame)).count()
            };
            let mut lines = Lines::default();
            for (word, noise) in words.iter().zip(noise) {
                assert_eq!(told(noise, &mut lines), 0, "{noise:?} in frames of {frame_length}");
                assert_eq!(told(word, &mut lines), 1, "{word:?} in frames of {frame_length}");
            }
        }
    }

    #[test]
    fn a_frame_of_several_lines_is_told_by_any_of_them_and_half_an_event_is_none() {
        let mut lines = Lines::default();
        assert!(lines.tell(b"noise\n{\"type\":\"ADDED\",\"object\":{}}\nnoise\n{\"type\":\"MODI"));
        assert!(!lines.tell(b"FIED\",\"object\":{}}"));
        assert!(lines.tell(b"\n"));
    }
}
