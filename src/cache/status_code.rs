//! What status codes say of caching (RFC 9110 §15.1, RFC 9111 §3).

use http::StatusCode;

/// Whether a response with this status may be used again although it does not say for how long (RFC 9110 §15.1).
pub fn is_heuristically_cacheable(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200 | 203 | 204 | 206 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501
    )
}

/// Whether its rules for caching are known, as `must-understand` asks (RFC 9111 §5.2.2.3). Codes that have none of their own follow
/// those of all.
pub fn is_understood(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200 | 203 | 204 | 206 | 300..=305 | 307 | 308 | 400..=417 | 421 | 422 | 426 | 428 | 429 | 431 | 451 | 500..=505 | 511
    )
}

/// Whether a rule's lifetime is meant for it: for what was asked for, not for an error or a way to it.
pub fn is_kept_by_ttl(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 206 | 300 | 301 | 308)
}

/// Whether a rule's time for errors is meant for it: for what is missing, or has failed, whoever asks. Not for what only this
/// request brought about (400, 408, 421), or only this client (401, 403), which another would not get.
pub fn is_kept_as_error(status: StatusCode) -> bool {
    let is_missing = matches!(status.as_u16(), 404 | 405 | 410 | 414 | 451);
    (is_missing || status.is_server_error()) && !is_never_stored(status)
}

/// Whether it is an error that a stale response may stand in for (RFC 5861 §4).
pub fn is_stood_in_for(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}

/// Whether it is about who asks, not about what was asked for (RFC 9110 §15.5.2, §15.5.4, §15.5.8).
pub fn is_about_the_client(status: StatusCode) -> bool {
    matches!(status.as_u16(), 401 | 403 | 407)
}

/// Whether it is never stored, whatever the response says: it is the one client's (304, 412 and 416 answer its conditions and
/// ranges, RFC 9110 §15; 407 lacks its challenge once stored, RFC 9111 §3.1), or RFC 6585 §3 to §6 forbid it. A 206 is stored as
/// a part of a 200.
pub fn is_never_stored(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        206 | 304 | 407 | 412 | 416 | 428 | 429 | 431 | 511
    )
}

#[cfg(test)]
#[path = "tests/status_code.rs"]
mod tests;
