//! Fields that are for one connection or for a proxy, and are not stored (RFC 9111 §3.1, RFC 9110 §7.6.1).
//! Not those that a forwarded message is freed of: that has been done before the cache sees it, and is done here once more.
//! Start at [`is_hop`] and [`named_by_connection`].

use http::header::{
    CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName};

/// Whether a field of this name is never stored, and updates nothing that is.
pub(super) fn is_hop(name: &HeaderName) -> bool {
    KNOWN.contains(name) || OTHERS.contains(&name.as_str())
}

/// The fields that the peer meant for its connection (RFC 9110 §7.6.1).
pub(super) fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let lines = headers.get_all(CONNECTION).iter();
    let names = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    names
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect()
}

const KNOWN: [HeaderName; 7] = [
    CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];
const OTHERS: [&str; 4] = [
    "keep-alive",
    "proxy-authentication-info",
    "proxy-connection",
    "proxy-status",
];
