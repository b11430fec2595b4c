//! From typed heads and body frames to bytes. Always serialised anew: no byte of a received head is passed on.
//! Decides no framing: `framing` has.
//! Start at [`request_head`] and [`response_head`].

use bytes::{BufMut, BytesMut};
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, Method, StatusCode, Version};

use super::framing::Length;

/// Writes a request head. `host` and framing fields are written here and taken from nowhere else.
pub fn request_head(
    out: &mut BytesMut,
    method: &Method,
    target: &str,
    host: &str,
    headers: &HeaderMap,
    length: Length,
) {
    out.reserve(256 + headers.len() * 48);
    out.put_slice(method.as_str().as_bytes());
    out.put_u8(b' ');
    out.put_slice(target.as_bytes());
    out.put_slice(b" HTTP/1.1\r\nhost: ");
    out.put_slice(host.as_bytes());
    out.put_slice(b"\r\n");
    put_fields(out, headers, false);
    // Methods that usually carry content say that there is none (RFC 9110 §8.6).
    if length == Length::Empty && matches!(*method, Method::POST | Method::PUT | Method::PATCH) {
        out.put_slice(b"content-length: 0\r\n");
    }
    put_length(out, length);
    out.put_slice(b"\r\n");
}

/// Writes a response head. With `keep_length`, a Content-Length in `headers` is kept as it is (HEAD, 304).
pub fn response_head(
    out: &mut BytesMut,
    status: StatusCode,
    headers: &HeaderMap,
    length: Length,
    keep_length: bool,
) {
    out.reserve(256 + headers.len() * 48);
    put_status_line(out, status);
    put_fields(out, headers, keep_length);
    if !keep_length {
        match length {
            // A response without a body says so, or a client would wait for the close.
            Length::Empty if !status.is_informational() && status != StatusCode::NO_CONTENT => {
                out.put_slice(b"content-length: 0\r\n")
            }
            Length::Empty | Length::Sized(_) | Length::Chunked | Length::UntilClose => {
                put_length(out, length)
            }
        }
    }
}

/// Ends a head that [`response_head`] began, saying what becomes of the connection.
pub fn finish_response_head(out: &mut BytesMut, version: Version, keep_alive: bool) {
    match (version, keep_alive) {
        (Version::HTTP_10, true) => out.put_slice(b"connection: keep-alive\r\n"),
        (_, false) => out.put_slice(b"connection: close\r\n"),
        (_, true) => {}
    }
    out.put_slice(b"\r\n");
}

/// Writes a head without any framing: an interim response (RFC 9110 §15.2), 101, or a 2xx to CONNECT (§9.3.6).
pub fn interim(out: &mut BytesMut, status: StatusCode, headers: &HeaderMap) {
    put_status_line(out, status);
    put_fields(out, headers, false);
    out.put_slice(b"\r\n");
}

/// The line that begins a chunk of `size` bytes; its data and CRLF follow.
pub fn chunk_size(out: &mut BytesMut, size: usize) {
    let mut digits = [0u8; 16];
    let mut left = size;
    let mut at = digits.len();
    while at > 0 && (left > 0 || at == digits.len()) {
        at -= 1;
        if let (Some(slot), Some(digit)) = (digits.get_mut(at), b"0123456789abcdef".get(left & 15))
        {
            *slot = *digit;
        }
        left >>= 4;
    }
    out.put_slice(digits.get(at..).unwrap_or_default());
    out.put_slice(b"\r\n");
}

/// The last chunk and the trailer section.
pub fn last_chunk(out: &mut BytesMut, trailers: Option<&HeaderMap>) {
    out.put_slice(b"0\r\n");
    if let Some(trailers) = trailers {
        put_fields(out, trailers, false);
    }
    out.put_slice(b"\r\n");
}

fn put_status_line(out: &mut BytesMut, status: StatusCode) {
    out.put_slice(b"HTTP/1.1 ");
    out.put_slice(status.as_str().as_bytes());
    out.put_u8(b' ');
    out.put_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.put_slice(b"\r\n");
}

/// Framing and connection fields have their own writers, so they never leave from a map.
fn put_fields(out: &mut BytesMut, headers: &HeaderMap, keep_length: bool) {
    for (name, value) in headers {
        let is_length = *name == CONTENT_LENGTH;
        if (is_length && !keep_length) || *name == TRANSFER_ENCODING || *name == HOST {
            continue;
        }
        out.put_slice(name.as_str().as_bytes());
        out.put_slice(b": ");
        out.put_slice(value.as_bytes());
        out.put_slice(b"\r\n");
    }
}

fn put_length(out: &mut BytesMut, length: Length) {
    match length {
        Length::Sized(size) => {
            out.put_slice(b"content-length: ");
            out.put_slice(itoa::Buffer::new().format(size).as_bytes());
            out.put_slice(b"\r\n");
        }
        Length::Chunked => out.put_slice(b"transfer-encoding: chunked\r\n"),
        Length::Empty | Length::UntilClose => {}
    }
}
