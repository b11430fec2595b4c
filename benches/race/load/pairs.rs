//! What a command is told: KEY=VALUE, in any order. Not for `ask`, which reads its own.

use std::io;
use std::str::FromStr;

use crate::wrong;

/// The arguments of a command.
pub struct Pairs<'a>(pub &'a [String]);

impl Pairs<'_> {
    /// The value of a key that must be there.
    pub fn need<T: FromStr>(&self, key: &str) -> io::Result<T> {
        self.find(key)?.ok_or_else(|| wrong(key))
    }

    /// The value of a key that may be left out.
    pub fn or<T: FromStr>(&self, key: &str, otherwise: T) -> io::Result<T> {
        Ok(self.find(key)?.unwrap_or(otherwise))
    }

    fn find<T: FromStr>(&self, key: &str) -> io::Result<Option<T>> {
        let pairs = self.0.iter().filter_map(|pair| pair.split_once('='));
        let mut found = pairs.filter(|(name, _)| *name == key);
        let value = found.next().map(|(_, value)| value.parse());
        value.transpose().map_err(|_| wrong(key))
    }
}
