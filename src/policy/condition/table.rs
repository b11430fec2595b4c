//! Every condition there is, as a constant: the reader of policies, `explain` and the manual use this one list.
//! Not how any of them works: that is each one's file.
//! Start at [`CONDITIONS`].

use super::{
    Entry, address, client, group, header, host, listener, method, path, port, principal, scheme,
    time,
};

/// All conditions, in the order in which a rule asks them: cheap and telling ones first.
pub const CONDITIONS: &[Entry] = &[
    listener::ENTRY,
    scheme::ENTRY,
    method::ENTRY,
    port::ENTRY,
    client::ENTRY,
    principal::ENTRY,
    group::ENTRY,
    host::ENTRY,
    address::ENTRY,
    path::ENTRY,
    header::ENTRY,
    time::ENTRY,
];
