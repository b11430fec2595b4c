//! Changes to messages that a rule asks for, one file each.
//! Decides nothing (policy) and knows no connection.
//! Start at [`Filter`]; [`table::FILTERS`] lists them.

mod headers;
mod hsts;
mod inject;
mod mask;
pub mod table;
mod template;

pub(crate) use headers::{content, field};
pub use template::{Place, Template, Variables};

pub use mask::Mask;

use std::fmt::Debug;
use std::sync::Arc;

use http::{HeaderMap, Method};

use crate::fault::Faults;
use crate::settings::Value;

/// Changes a request on its way to the origin, and its response on the way back.
pub trait Filter: Debug + Send + Sync {
    /// Its key in a rule.
    fn name(&self) -> &'static str;

    /// Whether it can do its part for such a request; if not, why, and then the request is refused and nothing is sent.
    fn check(&self, _channel: &Channel) -> Result<(), &'static str> {
        Ok(())
    }

    /// Whether its rule must say by `host` for which origins it is.
    fn wants_hosts(&self) -> bool {
        false
    }

    /// Changes the fields of a request. Hop-by-hop fields are gone already.
    fn on_request(&self, headers: &mut HeaderMap, variables: &Variables<'_>);

    /// Takes out of a request's trailer section what would come behind the back of `on_request`; adds nothing.
    fn on_request_trailers(&self, trailers: &mut HeaderMap);

    /// Changes the fields of a response that came over TLS, or not. Hop-by-hop fields are gone already.
    fn on_response(&self, headers: &mut HeaderMap, secure: bool, variables: &Variables<'_>);

    /// What the content of one response passes; `None` where it passes as it is.
    fn mask(&self) -> Option<Mask> {
        None
    }

    /// Takes out of a response's trailer section, or of an interim response, what would come behind the back of
    /// `on_response`; adds nothing.
    fn on_response_trailers(&self, trailers: &mut HeaderMap);
}

/// What a filter must know of the way that a request will take.
#[derive(Debug, Clone)]
pub struct Channel {
    /// The origin is reached over TLS, and its certificate is verified.
    pub secure: bool,
    /// The request's method, where there is one.
    pub method: Option<Method>,
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

/// The filters of a rule, in the order of the table. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Filters(Arc<[Arc<dyn Filter>]>);

impl Filters {
    /// These filters.
    pub fn new(filters: Vec<Arc<dyn Filter>>) -> Self {
        Self(filters.into())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// These, and then others.
    pub fn and(&self, others: &Self) -> Self {
        match (self.is_empty(), others.is_empty()) {
            (_, true) => self.clone(),
            (true, false) => others.clone(),
            (false, false) => Self(self.0.iter().chain(&*others.0).cloned().collect()),
        }
    }

    /// Their keys.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|filter| filter.name())
    }

    /// The first filter whose rule must name its hosts.
    pub fn wanting_hosts(&self) -> Option<&'static str> {
        let mut wanting = self.0.iter().filter(|filter| filter.wants_hosts());
        wanting.next().map(|filter| filter.name())
    }

    /// Whether all can do their part; to be asked before anything is sent.
    pub fn check(&self, channel: &Channel) -> Result<(), &'static str> {
        self.0.iter().try_for_each(|filter| filter.check(channel))
    }

    /// Runs all on a request.
    pub fn on_request(&self, headers: &mut HeaderMap, variables: &Variables<'_>) {
        for filter in &*self.0 {
            filter.on_request(headers, variables);
        }
    }

    /// Runs all on a response, the last one first: each sees what those after it made of the request's answer.
    pub fn on_response(&self, headers: &mut HeaderMap, secure: bool, variables: &Variables<'_>) {
        for filter in self.0.iter().rev() {
            filter.on_response(headers, secure, variables);
        }
    }

    /// What the content of one response passes. One filter at most has any.
    pub fn mask(&self) -> Option<Mask> {
        self.0.iter().find_map(|filter| filter.mask())
    }

    /// Runs all on the trailers of a request.
    pub fn on_request_trailers(&self, trailers: &mut HeaderMap) {
        for filter in &*self.0 {
            filter.on_request_trailers(trailers);
        }
    }

    /// Runs all on the trailers of a response, or on an interim response.
    pub fn on_response_trailers(&self, headers: &mut HeaderMap) {
        for filter in self.0.iter().rev() {
            filter.on_response_trailers(headers);
        }
    }
}

/// The same filters, not filters that do the same.
impl PartialEq for Filters {
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len()
            && self.0.iter().zip(&*other.0).all(|(a, b)| Arc::ptr_eq(a, b))
    }
}

#[cfg(test)]
mod tests;
