//! The endpoints of an upstream for one request, connection or flow: one after the other, none twice.
//! Not which one is next (upstream), nor what is done with it (tries, endpoint, datagrams).
//! Start at [`Attempts::next`].

use std::sync::Arc;

use tokio::time::Instant;

use super::Refusal;
use super::way::{is_full, unavailable};
use crate::pool::Failure;
use crate::upstream::{Ask, Dice, EndpointKey, Picked, Retrying, Upstream};

/// How far one request has gone among the endpoints of an upstream.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    /// By what a balancer with keys knows the request.
    key: Option<u64>,
    /// The endpoint that its cookie names.
    sticky: Option<u64>,
    /// Those that were tried, and those that will not do.
    passed: Vec<EndpointKey>,
    /// How many were found, and not passed over since.
    found: u32,
    /// One was tried in vain: what comes is a retry.
    is_retry: bool,
    /// The retry that is under way.
    retrying: Option<Retrying>,
    /// Why there was none so far that will do.
    why: Option<Box<Refusal>>,
}

impl Attempts {
    /// From the beginning, for a request that is known by these.
    pub(super) fn new(key: Option<u64>, sticky: Option<u64>) -> Self {
        Self {
            key,
            sticky,
            ..Self::default()
        }
    }

    /// The next endpoint that is fit, with what it is fit by. Those that are not are passed over, which is no failure of theirs. The
    /// first one is free; each other after a failure is a retry, of which the upstream allows only so many.
    ///
    /// Errors: why the last one failed, or else why the first was not fit, or why there is none.
    pub(super) fn next<T>(
        &mut self,
        upstream: &Arc<Upstream>,
        dice: &Dice,
        mut fit: impl FnMut(&Picked) -> Result<T, Refusal>,
    ) -> Result<(Picked, T), Refusal> {
        // The one before is over when the next begins.
        self.retrying = None;
        loop {
            let picked = upstream.pick(&Ask {
                key: self.key,
                sticky: self.sticky,
                tried: &self.passed,
                again: self.is_retry,
                ..Ask::new(dice, Instant::now())
            });
            let picked = picked.map_err(|none| self.why_not(|| unavailable(upstream, none)))?;
            match fit(&picked) {
                Ok(by) => {
                    if self.is_retry {
                        let retrying = upstream.retry();
                        let retrying =
                            retrying.map_err(|full| self.why_not(|| is_full(upstream, full)))?;
                        self.retrying = Some(retrying);
                    }
                    self.found += 1;
                    return Ok((picked, by));
                }
                Err(refusal) => self.leave_out(&picked, refusal),
            }
        }
    }

    /// Passes over the endpoint that was found last, which is not fit after all: that is no failure of its own, and it was not tried.
    pub(super) fn pass_over(&mut self, picked: &Picked, why: Refusal) {
        self.found = self.found.saturating_sub(1);
        self.leave_out(picked, why);
    }

    fn leave_out(&mut self, picked: &Picked, why: Refusal) {
        self.passed.push(picked.endpoint().key().clone());
        self.why.get_or_insert_with(|| Box::new(why));
    }

    /// How many were found to be tried.
    pub(super) fn found(&self) -> u32 {
        self.found
    }

    /// Leaves the endpoint that was found last: it was tried in vain.
    pub(super) fn leave(&mut self, picked: &Picked) {
        self.passed.push(picked.endpoint().key().clone());
        self.is_retry = true;
    }

    /// Leaves it for this failure, and tells it so.
    pub(super) fn failed(&mut self, picked: &Picked, failure: Failure) {
        picked.failed();
        self.leave(picked);
        self.why = Some(Box::new(Refusal::Failed(failure)));
    }

    /// The endpoint is there: the retry is over.
    pub(super) fn arrived(&mut self) {
        self.retrying = None;
    }

    /// Begins anew, with the endpoint that was found last as the first: it has served, and should it fail, that is another story
    /// than the beginning's. Of so many tries, at least one is left.
    pub(super) fn renew(&mut self, tries: u32) {
        self.passed.clear();
        self.found = tries.saturating_sub(1).min(1);
    }

    /// Why it has come to its end.
    pub(super) fn why_not(&mut self, otherwise: impl FnOnce() -> Refusal) -> Refusal {
        self.why.take().map_or_else(otherwise, |why| *why)
    }
}
