//! Brings a response's content into the cache while clients read it there: at the origin's pace, not at that of whoever asked
//! first.

use std::sync::Arc;

use crate::cache::contents::Filler;
use crate::cache::range::{Part, Parts};
use crate::cache::{Cache, Contents, Epoch, Stored};
use crate::lifeline::Lifeline;
use crate::message::Body;

/// A content on its way into the cache.
pub(super) struct Fill {
    pub(super) cache: Arc<Cache>,
    pub(super) worker: u16,
    pub(super) stored: Arc<Stored>,
    pub(super) filler: Filler,
    /// When it was asked for.
    pub(super) epoch: Epoch,
    /// Where it is a part of a representation: the parts that are there already, and which one it is.
    pub(super) part: Option<(Parts, Part)>,
}

/// Fills in a task of its own. A content that breaks off, that is too large, or that nobody waits for any more is taken out
/// again.
pub(super) fn fill(life: &Lifeline, filling: Fill, body: Body) {
    life.spawn(async move {
        let Fill {
            cache,
            worker,
            stored,
            filler,
            epoch,
            part,
        } = filling;
        let is_stored = part.is_none();
        let whole = pour(&cache, &stored, filler, body, is_stored).await;
        match part {
            None if whole => cache.completed(&stored, epoch),
            None => {
                cache.tally(worker).cut_short.bump();
                cache.forget(&stored);
            }
            Some((parts, part)) if whole => keep_part(&cache, &stored, &parts, &part, epoch),
            Some(_) => cache.tally(worker).cut_short.bump(),
        }
    });
}

/// Whether all of it came. Dropped, the filler tells the readers that it did not. `is_stored`: it is found in the cache already, as
/// far as it has come.
async fn pour(
    cache: &Cache,
    stored: &Arc<Stored>,
    mut filler: Filler,
    mut body: Body,
    is_stored: bool,
) -> bool {
    loop {
        let frame = tokio::select! {
            biased;
            frame = body.frame() => frame,
            // Nobody reads, and too much is missing to go on for the next one: the connection to the origin is closed.
            () = filler.abandoned() => return false,
        };
        let frame = match frame {
            None => return filler.finish(None, stored).await.is_ok(),
            Some(Ok(frame)) => frame,
            Some(Err(_)) => return false,
        };
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => {
                let trailers = frame.into_trailers().ok();
                return filler.finish(trailers, stored).await.is_ok();
            }
        };
        if is_stored
            && filler.needs_disk(data.len() as u64)
            && let Some(writer) = cache.spill(stored)
        {
            filler.spill_to(writer);
        }
        if filler.push(data).await.is_err() {
            return false;
        }
        if is_stored && filler.is_passing() {
            // Who reads it goes on; nobody new finds it.
            cache.forget(stored);
        } else if is_stored {
            cache.grew(stored);
        }
    }
}

/// Stores a part that has come whole, together with those that were there.
fn keep_part(cache: &Cache, stored: &Arc<Stored>, parts: &Parts, part: &Part, epoch: Epoch) {
    let pieces = stored.contents.pieces().unwrap_or_default();
    let Some(parts) = parts.with_run(part.range.start, pieces) else {
        return;
    };
    let together = Stored {
        contents: Contents::parts(parts),
        ..Stored::clone(stored)
    };
    cache.insert(&Arc::new(together), epoch);
}
