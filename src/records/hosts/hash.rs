//! Where the label of a host leads to.

use std::hash::BuildHasher;

use foldhash::SharedSeed;
use foldhash::fast::SeedableRandomState;

#[cfg(test)]
use crate::dns::name::Label;

/// Bits of a label's hash that a [`LabelHash`] has: as many as fit beside an address in the table's index of reverse names.
const BITS: u32 = 24;

/// The first bits of the hash of a label. They give the slot where the search for its host begins, so that an address can be
/// looked up without the label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LabelHash([u8; BITS as usize / 8]);

impl LabelHash {
    pub fn of(label: &[u8]) -> Self {
        let [first, second, third, ..] = hash(label).to_be_bytes();
        Self([first, second, third])
    }

    /// The home of such a label, of so many slots, and how many slots behind it may be the home as well: one at most, unless
    /// there are more than 2^24 of them.
    pub(super) fn homes(self, slots: usize) -> (usize, usize) {
        let [first, second, third] = self.0;
        let least = u64::from_be_bytes([first, second, third, 0, 0, 0, 0, 0]);
        let most = least | u64::MAX >> BITS;
        (home(least, slots), home(most, slots) - home(least, slots))
    }
}

#[cfg(test)]
impl LabelHash {
    /// Two labels with equal hashes. Of 20,000 labels a dozen pairs have such, as good as always.
    pub(crate) fn of_two_labels() -> [Label; 2] {
        let mut by_hash = std::collections::BTreeMap::new();
        let mut labels = (0..1_000_000).map(|number| Label::parse(&format!("db-{number}")).expect("a label"));
        let pair = labels.find_map(|label| Some([by_hash.insert(Self::of(label.as_wire()), label.clone())?, label]));
        pair.expect("so many labels do not have as many hashes")
    }
}

/// The slot that a label hashes to, of so many, and its tag.
pub(super) fn home_slot(label: &[u8], slots: usize) -> (usize, u16) {
    let hash = hash(label);
    (home(hash, slots), hash as u16)
}

/// The high half of the product: evenly distributed, rising with the hash, and always less than the number of slots. The tag has
/// the low bits.
fn home(hash: u64, slots: usize) -> usize {
    ((u128::from(hash) * slots as u128) >> u64::BITS) as usize
}

/// Differs between processes, and is the same for all Services within one, so that equal hosts are in equal slots.
fn hash(label: &[u8]) -> u64 {
    const SEED: u64 = 0;
    SeedableRandomState::with_seed(SEED, SharedSeed::global_random()).hash_one(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_home_of_a_label_is_among_those_that_its_first_bits_allow_however_many_slots_there_are() {
        for slots in [1, 2, 3, 15, 105_000, 1 << 24, 3 << 24, 1 << 40] {
            for number in 0..1_000 {
                let label = format!("\x05{number:05}").into_bytes();
                let (first, others) = LabelHash::of(&label).homes(slots);
                let (home, _) = home_slot(&label, slots);
                assert!((first..=first + others).contains(&home), "{home} in {first} and {others} of {slots}");
                assert!(others <= (slots >> BITS) + 1 && first + others < slots, "{others} of {slots}");
            }
        }
    }
}
