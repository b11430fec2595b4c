//! The methods of one listener, asked in order.
//! Does not verify anything itself (the methods do), and does not read headers (its caller does).
//! Start at [`Authenticator::authenticate`].

use std::net::IpAddr;

use super::method::{Answer, AuthMethod, Entry, Seen};
use super::table::METHODS;
use super::{Challenge, Credentials, Groups, Principal};
use crate::fault::{Fault, Faults};
use crate::settings::{FromValue, Table, Value};

/// Tells who a client is. Immutable, shared by all workers; a reload makes a new one.
#[derive(Debug, Default)]
pub struct Authenticator {
    methods: Vec<Box<dyn AuthMethod>>,
    challenges: Vec<Challenge>,
    groups: Groups,
}

/// Who the client is, or what it has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is this principal.
    Known(Principal),
    /// Nobody in particular, and nothing asks it to be.
    Anonymous,
    /// It must offer (other) credentials: 407 with each of these in a `Proxy-Authenticate` of its own.
    /// Never empty. RFC 9110 §11.7.1.
    Challenge(Vec<Challenge>),
    /// Too many verifications wait already; the client may try again soon (503).
    Busy,
}

impl Authenticator {
    /// Reads a listener's `auth` and `groups`. With no `auth`, every client is anonymous that has no certificate;
    /// `certificates` says whether clients are asked for them. `None` exactly where something was a fault.
    pub fn read(
        auth: Option<Value>,
        groups: Option<Value>,
        certificates: bool,
        faults: &Faults,
    ) -> Option<Self> {
        let before = faults.len();
        if let (None, Some(groups), false) = (&auth, &groups, certificates) {
            faults.push(Fault::at(
                &groups.at,
                "\"groups\" needs \"auth\" or client certificates: without them no client has a name",
                "add auth = [{ basic = { file = \"users.htpasswd\" } }] or tls = { client = { … } }, or take \"groups\" out",
            ));
        }
        let groups = groups.map_or_else(Groups::default, |value| Groups::read(value, faults));
        let tables = auth.and_then(|value| Vec::<Table>::from_value(value, faults));
        let methods: Vec<_> = tables
            .into_iter()
            .flatten()
            .filter_map(|table| read_method(table, &groups, faults))
            .collect();
        (faults.len() == before).then(|| Self::new(methods, groups))
    }

    fn new(methods: Vec<Box<dyn AuthMethod>>, groups: Groups) -> Self {
        let mut challenges: Vec<Challenge> = Vec::new();
        for challenge in methods.iter().filter_map(|method| method.challenge()) {
            if !challenges.contains(&challenge) {
                challenges.push(challenge);
            }
        }
        Self {
            methods,
            challenges,
            groups,
        }
    }

    /// The principal that a verified certificate names, in the groups that the group file puts it in.
    pub fn of_certificate(&self, name: &str) -> Principal {
        self.groups.principal(name, &[], CERTIFICATE)
    }

    /// Who a principal is now, after a reload; `None` where no method knows it any more.
    pub fn recall(&self, principal: &Principal, client: IpAddr) -> Option<Principal> {
        let client = client.to_canonical();
        self.methods
            .iter()
            .find_map(|method| method.recall(principal, client))
    }

    /// Who a client that offers nothing is by its address alone.
    pub fn by_address(&self, client: IpAddr) -> Option<Principal> {
        let client = client.to_canonical();
        self.methods
            .iter()
            .find_map(|method| method.by_address(client))
    }

    /// Whether some method reads credentials. Where none does, what a client offers is not looked at.
    pub fn reads_credentials(&self) -> bool {
        !self.challenges.is_empty()
    }

    /// What a client is told to offer; also the answer to credentials that cannot be read. May be empty.
    pub fn challenges(&self) -> &[Challenge] {
        &self.challenges
    }

    /// Says who the client is. Wrong credentials are a challenge even where the network alone would have named the
    /// client. Waits for a password to be verified, off this worker; dropping the future is safe.
    pub async fn authenticate(&self, client: IpAddr, offered: Option<&Credentials>) -> Outcome {
        let seen = Seen {
            client: client.to_canonical(),
            offered: offered.filter(|_| self.reads_credentials()),
        };
        let mut busy = false;
        for method in &self.methods {
            match method.authenticate(seen).await {
                Answer::Known(principal) => return Outcome::Known(principal),
                Answer::Unknown => {}
                Answer::Busy => busy = true,
            }
        }
        if busy {
            Outcome::Busy
        } else if self.reads_credentials() {
            Outcome::Challenge(self.challenges.clone())
        } else {
            Outcome::Anonymous
        }
    }
}

/// The method of principals whose certificate names them.
const CERTIFICATE: &str = "certificate";

fn read_method(table: Table, groups: &Groups, faults: &Faults) -> Option<Box<dyn AuthMethod>> {
    let before = faults.len();
    let at = table.at.clone();
    let mut named: Vec<(&Entry, Value)> = METHODS
        .iter()
        .filter_map(|entry| Some((entry, table.take_value(entry.name)?)))
        .collect();
    table.finish(faults);
    if named.len() > 1 || named.is_empty() && faults.len() == before {
        faults.push(Fault::at(
            &at,
            "each entry of \"auth\" names one method",
            "write [{ basic = { … } }, { network = { … } }]",
        ));
        return None;
    }
    let (entry, value) = named.pop()?;
    (entry.build)(value, groups, faults)
}
