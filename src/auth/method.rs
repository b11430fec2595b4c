//! The seam that a way of telling clients apart implements.
//! Holds no method: each has a file, and a line in `table.rs`.
//! Start at [`AuthMethod`].

use std::fmt::Debug;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

use super::{Challenge, Credentials, Groups, Principal};
use crate::fault::Faults;
use crate::settings::Value;

/// One configured way of telling who a client is.
pub trait AuthMethod: Debug + Send + Sync {
    /// Says who the client is, if this method can. Dropping the future is safe: nothing is half done.
    fn authenticate<'a>(&'a self, seen: Seen<'a>) -> Answering<'a>;

    /// Who a client without credentials is by its address alone, for methods that look at nothing else.
    fn by_address(&self, client: IpAddr) -> Option<Principal> {
        let _ = client;
        None
    }

    /// Who a principal that this method once found is now; `None` where it is not known any more.
    fn recall(&self, principal: &Principal, client: IpAddr) -> Option<Principal> {
        self.by_address(client)
            .filter(|now| now.name == principal.name && now.method == principal.method)
    }

    /// What a client is told to offer, for methods that read credentials.
    fn challenge(&self) -> Option<Challenge> {
        None
    }
}

/// An answer on its way.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Answer> + 'a>>;

/// What a method may look at.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// The client's address; an IPv4 address is never in its IPv6-mapped form.
    pub client: IpAddr,
    /// What the client offered, where some configured method reads credentials.
    pub offered: Option<&'a Credentials>,
}

/// What one method says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is this principal.
    Known(Principal),
    /// Not known to this method: no match, or wrong credentials.
    Unknown,
    /// Not told now: too much to verify already.
    Busy,
}

/// A method's line in the table.
#[derive(Debug)]
pub struct Entry {
    /// The key in the listener's `auth` setting.
    pub name: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// Reads the method's settings; `None` where something was a fault.
    pub build: fn(Value, &Groups, &Faults) -> Option<Box<dyn AuthMethod>>,
}
