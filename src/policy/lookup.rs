//! What a policy asks of a list (`@name` in a rule): is this host, is this address in it?
//! Not the list itself: how it is stored, read and swapped is its owner's.
//! Start at [`ListLookup`].

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::IpAddr;
use std::sync::Arc;

use crate::addr::Host;

/// A list that rules name by `@name`. Its owner may swap what it holds at any time: an answer is of the moment.
pub trait ListLookup: Debug + Send + Sync {
    /// Whether the host is in the list.
    fn has_host(&self, host: &Host) -> bool;
    /// Whether the address is in the list, itself or as part of a network. It is asked in canonical form.
    fn has_address(&self, ip: IpAddr) -> bool;
}

/// The lists that a policy may name.
pub type Lists = BTreeMap<String, Arc<dyn ListLookup>>;

impl ListLookup for super::list::List {
    fn has_host(&self, host: &Host) -> bool {
        Self::has_host(self, host)
    }

    fn has_address(&self, ip: IpAddr) -> bool {
        Self::has_address(self, ip)
    }
}
