//! Changes to messages that a rule asks for, one file each.
//! Decides nothing (policy) and knows no connection.
//! Start at [`Filter`]; [`table::FILTERS`] lists them.

mod field;
mod headers;
mod hsts;
mod inject;
pub mod table;

pub use inject::NAME as INJECT;

use std::fmt::Debug;
use std::sync::Arc;

use http::{HeaderMap, Method};

use crate::fault::Faults;
use crate::settings::Value;

/// Changes a request on its way to the origin, and its response on the way back.
pub trait Filter: Debug + Send + Sync {
    /// Its key in a rule.
    fn name(&self) -> &'static str;

    /// Whether it can be done; else why not. What can not be done is not left out: the request is refused.
    fn check(&self, _channel: Channel, _method: &Method) -> Result<(), &'static str> {
        Ok(())
    }

    /// Changes the fields of a request. Hop-by-hop fields are gone already.
    fn on_request(&self, _headers: &mut HeaderMap) {}

    /// Changes the fields of a response, interim ones included. Hop-by-hop fields are gone already.
    fn on_response(&self, headers: &mut HeaderMap, channel: Channel);

    /// Changes the trailers of a response, so that they do not say what its fields may not.
    fn on_trailers(&self, headers: &mut HeaderMap);
}

/// How the origin is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channel {
    /// Over TLS, verified.
    pub secure: bool,
}

/// A filter in the table.
#[derive(Debug)]
pub struct Entry {
    /// Its key in `allow = { … }`.
    pub name: &'static str,
    /// One line about it.
    pub summary: &'static str,
    /// Reads its settings; `None` where something was a fault.
    pub build: fn(Value, &Faults) -> Option<Arc<dyn Filter>>,
}

/// The filters of a rule, in the order of the table.
#[derive(Debug, Clone, Default)]
pub struct Filters(Vec<Arc<dyn Filter>>);

impl Filters {
    /// These filters.
    pub fn new(filters: Vec<Arc<dyn Filter>>) -> Self {
        Self(filters)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Their keys.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|filter| filter.name())
    }

    /// Whether all can be done; else why not.
    pub fn check(&self, channel: Channel, method: &Method) -> Result<(), &'static str> {
        let mut filters = self.0.iter();
        filters.try_for_each(|filter| filter.check(channel, method))
    }

    /// Runs all on a request.
    pub fn on_request(&self, headers: &mut HeaderMap) {
        for filter in &self.0 {
            filter.on_request(headers);
        }
    }

    /// Runs all on a response, the last one first: each sees what those after it made of the request's answer.
    pub fn on_response(&self, headers: &mut HeaderMap, channel: Channel) {
        for filter in self.0.iter().rev() {
            filter.on_response(headers, channel);
        }
    }

    /// Runs all on the trailers of a response.
    pub fn on_trailers(&self, headers: &mut HeaderMap) {
        for filter in self.0.iter().rev() {
            filter.on_trailers(headers);
        }
    }
}

/// The same filters, not filters that do the same.
impl PartialEq for Filters {
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(|(a, b)| Arc::ptr_eq(a, b))
    }
}
