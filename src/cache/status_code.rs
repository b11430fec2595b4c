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
        200 | 203 | 204 | 206 | 300..=305 | 307 | 308 | 400..=417 | 421 | 422 | 426 | 500..=505
    )
}

/// Whether a rule's lifetime is meant for it: for what was asked for, not for an error or a way to it.
pub fn is_kept_by_ttl(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 206 | 300 | 301 | 308)
}
