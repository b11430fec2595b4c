//! Which objects were given their names last, so that who found an old one bad does not take out the new one.
//! Not what is there (index). Start at [`Published::since`].

use std::collections::VecDeque;
use std::sync::Mutex;

use super::name::Name;
use super::queue::lock;

/// The last objects that were written. What was written long before them is not told apart: at worst it is taken out, and a miss.
#[derive(Debug, Default)]
pub(super) struct Published(Mutex<Last>);

#[derive(Debug, Default)]
struct Last {
    count: u64,
    /// The newest last.
    names: VecDeque<Name>,
}

/// A moment between two objects that were written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment(u64);

/// So many are known.
const KNOWN: usize = 256;

impl Published {
    /// To be asked before an object is looked at.
    pub(super) fn now(&self) -> Moment {
        Moment(lock(&self.0).count)
    }

    /// An object is about to have this name.
    pub(super) fn note(&self, name: Name) {
        let mut last = lock(&self.0);
        last.count += 1;
        if last.names.len() == KNOWN {
            last.names.pop_front();
        }
        last.names.push_back(name);
    }

    /// Whether another object has had this name since.
    pub(super) fn since(&self, moment: Moment, name: &Name) -> bool {
        let last = lock(&self.0);
        let since = usize::try_from(last.count - moment.0).unwrap_or(usize::MAX);
        last.names.iter().rev().take(since).any(|one| one == name)
    }
}
