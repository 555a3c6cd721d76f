//! Durations as annotations write them: `500ms`, `2s`, `1m`.

use std::time::Duration;

/// The duration that `text` names; `None`, with a warning, if it names none.
pub fn parse(text: &str) -> Option<Duration> {
    const SECONDS_PER_MINUTE: u64 = 60;
    let digits = text.trim_end_matches(|character: char| !character.is_ascii_digit());
    let number: Option<u64> = digits.parse().ok();
    let parsed = match (number, &text[digits.len()..]) {
        (Some(number), "ms") => Some(Duration::from_millis(number)),
        (Some(number), "s") => Some(Duration::from_secs(number)),
        (Some(number), "m") => number.checked_mul(SECONDS_PER_MINUTE).map(Duration::from_secs),
        _ => None,
    };
    if parsed.is_none() {
        tracing::warn!("`{text}` is no duration; write a whole number and `ms`, `s` or `m`, such as 500ms");
    }
    parsed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_whole_numbers_with_a_unit() {
        assert_eq!(parse("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse("2s"), Some(Duration::from_secs(2)));
        assert_eq!(parse("1m"), Some(Duration::from_secs(60)));
        for nonsense in ["", "s", "2", "2h", "-1s", "1.5s", "ä"] {
            assert_eq!(parse(nonsense), None, "{nonsense}");
        }
    }
}
