//! Annotations by which a Pod controls what the kubelet makes of it.

use std::net::IpAddr;
use std::time::Duration;

use crate::controllers::types::Pod;

/// `"false"` keeps a Pod from becoming Ready, or makes a Ready Pod not Ready. Any other value, or none, makes it Ready.
pub const READY_ANNOTATION: &str = "sandbox.headless-dns.io/ready";

/// The Pod's address instead of an allocated one; for dual stack one of each family, separated by a comma. Used when the Pod
/// starts.
pub const POD_IP_ANNOTATION: &str = "sandbox.headless-dns.io/pod-ip";

/// The Pod's start delay instead of the sandbox's: `500ms`, `2s`, `1m`.
pub const START_DELAY_ANNOTATION: &str = "sandbox.headless-dns.io/start-delay";

/// Whether the Pod is to be Ready.
pub fn wants_ready(pod: &Pod) -> bool {
    pod.metadata.annotations.get(READY_ANNOTATION).is_none_or(|value| value != "false")
}

/// The addresses of [`POD_IP_ANNOTATION`]; None, with a warning, if it is invalid.
pub fn addresses(pod: &Pod) -> Option<Vec<IpAddr>> {
    let text = pod.metadata.annotations.get(POD_IP_ANNOTATION)?;
    let parsed: Result<Vec<IpAddr>, _> = text.split(',').map(|address| address.trim().parse()).collect();
    if parsed.is_err() {
        let name = &pod.metadata.name;
        tracing::warn!("Pod {name}: annotation {POD_IP_ANNOTATION} ignored: `{text}` is not a list of IP addresses");
    }
    parsed.ok()
}

/// The delay of [`START_DELAY_ANNOTATION`]; None, with a warning, if it is invalid.
pub fn start_delay(pod: &Pod) -> Option<Duration> {
    let text = pod.metadata.annotations.get(START_DELAY_ANNOTATION)?;
    let parsed = parse_duration(text);
    if parsed.is_none() {
        let name = &pod.metadata.name;
        tracing::warn!(
            "Pod {name}: annotation {START_DELAY_ANNOTATION} ignored: `{text}` is not a whole number with unit ms, s or m"
        );
    }
    parsed
}

fn parse_duration(text: &str) -> Option<Duration> {
    const SECONDS_PER_MINUTE: u64 = 60;
    let digits = text.trim_end_matches(|character: char| !character.is_ascii_digit());
    let number: u64 = digits.parse().ok()?;
    match &text[digits.len()..] {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(SECONDS_PER_MINUTE).map(Duration::from_secs),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_whole_numbers_with_a_unit() {
        assert_eq!(parse_duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse_duration("2s"), Some(Duration::from_secs(2)));
        assert_eq!(parse_duration("1m"), Some(Duration::from_secs(60)));
        for invalid in ["", "s", "2", "2h", "-1s", "1.5s", "ä"] {
            assert_eq!(parse_duration(invalid), None, "{invalid}");
        }
    }
}
