//! How long a message body is (RFC 9112 §6), decided once, strictly, for both sides.
//! Reads no body: the decoder does.
//! Start at [`of_request`] and [`of_response`].

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};

use super::HeadError;
use crate::addr::Authority;

/// The length of a body on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// No body.
    Empty,
    /// So many bytes.
    Sized(u64),
    /// Chunks until the last one, then trailers.
    Chunked,
    /// Everything until the peer closes (responses only).
    UntilClose,
}

/// The length of a request's body. Errors: every reading that another server might take differently.
pub fn of_request(version: Version, headers: &HeaderMap) -> Result<Length, HeadError> {
    match declared(version, headers)? {
        Some(length) => Ok(length),
        None => Ok(Length::Empty),
    }
}

/// The length of a response's body to a request with `method`.
pub fn of_response(
    method: &Method,
    status: StatusCode,
    version: Version,
    headers: &HeaderMap,
) -> Result<Length, HeadError> {
    let declared = declared(version, headers)?;
    if has_no_body(method, status) {
        return Ok(Length::Empty);
    }
    Ok(declared.unwrap_or(Length::UntilClose))
}

/// Whether a response never has a body, whatever its fields say (RFC 9112 §6.3, rule 1).
pub fn has_no_body(method: &Method, status: StatusCode) -> bool {
    *method == Method::HEAD
        || status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED
}

/// Demands exactly one Host in HTTP/1.1 and at most one in HTTP/1.0, and that it could be one (RFC 9112 §3.2).
pub fn check_host(version: Version, headers: &HeaderMap) -> Result<(), HeadError> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if version == Version::HTTP_11 => {
            Err(HeadError::Malformed("the Host field is missing"))
        }
        (None, _) => Ok(()),
        (Some(_), Some(_)) => Err(HeadError::Malformed("there is more than one Host field")),
        (Some(host), None) if is_host(host) => Ok(()),
        (Some(_), None) => Err(HeadError::Malformed("the Host field is not a host")),
    }
}

/// An empty Host is what a client sends whose target has no authority (§3.2).
fn is_host(value: &HeaderValue) -> bool {
    value.is_empty()
        || value
            .to_str()
            .is_ok_and(|text| Authority::parse(text, Some(80)).is_ok())
}

fn declared(version: Version, headers: &HeaderMap) -> Result<Option<Length>, HeadError> {
    let chunked = is_chunked(headers)?;
    let sized = content_length(headers)?;
    match (chunked, sized) {
        // RFC 9112 §6.1 allows to drop the length; whoever sends both is attacking or broken.
        (true, Some(_)) => Err(HeadError::Malformed(
            "both Content-Length and Transfer-Encoding are present",
        )),
        (true, None) if version == Version::HTTP_10 => {
            Err(HeadError::Malformed("Transfer-Encoding in HTTP/1.0"))
        }
        (true, None) => Ok(Some(Length::Chunked)),
        (false, sized) => Ok(sized.map(|length| {
            if length == 0 {
                Length::Empty
            } else {
                Length::Sized(length)
            }
        })),
    }
}

/// Only a lone `chunked` is a transfer coding that we know; no other one was offered.
fn is_chunked(headers: &HeaderMap) -> Result<bool, HeadError> {
    let mut values = headers.get_all(TRANSFER_ENCODING).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(false),
        (Some(value), None) if value.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(true),
        (Some(_), _) => Err(HeadError::Malformed(
            "the transfer coding is unknown, repeated or malformed",
        )),
    }
}

fn content_length(headers: &HeaderMap) -> Result<Option<u64>, HeadError> {
    let mut values = headers.get_all(CONTENT_LENGTH).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(HeadError::Malformed(
            "there is more than one Content-Length",
        ));
    }
    let digits = value.as_bytes();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(HeadError::Malformed("the Content-Length is not a number"));
    }
    let length = std::str::from_utf8(digits)
        .ok()
        .and_then(|text| text.parse().ok());
    length
        .map(Some)
        .ok_or(HeadError::Malformed("the Content-Length is too large"))
}
