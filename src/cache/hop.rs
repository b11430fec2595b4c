//! Fields that are for one connection or for a proxy, and are not stored (RFC 9111 §3.1, RFC 9110 §7.6.1).
//! Not those that a forwarded message is freed of: that has been done before the cache sees it, and is done here once more.
//! Nor what `Connection` names, which is read where messages are (message). Start at [`is_hop`].

use http::HeaderName;
use http::header::{
    CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};

/// Whether a field of this name is never stored, and updates nothing that is.
pub(super) fn is_hop(name: &HeaderName) -> bool {
    KNOWN.contains(name) || OTHERS.contains(&name.as_str())
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
