//! Every condition there is, as a constant: the reader of policies, `explain` and the manual use this one list.
//! Not how any of them works: that is each one's file.
//! Start at [`CONDITIONS`].

use super::{
    Entry, address, alpn, client, ech, fingerprint, group, header, host, listener, method, path,
    port, principal, scheme, sni, time, tls_version,
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
    sni::ENTRY,
    alpn::ENTRY,
    tls_version::ENTRY,
    ech::ENTRY,
    fingerprint::ENTRY,
    path::ENTRY,
    header::ENTRY,
    time::ENTRY,
];
