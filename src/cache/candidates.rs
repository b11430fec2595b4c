//! What is stored of one URI, and which of it a request selects (RFC 9111 §4.1).

use std::sync::Arc;

use http::HeaderMap;
use smallvec::SmallVec;

use super::validate::{self, View};
use super::{Key, Stored};

/// The stored responses of one key, the newest first.
#[derive(Debug, Clone, Default)]
pub struct Candidates {
    all: SmallVec<[Arc<Stored>; 4]>,
    selected: Option<usize>,
}

impl Candidates {
    /// Those of a key among all of its URI, and the one that the request's fields select.
    pub(super) fn of(
        key: &Key,
        headers: &HeaderMap,
        stored: impl IntoIterator<Item = Arc<Stored>>,
    ) -> Self {
        let of_key = |stored: &Arc<Stored>| stored.key.extras() == key.extras();
        let all: SmallVec<[Arc<Stored>; 4]> = stored.into_iter().filter(of_key).collect();
        let selected = match all.as_slice() {
            [] => None,
            [only] => only.vary.matches(headers).then_some(0),
            [_, _, ..] => validate::select(&views(&all), headers),
        };
        Self { all, selected }
    }

    /// All of them, for validation.
    pub fn all(&self) -> &[Arc<Stored>] {
        &self.all
    }

    /// The place of the one that the request selects.
    pub fn place(&self) -> Option<usize> {
        self.selected
    }

    /// What matters of them for validation.
    pub fn views(&self) -> SmallVec<[View<'_>; 4]> {
        views(&self.all)
    }

    /// The one that the request selects.
    pub fn selected(&self) -> Option<&Arc<Stored>> {
        self.all.get(self.selected?)
    }
}

fn views(all: &[Arc<Stored>]) -> SmallVec<[View<'_>; 4]> {
    all.iter().map(|stored| View::from(&**stored)).collect()
}
