//! A probe by gRPC: one call of `grpc.health.v1.Health/Check`, whose two messages have one field each and are written and read by
//! hand. By the protocol over HTTP/2 of gRPC, and protocol buffers' encoding.
//! Start at [`ask`].

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, TE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};

use super::check::Target;
use super::http::{AGENT, read, send};
use crate::message::Body;
use crate::message::http1::framing::Length;
use crate::pool::Outgoing;

/// Asks after a service; an empty name is the server itself.
pub(super) async fn ask(target: &Target<'_>, service: &str) -> Result<(), String> {
    let host = target.authority.to_string();
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    let message = request(service);
    let outgoing = Outgoing {
        method: &Method::POST,
        target: "/grpc.health.v1.Health/Check",
        host: &host,
        headers: &headers,
        length: Length::Sized(message.len() as u64),
        patience: None,
    };
    let response = send(target, &outgoing, Body::Full(message)).await?;
    if response.version() != Version::HTTP_2 {
        return Err("it does not speak HTTP/2, which gRPC needs".to_owned());
    }
    if response.status() != StatusCode::OK {
        let code = response.status().as_u16();
        return Err(format!("it answered with status {code}"));
    }
    let (head, body) = response.into_parts();
    let (content, trailers) = read(body, LARGEST).await?;
    // A call that fails at once has its trailers in its head.
    let of_head = Some(&head.headers).filter(|headers| headers.contains_key(STATUS));
    let status = of_head.or(trailers.as_ref());
    let status = status.and_then(|headers| headers.get(STATUS)?.to_str().ok());
    match status {
        Some("0") => {}
        Some("5") => return Err(format!("it knows no service \"{service}\"")),
        Some("12") => return Err("it has no health service".to_owned()),
        Some(code) => return Err(format!("the call ended with status {code}")),
        None => return Err("the call ended without a status".to_owned()),
    }
    match serving(&content) {
        Some(1) => Ok(()),
        Some(0) => Err("it does not know whether it serves".to_owned()),
        Some(2) => Err("it says that it does not serve".to_owned()),
        Some(3) => Err(format!("it knows no service \"{service}\"")),
        Some(_) | None => Err("its answer is none of a health service".to_owned()),
    }
}

/// `HealthCheckRequest { string service = 1; }`, behind the five bytes that begin each message: not compressed, and its length.
fn request(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(SERVICE);
        put_varint(&mut message, service.len());
        message.put_slice(service.as_bytes());
    }
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(&message);
    framed.freeze()
}

/// The status of a `HealthCheckResponse { ServingStatus status = 1; }`; what is not sent is 0. `None` where it is none.
fn serving(content: &[u8]) -> Option<u64> {
    let (prefix, mut message) = content.split_at_checked(5)?;
    let length = u32::from_be_bytes(prefix.get(1..)?.try_into().ok()?);
    if prefix.first() != Some(&0) || message.len() != length as usize {
        return None;
    }
    let mut status = 0;
    while !message.is_empty() {
        let tag = take_varint(&mut message)?;
        match tag & 7 {
            0 => {
                let value = take_varint(&mut message)?;
                // The last one holds.
                status = if tag >> 3 == 1 { value } else { status };
            }
            1 => message = message.get(8..)?,
            2 => {
                let length = take_varint(&mut message)?;
                message = message.get(usize::try_from(length).ok()?..)?;
            }
            5 => message = message.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

fn put_varint(to: &mut BytesMut, mut number: usize) {
    while number > 0x7f {
        to.put_u8((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    to.put_u8(number as u8);
}

fn take_varint(from: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for place in 0..10 {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        number |= u64::from(byte & 0x7f).checked_shl(place * 7)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// Field 1, with a length.
const SERVICE: u8 = 1 << 3 | 2;
/// An answer is a few bytes.
const LARGEST: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_its_service_s_name_behind_a_length() {
        assert_eq!(&request("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(&request("ab")[..], *b"\0\0\0\0\x04\x0a\x02ab");
        let long = request(&"x".repeat(300));
        assert_eq!(&long[..8], [0, 0, 0, 1, 47, 0x0a, 0xac, 0x02]);
    }

    #[test]
    fn an_answer_is_read_whatever_else_it_has_and_nothing_else_is_one() {
        for (content, expected) in [
            (&b"\0\0\0\0\x02\x08\x01"[..], Some(1)),
            (b"\0\0\0\0\x02\x08\x02", Some(2)),
            (b"\0\0\0\0\0", Some(0)),
            (b"\0\0\0\0\x06\x12\x02ab\x08\x01", Some(1)),
            (b"\0\0\0\0\x07\x1d\0\0\0\0\x08\x01", Some(1)),
            (b"", None),
            (b"\0\0\0\0\x02\x08", None),
            (b"\0\0\0\0\x03\x08\x01", None),
            (b"\x01\0\0\0\x02\x08\x01", None),
            (b"\0\0\0\0\x02\x0a\x09", None),
            (b"\0\0\0\0\x01\x0b", None),
            (
                b"\0\0\0\0\x0c\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
                None,
            ),
            (b"<html>", None),
        ] {
            assert_eq!(serving(content), expected, "{content:?}");
        }
    }
}
