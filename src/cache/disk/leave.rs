//! The end of the use of a directory that another process is to have, while clients of this one still read and write some files of
//! it: those that are open. What is under way comes to its end without a name, and nothing else is touched any more.
//! Start at [`leave`]; what is asked for later goes to [`wind_up`].

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use jiff::Timestamp;

use super::bans::Ban;
use super::layout::PAYLOAD;
use super::object::{abort, grow};
use super::queue::lock;
use super::shared::Shared;
use super::write::{Change, write_bans};
use super::writer::Finish;

/// Gives the directory back, after all that was asked for before has been written.
pub(super) fn leave(shared: &Arc<Shared>) {
    if shared.has_failed_removals() {
        // Whoever follows does not know what was to go: rather too much than too little.
        let _ = lock(&shared.bans).add(Ban::All, Timestamp::now());
    }
    if lock(&shared.bans).dirty
        && let Err(error) = write_bans(shared)
    {
        shared.degrade(&error);
        // Of a file that is not whole, whoever follows knows that something was purged, and gives out nothing that was there before.
        if let Err(error) = shared.place.spoil_bans() {
            tracing::warn!(%error, "what was purged of the disk cache is not known to the process that follows: purge it there");
        }
    }
    lock(&shared.index).clear();
    shared.left.store(true, Ordering::Release);
    shared.house.close();
    if let Err(error) = shared.place.give_back() {
        tracing::warn!(%error, "the disk cache cannot be given to the process that follows");
    }
}

/// What becomes of a change after that. The folders are another process's: only files of one's own that have no name there are
/// written or removed.
pub(super) fn wind_up(shared: &Arc<Shared>, change: Change) {
    match change {
        Change::Save { .. } => {
            shared.saves.fetch_sub(1, Ordering::Release);
        }
        Change::Remove(uri, _) => shared.removal_ended(&uri, true),
        Change::Block {
            of,
            index,
            block,
            reply,
        } => {
            let written = grow(shared, &of, index, &block).map_err(|trouble| trouble.told(shared));
            let _ = reply.send(written);
        }
        Change::Finish(end) => finish(shared, *end),
        Change::Abort(of) => abort(shared, &of),
        Change::Bans(Some(reply)) => {
            let _ = reply.send(Err(gone()));
        }
        Change::Flush(reply) => {
            let _ = reply.send(());
        }
        Change::Update(_)
        | Change::Discard(..)
        | Change::Trim
        | Change::Bans(None)
        | Change::Probe
        | Change::Leave => {}
    }
}

/// Its readers have all of it, and nobody else finds it.
fn finish(shared: &Arc<Shared>, end: Finish) {
    let last = end.length / PAYLOAD as u64;
    let written = grow(shared, &end.of, last, &end.last);
    abort(shared, &end.of);
    let _ = end
        .reply
        .send(written.map_err(|trouble| trouble.told(shared)));
}

/// Why nothing is noted any more.
pub(super) fn gone() -> io::Error {
    io::Error::other("the process that follows has the disk cache: ask that one")
}
