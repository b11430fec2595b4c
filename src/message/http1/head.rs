//! Request and status lines with their header sections (RFC 9112 §3, §4).
//! Judges no target and no framing.
//! Start at [`parse_request`] and [`parse_response`].

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode, Version};

use super::{HeadError, HeadLimits, fields, fields::Scan};

/// A request head as it was sent.
#[derive(Debug)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// The request target, visible ASCII.
    pub target: Bytes,
    /// HTTP/1.0 or HTTP/1.1.
    pub version: Version,
    /// The fields.
    pub headers: HeaderMap,
}

/// A response head as it was sent; the reason phrase has no meaning and is not kept.
#[derive(Debug)]
pub struct ResponseHead {
    /// The status.
    pub status: StatusCode,
    /// HTTP/1.0 or HTTP/1.1.
    pub version: Version,
    /// The fields.
    pub headers: HeaderMap,
}

/// Takes a whole request head from the front of `buf`, or `None` while bytes are missing. `scan` belongs to this head.
pub fn parse_request(
    buf: &mut BytesMut,
    scan: &mut Scan,
    limits: HeadLimits,
) -> Result<Option<RequestHead>, HeadError> {
    if *buf == b"\r"[..] {
        return Ok(None);
    }
    // One empty line before a request is ignored: old clients send one after a body (RFC 9112 §2.2).
    if buf.starts_with(b"\r\n") && !scan.skipped {
        let _ = buf.split_to(2);
        scan.skipped = true;
    }
    let Some(head) = take_head(buf, scan, limits)? else {
        return Ok(None);
    };
    let mut at = 0;
    let line = fields::next_line(&head, &mut at)?.unwrap_or_default();
    let (method, target, version) =
        request_line(line).map_err(|error| fields::blame(line, error))?;
    let target = head.slice_ref(target);
    let headers = fields::parse(&head, at, limits.count)?;
    Ok(Some(RequestHead {
        method,
        target,
        version,
        headers,
    }))
}

/// Takes a whole response head from the front of `buf`, or `None` while bytes are missing.
pub fn parse_response(
    buf: &mut BytesMut,
    scan: &mut Scan,
    limits: HeadLimits,
) -> Result<Option<ResponseHead>, HeadError> {
    let Some(head) = take_head(buf, scan, limits)? else {
        return Ok(None);
    };
    let mut at = 0;
    let line = fields::next_line(&head, &mut at)?.unwrap_or_default();
    let (version, status) = status_line(line).map_err(|error| fields::blame(line, error))?;
    let headers = fields::parse(&head, at, limits.count)?;
    Ok(Some(ResponseHead {
        status,
        version,
        headers,
    }))
}

fn status_line(line: &[u8]) -> Result<(Version, StatusCode), HeadError> {
    let malformed = HeadError::Malformed("the status line is malformed");
    let version = parse_version(line.get(..8).ok_or(malformed)?)?;
    let status = match line.get(8..) {
        // The reason phrase may be empty, and its blank is often left out with it.
        Some([b' ', code @ ..]) if code.len() == 3 || code.get(3) == Some(&b' ') => {
            code.get(..3).ok_or(malformed)?
        }
        _ => return Err(malformed),
    };
    let reason = line.get(12..).unwrap_or_default();
    if reason
        .iter()
        .any(|b| (*b < b' ' && *b != b'\t') || *b == 0x7f)
    {
        return Err(malformed);
    }
    let status = StatusCode::from_bytes(status).map_err(|_| malformed)?;
    Ok((version, status))
}

fn take_head(
    buf: &mut BytesMut,
    scan: &mut Scan,
    limits: HeadLimits,
) -> Result<Option<Bytes>, HeadError> {
    let end = scan.find_end(buf)?;
    let size = end.unwrap_or(buf.len());
    if size > limits.size {
        return Err(HeadError::TooLarge);
    }
    let Some(end) = end else { return Ok(None) };
    *scan = Scan::default();
    Ok(Some(buf.split_to(end).freeze()))
}

/// Exactly one SP between the three parts: other blanks are where parsers disagree (RFC 9112 §3).
fn request_line(line: &[u8]) -> Result<(Method, &[u8], Version), HeadError> {
    let malformed = HeadError::Malformed("the request line is malformed");
    let mut parts = line.split(|b| *b == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(malformed);
    };
    if target.is_empty() || !target.iter().all(|b| (0x21..=0x7e).contains(b)) {
        return Err(HeadError::Malformed(
            "the request target contains a character that is not allowed",
        ));
    }
    let method = Method::from_bytes(method)
        .map_err(|_| HeadError::Malformed("the method is not a token"))?;
    Ok((method, target, parse_version(version)?))
}

fn parse_version(text: &[u8]) -> Result<Version, HeadError> {
    match text {
        b"HTTP/1.1" => Ok(Version::HTTP_11),
        b"HTTP/1.0" => Ok(Version::HTTP_10),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(HeadError::Version)
        }
        _ => Err(HeadError::Malformed("the HTTP version is malformed")),
    }
}
