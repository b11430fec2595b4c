//! Which route a request on a gateway's listener takes, and what is done with it. Pure: no socket, no task, no clock.
//! Not the doing of it (mode and relay), and no permission: policy is asked beside.
//! Start at [`RouteTable::find`]; [`read`] makes a table of `[[route]]`.
//!
//! # Which one
//!
//! Of all the routes that a request matches it takes the most specific one; where they stand in the file says nothing. The
//! first of these that differs decides:
//!
//! 1. **Host**: exact; then `*.example.com`, the longest first; then routes without one (or with `"default"`).
//! 2. **Path**: exact (`/x`); then by the beginning that is written out, segment by segment, the longest first, and with the
//!    same beginning a glob (`/x/*/y`, the one with more letters first) before the prefix (`/x/*`, which has `/x`, `/x/` and
//!    all below); then regular expressions, in the file's order, each over the whole path; then routes without a path (`/*`), which
//!    alone are for `OPTIONS *`.
//! 3. **Conditions**: the more of listener, method, fields and parameters of the query a route names, the earlier; where that
//!    is the same, the one that asks for values before the one that asks for presence, for a value before a glob, and for
//!    fewer of them.
//! 4. The file's order, for routes of which neither says more than the other.
//!
//! A route that an earlier one hides as a whole is a fault, as far as that can be known: the same host, path and conditions;
//! a regular expression below a prefix.
//!
//! # Two readings
//!
//! The path is matched in its normal form ([`normal_path`](crate::message::normal_path)). Where an origin may read another one
//! ([`other_reading`](crate::message::other_reading)), or does not decode what it should, the same question is asked for
//! that, and all answers must be routes that do the same; else the request is [`Found::Ambiguous`]. What leaves keeps the
//! client's spelling.

mod action;
mod conditions;
mod index;
mod matches;
mod pages;
mod path;
mod readings;
mod rewrite;
mod shadow;
mod source;
mod split;
mod table;
#[cfg(test)]
mod tests;
mod treatment;

pub use action::{Act, Action, Maintenance, Redirect};
pub use pages::{ErrorPage, ErrorPages, Page};
pub use readings::Readings;
pub use rewrite::{HostRewrite, Rewrite, Unrewritable};
pub use source::{Ground, read};
pub use split::{Chosen, Share, Split};
pub use table::{Asked, Found, RouteTable};
pub use treatment::{Buffer, Limits, Mirror, Retry, Timeouts, Treatment};

use std::net::IpAddr;
use std::sync::Arc;

use crate::fault::Location;

/// What is done with the requests that match it.
#[derive(Debug)]
pub struct Route {
    /// Its name, for records; `route-3` where it has none.
    pub name: Arc<str>,
    /// Where it stands.
    pub at: Location,
    /// What becomes of a request.
    pub action: Action,
    /// What a request looks like when it leaves.
    pub rewrite: Rewrite,
    /// How they are treated on the way.
    pub treatment: Treatment,
    /// Whether it names TRACE among its methods: who does not is not meant to have clients look at what comes to an endpoint.
    pub traces: bool,
}

impl Route {
    /// What becomes of a request of this client's.
    pub fn act(&self, client: IpAddr) -> Act<'_> {
        self.action.act(client)
    }

    /// The names of the upstreams that requests, or copies of them, may go to.
    pub fn upstreams(&self) -> impl Iterator<Item = &Arc<str>> {
        let split = self.action.split().into_iter().flat_map(Split::upstreams);
        let mirror = self.treatment.mirror.iter().map(|mirror| &mirror.to);
        split.chain(mirror).map(|chosen| &chosen.name)
    }

    /// Whether requests, or copies of them, may go to this upstream.
    pub fn leads_to(&self, upstream: &str) -> bool {
        self.upstreams().any(|name| **name == *upstream)
    }

    /// Whether it does with a request what the other one does, so that it is all the same which of them is taken. Routes
    /// whose filters were read apart are not known to.
    pub fn does_as(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
            || self.action == other.action
                && self.rewrite == other.rewrite
                && self.traces == other.traces
                && self.treatment == other.treatment
    }
}
