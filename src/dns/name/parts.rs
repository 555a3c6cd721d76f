//! Names that are put together from pieces when they are written, so that no table holds them whole.

use super::{MAX_NAME, Name};

/// An absolute name as consecutive pieces of wire form, the root label at the end of the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameParts<'t>(pub [&'t [u8]; 4]);

impl<'t> NameParts<'t> {
    /// A name in one piece.
    pub fn whole(name: &'t Name) -> Self {
        Self([name.as_wire(), &[], &[], &[]])
    }

    /// Length of the name in octets, uncompressed.
    pub fn wire_len(&self) -> usize {
        self.0.iter().map(|part| part.len()).sum()
    }

    /// The name, or None if the pieces make one longer than a name may be: long labels below a long zone do.
    pub fn checked(self) -> Option<Self> {
        (self.wire_len() <= MAX_NAME).then_some(self)
    }
}
