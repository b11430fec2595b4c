//! What becomes of a part of a representation (RFC 9110 §15.3.7).

use std::sync::Arc;

use http::{HeaderMap, Response, StatusCode};

use super::answer::reading;
use super::errand::Settled;
use super::fill::{Fill, fill};
use super::storing::{Storing, passing};
use crate::cache::range::{self, Parts};
use crate::cache::storable::Unstorable;
use crate::cache::{CacheStatus, Contents};
use crate::lifeline::Lifeline;
use crate::pool::Received;

impl Storing {
    /// A part of a representation: it is stored as such once all of it has come, together with the parts that are there
    /// (RFC 9111 §3.3, §3.4).
    pub(super) fn part(
        self: Box<Self>,
        received: Received,
        status: CacheStatus,
        guarded: bool,
        life: &Lifeline,
    ) -> Settled {
        let code = received.response.status();
        let fields = received.response.headers();
        let Some(part) = range::part_of(code, fields) else {
            return self.not_stored(received, status, Unstorable::Part);
        };
        if self.has_whole(fields) {
            return self.not_stored(received, status, Unstorable::Known);
        }
        let before = self.candidates.selected().filter(|stored| {
            let parts = stored.contents.as_parts();
            parts.is_some_and(|parts| parts.total() == part.total)
                && range::may_combine(&stored.headers, fields, stored.freshness.received)
        });
        let known = before.map(|stored| &stored.headers);
        let whole = range::whole_fields(known, fields, part.total);
        let came = self.came(&whole, StatusCode::OK);
        let length = part.range.end - part.range.start;
        let storable = self.storable(came).and_then(|storable| {
            self.fits(&received, Some(length))?;
            (length <= self.cache.limits(None).in_memory)
                .then_some(storable)
                .ok_or(Unstorable::TooLarge)
        });
        let storable = match storable {
            Ok(storable) => storable,
            Err(why) => return self.not_stored(received, status, why),
        };
        let parts = before.and_then(|stored| stored.contents.as_parts().cloned());
        let parts = parts.unwrap_or_else(|| Parts::new(part.total));
        let limits = self.cache.limits(self.control.largest);
        let (contents, filler) = Contents::filling(Some(length), limits);
        let stored = self.stored(storable, StatusCode::OK, guarded, contents.clone());
        let Some(reader) = contents.reader(None) else {
            return self.not_stored(received, status, Unstorable::Part);
        };
        let (head, body) = received.response.into_parts();
        let fill_it = Fill {
            cache: self.cache.clone(),
            worker: self.worker,
            stored: Arc::new(stored),
            filler,
            epoch: self.epoch,
            part: Some((parts, part)),
        };
        fill(life, fill_it, body);
        let received = Received {
            response: Response::from_parts(head, reading(reader)),
            upgraded: None,
            delimited: true,
        };
        let stored = true;
        passing(received, CacheStatus { stored, ..status })
    }

    /// Whether all is stored of what these are the fields of a part of.
    fn has_whole(&self, fields: &HeaderMap) -> bool {
        self.candidates.selected().is_some_and(|stored| {
            let same = range::may_combine(&stored.headers, fields, stored.freshness.received);
            same && stored.contents.as_parts().is_none()
        })
    }
}
