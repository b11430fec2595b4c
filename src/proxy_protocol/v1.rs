//! Version 1: one line of text. `PROXY TCP4 192.0.2.1 198.51.100.1 51234 443` and CR LF.
//! Takes exactly that grammar: one space between words, no leading zeros, no other line end.
//! Start at [`parse`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::{Header, HeaderError, Parse};

/// Reads a version 1 header from bytes that begin with `P`.
pub(super) fn parse(bytes: &[u8]) -> Parse<Header> {
    let begins = bytes.iter().zip(START).all(|(got, wanted)| got == wanted);
    if !begins {
        return Parse::Bad(HeaderError::Missing);
    }
    let window = bytes.get(..LONGEST).unwrap_or(bytes);
    let Some(end) = memchr::memchr(b'\n', window) else {
        if window.len() == LONGEST {
            return Parse::Bad(HeaderError::TooLong);
        }
        return Parse::Need(1);
    };
    let line = window.get(..end).and_then(|line| line.strip_suffix(b"\r"));
    match line.map(read_line) {
        Some(Ok(header)) => Parse::Done(header, end + 1),
        Some(Err(why)) => Parse::Bad(HeaderError::Line { why }),
        None => Parse::Bad(HeaderError::Line {
            why: "it does not end in CR LF",
        }),
    }
}

fn read_line(line: &[u8]) -> Result<Header, &'static str> {
    let words = line.strip_prefix(START).ok_or("it is too short")?;
    // What follows UNKNOWN must be ignored, whatever it is (§2.1).
    if words == b"UNKNOWN" || words.starts_with(b"UNKNOWN ") {
        return Ok(Header::default());
    }
    let words = std::str::from_utf8(words).map_err(|_| "it is not ASCII")?;
    let mut words = words.split(' ');
    let mut next = || words.next().ok_or("a word is missing");
    let ip = match next()? {
        "TCP4" => ipv4,
        "TCP6" => ipv6,
        _ => return Err("the protocol is none of TCP4, TCP6 and UNKNOWN"),
    };
    let (source, destination) = (ip(next()?)?, ip(next()?)?);
    let (source_port, destination_port) = (port(next()?)?, port(next()?)?);
    if words.next().is_some() {
        return Err("it has too many words");
    }
    Ok(Header::between(
        (source, source_port),
        (destination, destination_port),
    ))
}

fn ipv4(text: &str) -> Result<IpAddr, &'static str> {
    let ip = Ipv4Addr::from_str(text).map_err(|_| "an address is not IPv4")?;
    Ok(IpAddr::V4(ip))
}

fn ipv6(text: &str) -> Result<IpAddr, &'static str> {
    let ip = Ipv6Addr::from_str(text).map_err(|_| "an address is not IPv6")?;
    Ok(IpAddr::V6(ip))
}

fn port(text: &str) -> Result<u16, &'static str> {
    // Only digits (the parser of numbers takes a plus sign), and no zero in front.
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    let number = plain.then(|| text.parse().ok()).flatten();
    number.ok_or("a port is not a number from 0 to 65535")
}

const START: &[u8] = b"PROXY ";

/// Bytes of the longest line, CR LF included (§2.1).
const LONGEST: usize = 107;
