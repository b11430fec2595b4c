//! What a command is told: KEY=VALUE, in any order.

use std::io;
use std::str::FromStr;

use crate::wrong;

/// The arguments of a command.
pub struct Pairs<'a>(pub &'a [String]);

impl<'a> Pairs<'a> {
    /// The value of a key, as it is written.
    pub fn get(&self, key: &str) -> Option<&'a str> {
        let pairs = self.0.iter().filter_map(|pair| pair.split_once('='));
        let mut found = pairs.filter(|(name, _)| *name == key);
        found.next().map(|(_, value)| value)
    }

    /// The value of a key that must be there.
    pub fn need<T: FromStr>(&self, key: &str) -> io::Result<T> {
        self.may(key)?.ok_or_else(|| wrong(key))
    }

    /// The value of a key that may be left out.
    pub fn may<T: FromStr>(&self, key: &str) -> io::Result<Option<T>> {
        let parsed = self.get(key).map(str::parse).transpose();
        parsed.map_err(|_| wrong(key))
    }

    /// The same, or another value where it is left out.
    pub fn or<T: FromStr>(&self, key: &str, otherwise: T) -> io::Result<T> {
        Ok(self.may(key)?.unwrap_or(otherwise))
    }
}
