//! Generated names: the random suffix behind a `generateName`, and hashes written in the same alphabet.

/// Characters of generated names: no vowels, so that no words appear, and no digits that look like letters.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// Characters that are added to a `generateName`.
const SUFFIX_LENGTH: usize = 5;

/// Longest part of a `generateName` that is kept, so that the result is a DNS label (RFC 1035 section 2.3.4).
const PREFIX_LIMIT: usize = 63 - SUFFIX_LENGTH;

/// A name that starts with `prefix` and is not taken. It follows from the seed alone, so that a test run can be repeated.
pub fn generate(prefix: &str, seed: u64, is_taken: impl Fn(&str) -> bool) -> String {
    let prefix: String = prefix.chars().take(PREFIX_LIMIT).collect();
    let mut attempt = 0_u64;
    loop {
        let name = format!("{prefix}{}", suffix(seed.wrapping_add(attempt << u32::BITS)));
        if !is_taken(&name) {
            return name;
        }
        attempt += 1;
    }
}

/// A 32-bit FNV-1a hash of `text`, for names such as `web-5d4c8b7f9`.
pub fn hash(text: &str) -> String {
    const FNV_OFFSET: u32 = 0x811c_9dc5;
    const FNV_PRIME: u32 = 0x0100_0193;
    let hash = text.bytes().fold(FNV_OFFSET, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(FNV_PRIME));
    hash.to_string().bytes().map(|digit| character(u64::from(digit))).collect()
}

fn suffix(seed: u64) -> String {
    let mut bits = mix(seed);
    let mut next = || {
        let character = character(bits);
        bits /= ALPHABET.len() as u64;
        character
    };
    (0..SUFFIX_LENGTH).map(|_| next()).collect()
}

fn character(index: u64) -> char {
    char::from(ALPHABET[(index % ALPHABET.len() as u64) as usize])
}

/// The finalizer of SplitMix64: every bit of the seed reaches every bit of the result.
fn mix(seed: u64) -> u64 {
    let mut bits = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_name_is_a_label_that_is_not_taken() {
        let first = generate("web-", 7, |_| false);
        let second = generate("web-", 7, |name| name == first);
        assert_ne!(first, second);
        assert_eq!(first.len(), "web-".len() + SUFFIX_LENGTH);
        assert_eq!(generate(&"a".repeat(100), 7, |_| false).len(), PREFIX_LIMIT + SUFFIX_LENGTH);
    }
}
