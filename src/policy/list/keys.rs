//! The hash of a name and of all its parents in one pass, under secret keys.
//! Not for anything that leaves the process, and no proof that two names are one: names are compared (names).
//! Start at [`Keys::suffixes`].

use std::hash::{BuildHasher, RandomState};

/// Secret keys of a hash by folded multiplication, drawn anew for each list: who writes names into a list or a request does not know
/// which of them collide, and a collision costs time only, as names are compared.
pub(super) struct Keys {
    start: u64,
    step: u64,
    end: u64,
}

impl Keys {
    /// New keys.
    pub(super) fn random() -> Self {
        let random = RandomState::new();
        Self {
            start: random.hash_one(0),
            step: random.hash_one(1) | 1,
            end: random.hash_one(2) | 1,
        }
    }

    /// One pass from the right tells each suffix that begins at a label, the shortest first: where it starts, its labels, its hash.
    pub(super) fn suffixes(&self, name: &[u8], mut tell: impl FnMut(usize, usize, u64)) {
        let (mut state, mut word, mut pending, mut labels) = (self.start, 0_u64, 0_u64, 0);
        for (at, byte) in name.iter().enumerate().rev() {
            if *byte == b'.' {
                labels += 1;
                tell(at + 1, labels, self.finish(state, word, pending));
            }
            word = (word << 8) | u64::from(*byte);
            pending += 1;
            if pending == 8 {
                state = fold(state ^ word, self.step);
                (word, pending) = (0, 0);
            }
        }
        tell(0, labels + 1, self.finish(state, word, pending));
    }

    /// Fewer than eight bytes are pending, so their number has the upper byte to itself.
    fn finish(&self, state: u64, word: u64, pending: u64) -> u64 {
        fold(state ^ word ^ (pending << 56), self.end)
    }

    /// The hash of a whole name, and its labels.
    pub(super) fn hash(&self, name: &[u8]) -> (u64, usize) {
        let mut whole = (0, 0);
        self.suffixes(name, |_, labels, hash| whole = (hash, labels));
        whole
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(..)")
    }
}

/// Both halves of a product, one upon the other.
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suffix_hashes_as_the_whole_name_that_it_is() {
        let keys = Keys::random();
        let name = b"a.bc.subdomain-of-length.example.com";
        let mut suffixes = Vec::new();
        keys.suffixes(name, |start, labels, hash| {
            suffixes.push((start, labels, hash))
        });
        let starts: Vec<_> = suffixes.iter().map(|(start, ..)| *start).collect();
        assert_eq!(starts, [33, 25, 5, 2, 0]);
        for (start, labels, hash) in suffixes {
            assert_eq!(keys.hash(&name[start..]), (hash, labels), "{start}");
        }
    }
}
