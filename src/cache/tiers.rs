//! The tiers as one store: what is found in either, and what is put into both.
//! Not the stores themselves (memory, disk), nor when something may be stored or used (storable, reuse).
//! Start at [`Cache::find`].

use std::sync::Arc;

use http::HeaderMap;

use super::contents::Limits;
use super::disk::{Found, Writer};
use super::front::Cache;
use super::{Candidates, Contents, Epoch, Key, Realm, Stored};

impl Cache {
    /// What is stored for a key, and which of it a request with these fields selects: from memory, and where nothing there is
    /// selected, from disk. Cancel-safe.
    pub async fn find(&self, key: &Key, headers: &HeaderMap) -> Candidates {
        let memory = &self.lasting.memory;
        let found = memory.candidates(key, headers);
        if found.selected().is_some() {
            return found;
        }
        let Some(disk) = self.lasting.disk() else {
            return found;
        };
        if !disk.may_hold(&key.digest()) {
            return found;
        }
        let epoch = self.epoch(key);
        let loaded = disk.load(key.uri()).await;
        let loaded: Vec<Arc<Stored>> = loaded.into_iter().map(of_disk).map(Arc::new).collect();
        // What stays on disk is looked up there each time: by then it may be gone, and must not have been promised.
        for stored in loaded
            .iter()
            .rev()
            .filter(|stored| !stored.contents.is_on_disk())
        {
            if memory.insert_if_absent(stored.clone()) && epoch != self.epoch(key) {
                // Purged or invalidated this moment, which has perhaps not seen it.
                memory.remove(stored);
            }
        }
        let in_memory = memory.all(key.uri());
        let not_there = |loaded: &Arc<Stored>| {
            let same = |other: &Arc<Stored>| loaded.key == other.key && loaded.vary == other.vary;
            !in_memory.iter().any(same)
        };
        let others: Vec<Arc<Stored>> = loaded.into_iter().filter(not_there).collect();
        Candidates::of(key, headers, in_memory.into_iter().chain(others))
    }

    /// Whether a key has been asked for so often that its response is stored; counts the request.
    pub fn is_used_enough(&self, key: &Key, least: u32) -> bool {
        least <= 1 || self.lasting.uses.count(key) >= least
    }

    /// Limits of one response's content, of which a rule may say that it is smaller.
    pub fn limits(&self, rule: Option<u64>) -> Limits {
        let largest = self.settings().largest_stored();
        Limits {
            in_memory: self.lasting.memory.largest(),
            largest: rule.map_or(largest, |rule| rule.min(largest)),
        }
    }

    /// A place on disk for a content that arrives and is too large for memory, where there is one.
    pub fn spill(&self, stored: &Stored) -> Option<Writer> {
        let disk = self.lasting.disk().filter(|_| stored.may_be_on_disk())?;
        let length = stored.contents.length();
        disk.begin(&stored.key, &stored.vary, &stored.headers, length)
    }

    /// The moment of a key's URI; see [`Cache::insert`].
    pub fn epoch(&self, key: &Key) -> Epoch {
        self.lasting.epochs.of(key.uri(), key.realm())
    }

    /// Stores a response whose content may still be to come, in place of the one for the same key and variant. Whether it is
    /// there now: not where it was purged or became invalid since `epoch`, or where it is too large.
    pub fn insert(&self, stored: &Arc<Stored>, epoch: Epoch) -> bool {
        let key = &stored.key;
        if epoch != self.epoch(key) || !self.lasting.memory.insert(stored.clone()) {
            return false;
        }
        // A purge that came between has not seen it.
        let stays = epoch == self.epoch(key);
        if !stays {
            self.lasting.memory.remove(stored);
        }
        stays
    }

    /// Puts an updated response in the place of one that is stored (RFC 9111 §3.2).
    pub fn update(&self, old: &Arc<Stored>, new: &Arc<Stored>) {
        self.lasting.memory.replace(old, new.clone());
        if new.may_be_on_disk()
            && let Some(disk) = self.lasting.disk_without(new.key.uri())
        {
            disk.update(&**new);
        }
    }

    /// Keeps a response from being validated for a moment; nothing of it changes that is written down.
    pub fn hold(&self, old: &Arc<Stored>, new: &Arc<Stored>) {
        self.lasting.memory.replace(old, new.clone());
    }

    /// Whether this very response is in memory.
    pub fn holds(&self, stored: &Arc<Stored>) -> bool {
        self.lasting.memory.holds(stored)
    }

    /// More of a response's content has come. `false`: it is not stored any more.
    pub fn grew(&self, stored: &Arc<Stored>) -> bool {
        self.lasting.memory.grow(stored)
    }

    /// All of the content has come of a response that was asked for in `epoch`: it is written to disk, if it is still there.
    pub fn completed(&self, stored: &Arc<Stored>, epoch: Epoch) {
        let memory = &self.lasting.memory;
        memory.grow(stored);
        if stored.contents.is_on_disk() {
            // It is found there from now on.
            memory.remove(stored);
        } else if stored.may_be_on_disk()
            && memory.holds(stored)
            && let Some(disk) = self.lasting.disk_without(stored.key.uri())
            && let Some(pieces) = stored.contents.pieces()
        {
            disk.save(&**stored, pieces);
        }
        // A purge is known to the disk by its time; what made it invalid was perhaps there before it.
        if self.epoch(&stored.key).invalid_since(epoch) {
            memory.remove(stored);
            if let Some(disk) = self.lasting.disk_without(stored.key.uri()) {
                disk.remove_stored(&stored.key, &stored.vary);
            }
        }
    }

    /// Takes a response out.
    pub fn forget(&self, stored: &Arc<Stored>) {
        let was_there = self.lasting.memory.remove(stored);
        if was_there && let Some(disk) = self.lasting.disk_without(stored.key.uri()) {
            disk.remove_stored(&stored.key, &stored.vary);
        }
    }

    /// Takes out all that is stored of a URI in a realm, and what is on its way there (RFC 9111 §4.4).
    pub fn invalidate(&self, uri: &str, realm: Realm, worker: u16) {
        self.lasting.epochs.invalidate(uri, realm);
        let in_memory = self.lasting.memory.remove_of(uri, realm);
        let digest = Key::new(uri, "").digest();
        let on_disk = self.lasting.disk_without(uri).is_some_and(|disk| {
            let may_hold = disk.may_hold(&digest);
            disk.remove(&digest, realm);
            may_hold
        });
        let count = in_memory.max(usize::from(on_disk));
        self.tally(worker).invalidated.add(count);
    }
}

/// What was found on disk, with what is small already at hand.
pub(super) fn of_disk(found: Found) -> Stored {
    let contents = match found.content.small() {
        Some(bytes) => Contents::whole(bytes.clone()),
        None => Contents::on_disk(found.content),
    };
    found.head.stored(contents)
}
