//! Version 2: a binary header with extensions (type, length, value).
//! Of the extensions only the checksum is looked at; UNIX addresses are skipped, since no rule could judge them.
//! Start at [`parse`].

use std::net::IpAddr;

use super::{Header, HeaderError, Parse};

/// Reads a version 2 header from bytes that begin with CR.
pub(super) fn parse(bytes: &[u8]) -> Parse<Header> {
    let begins = bytes
        .iter()
        .zip(SIGNATURE)
        .all(|(got, wanted)| got == wanted);
    if !begins {
        return Parse::Bad(HeaderError::Missing);
    }
    let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED>() else {
        return Parse::Need(FIXED.saturating_sub(bytes.len()));
    };
    let [.., command, family, high, low] = *fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if FIXED + length > LONGEST {
        return Parse::Bad(HeaderError::TooLong);
    }
    let kind = match kind(command, family) {
        Ok(kind) => kind,
        Err(error) => return Parse::Bad(error),
    };
    let Some(body) = rest.get(..length) else {
        return Parse::Need(length.saturating_sub(rest.len()));
    };
    match read_body(kind, fixed, body) {
        Ok(header) => Parse::Done(header, FIXED + length),
        Err(error) => Parse::Bad(error),
    }
}

/// What the body begins with.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Nothing that may be looked at (§2.2: LOCAL and UNSPEC are skipped by their length).
    Opaque,
    Ipv4,
    Ipv6,
    Unix,
}

fn kind(command: u8, family: u8) -> Result<Kind, HeaderError> {
    match (command, family) {
        // LOCAL: the balancer's own connection; the family is to be ignored too.
        (0x20, _) | (0x21, 0x00) => Ok(Kind::Opaque),
        (0x21, 0x11) => Ok(Kind::Ipv4),
        (0x21, 0x21) => Ok(Kind::Ipv6),
        (0x21, 0x31) => Ok(Kind::Unix),
        // Datagrams too: what comes over a stream was none.
        (0x21, got) => Err(HeaderError::Family { got }),
        (got, _) => Err(HeaderError::Command { got }),
    }
}

fn read_body(kind: Kind, fixed: &[u8; FIXED], body: &[u8]) -> Result<Header, HeaderError> {
    let (header, extensions) = match kind {
        Kind::Opaque => return Ok(Header::default()),
        Kind::Ipv4 => addresses::<4>(body)?,
        Kind::Ipv6 => addresses::<16>(body)?,
        Kind::Unix => {
            let (_, extensions) = take::<UNIX>(body)?;
            (Header::default(), extensions)
        }
    };
    let Some(checksum) = find_checksum(extensions)? else {
        return Ok(header);
    };
    // The checksum is over the whole header, with zeros in its own place; it lies before `checksum.after` last bytes.
    let (before, _) = body
        .split_at_checked(body.len().saturating_sub(checksum.after + 4))
        .ok_or(HeaderError::Truncated)?;
    let after = body
        .get(body.len().saturating_sub(checksum.after)..)
        .ok_or(HeaderError::Truncated)?;
    let parts = [fixed.as_slice(), before, &[0; 4], after];
    if crc32c(parts.into_iter().flatten()) != checksum.value {
        return Err(HeaderError::Checksum);
    }
    Ok(header)
}

fn addresses<const N: usize>(body: &[u8]) -> Result<(Header, &[u8]), HeaderError>
where
    IpAddr: From<[u8; N]>,
{
    let (source, rest) = take::<N>(body)?;
    let (destination, rest) = take::<N>(rest)?;
    let (source_port, rest) = take::<2>(rest)?;
    let (destination_port, rest) = take::<2>(rest)?;
    let header = Header::between(
        (source.into(), u16::from_be_bytes(source_port)),
        (destination.into(), u16::from_be_bytes(destination_port)),
    );
    Ok((header, rest))
}

fn take<const N: usize>(bytes: &[u8]) -> Result<([u8; N], &[u8]), HeaderError> {
    let (taken, rest) = bytes
        .split_first_chunk::<N>()
        .ok_or(HeaderError::Truncated)?;
    Ok((*taken, rest))
}

struct Checksum {
    value: u32,
    /// Bytes that follow it.
    after: usize,
}

/// Walks all extensions, so that a malformed one is noticed, and finds the one checksum.
fn find_checksum(mut extensions: &[u8]) -> Result<Option<Checksum>, HeaderError> {
    let mut found = None;
    while !extensions.is_empty() {
        let ([kind, high, low], rest) = take::<3>(extensions)?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (value, rest) = rest
            .split_at_checked(length)
            .ok_or(HeaderError::Truncated)?;
        extensions = rest;
        if kind != CHECKSUM {
            continue;
        }
        // Two checksums cannot both be right: each covers the other.
        let bytes = <[u8; 4]>::try_from(value).map_err(|_| HeaderError::Checksum)?;
        if found.is_some() {
            return Err(HeaderError::Checksum);
        }
        found = Some(Checksum {
            value: u32::from_be_bytes(bytes),
            after: rest.len(),
        });
    }
    Ok(found)
}

/// CRC32c (RFC 9260 appendix A), bit by bit: a header is short, and comes once in a connection.
pub(super) fn crc32c<'a>(bytes: impl Iterator<Item = &'a u8>) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let low = crc & 1;
            crc = (crc >> 1) ^ (CASTAGNOLI * low);
        }
    }
    !crc
}

pub(super) const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Bytes before the addresses: signature, command, family, length.
const FIXED: usize = 16;

/// Bytes of two UNIX addresses.
const UNIX: usize = 216;

/// Most bytes of a header that we take; the field would allow 64 KiB, and no sender needs them.
const LONGEST: usize = 4096;

/// The extension type PP2_TYPE_ALPN.
pub(super) const ALPN: u8 = 0x01;

/// The extension type PP2_TYPE_AUTHORITY.
pub(super) const AUTHORITY: u8 = 0x02;

/// The extension type PP2_TYPE_CRC32C.
const CHECKSUM: u8 = 0x03;

/// The polynomial, bits reversed.
const CASTAGNOLI: u32 = 0x82f6_3b78;
