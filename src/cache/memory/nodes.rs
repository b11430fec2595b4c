//! Doubly linked lists whose nodes lie in one table: an element is taken out or moved in a few steps, wherever it stands.
//! Knows nothing of what is in them. Start at [`Nodes`].

use std::sync::Arc;

use super::queues::Mark;
use super::weight::allocation;

/// The nodes of all lists, and those that are free.
pub(super) struct Nodes {
    nodes: Vec<Node>,
    /// The first of a chain of free nodes, through `older`.
    free: u32,
    used: usize,
}

/// One element.
pub(super) struct Node {
    /// `None` while it is free.
    pub(super) mark: Option<Arc<Mark>>,
    pub(super) weight: u64,
    pub(super) in_main: bool,
    newer: u32,
    older: u32,
}

/// A list: its ends, and what is in it.
pub(super) struct List {
    newest: u32,
    pub(super) oldest: u32,
    pub(super) length: usize,
    pub(super) bytes: u64,
}

/// No node.
pub(super) const NONE: u32 = u32::MAX;

impl List {
    pub(super) fn new() -> Self {
        Self {
            newest: NONE,
            oldest: NONE,
            length: 0,
            bytes: 0,
        }
    }
}

impl Nodes {
    pub(super) fn new() -> Self {
        Self {
            nodes: Vec::new(),
            free: NONE,
            used: 0,
        }
    }

    pub(super) fn get(&self, at: u32) -> Option<&Node> {
        self.nodes.get(at as usize)
    }

    pub(super) fn get_mut(&mut self, at: u32) -> Option<&mut Node> {
        self.nodes.get_mut(at as usize)
    }

    /// A node in no list yet. `None`: there are as many as there can be.
    pub(super) fn take(&mut self, weight: u64) -> Option<u32> {
        let node = Node {
            mark: None,
            weight,
            in_main: false,
            newer: NONE,
            older: NONE,
        };
        let at = self.free;
        if let Some(free) = self.nodes.get_mut(at as usize) {
            self.free = free.older;
            *free = node;
            self.used += 1;
            return Some(at);
        }
        let at = u32::try_from(self.nodes.len()).ok();
        let at = at.filter(|at| *at < NONE)?;
        self.nodes.push(node);
        self.used += 1;
        Some(at)
    }

    /// Of a node that is in no list any more.
    pub(super) fn give_back(&mut self, at: u32) {
        let free = self.free;
        let Some(node) = self.get_mut(at) else { return };
        node.mark = None;
        node.older = free;
        self.free = at;
        self.used -= 1;
        if self.used == 0 && self.nodes.capacity() > KEPT {
            *self = Self::new();
        }
    }

    /// Puts a node at the new end.
    pub(super) fn push(&mut self, list: &mut List, at: u32) {
        let newest = list.newest;
        let Some(node) = self.get_mut(at) else { return };
        node.newer = NONE;
        node.older = newest;
        list.bytes += node.weight;
        list.length += 1;
        list.newest = at;
        match self.get_mut(newest) {
            Some(before) => before.newer = at,
            None => list.oldest = at,
        }
    }

    /// Takes a node out of the list that it is in.
    pub(super) fn unlink(&mut self, list: &mut List, at: u32) {
        let Some(node) = self.get(at) else { return };
        let (newer, older, weight) = (node.newer, node.older, node.weight);
        list.bytes = list.bytes.saturating_sub(weight);
        list.length -= 1;
        match self.get_mut(newer) {
            Some(newer) => newer.older = older,
            None => list.newest = older,
        }
        match self.get_mut(older) {
            Some(older) => older.newer = newer,
            None => list.oldest = newer,
        }
    }

    /// So many nodes from one on, free ones left out; empty beyond the end.
    pub(super) fn some(&self, from: usize, count: usize) -> Option<Vec<Arc<Mark>>> {
        let rest = self.nodes.get(from..).filter(|rest| !rest.is_empty())?;
        let some = rest.iter().take(count);
        Some(some.filter_map(|node| node.mark.clone()).collect())
    }

    /// What the table takes.
    pub(super) fn bytes(&self) -> u64 {
        allocation(self.nodes.capacity() * size_of::<Node>())
    }
}

/// A table that is not larger is kept when it is empty.
const KEPT: usize = 64;
