//! Taking a message apart without an index that could be wrong.
//! Knows lengths and numbers, not what they mean.
//! Start at [`Reader::vec16`].

/// What is left of the bytes of a message that has come whole: what is missing here is missing for good.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(n)?;
        self.rest = rest;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*taken)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn number(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// A vector behind a length of one byte (RFC 8446 §3.4).
    pub(super) fn vec8(&mut self) -> Option<Self> {
        let n = self.byte()?;
        self.take(usize::from(n)).map(Self::new)
    }

    /// A vector behind a length of two bytes.
    pub(super) fn vec16(&mut self) -> Option<Self> {
        let n = self.number()?;
        self.take(usize::from(n)).map(Self::new)
    }

    /// All that is left, as numbers of two bytes; `None` if that leaves one byte over or nothing is there.
    pub(super) fn numbers(self) -> Option<Vec<u16>> {
        let (pairs, []) = self.rest.as_chunks::<2>() else {
            return None;
        };
        if pairs.is_empty() {
            return None;
        }
        Some(pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect())
    }

    /// Only what has been read to its end is well-formed.
    pub(super) fn end(&self) -> Option<()> {
        self.rest.is_empty().then_some(())
    }
}
