//! What the extensions of a ClientHello say, as far as a proxy asks.
//! Takes from an extension only what it understands; of all others it knows that they are there.
//! Start at [`Extensions::read`].

use crate::addr::Host;

use super::HelloError;
use super::reader::Reader;

/// The extensions of one hello. What the client does not send is empty or `None`.
#[derive(Debug, Default)]
pub(super) struct Extensions {
    /// The types, sorted.
    pub(super) kinds: Vec<u16>,
    pub(super) server_name: Option<Host>,
    pub(super) alpn: Vec<Box<[u8]>>,
    pub(super) versions: Option<Vec<u16>>,
    /// In the client's order.
    pub(super) signatures: Vec<u16>,
    pub(super) ech: bool,
}

impl Extensions {
    /// RFC 8446 §4.2. Before TLS 1.3 a hello may end without them (RFC 5246 §7.4.1.2).
    pub(super) fn read(mut block: Reader<'_>) -> Result<Self, HelloError> {
        let mut all = Self::default();
        while !block.is_empty() {
            let kind = block.number().ok_or(HelloError::Length { what: LIST })?;
            let data = block.vec16().ok_or(HelloError::Length { what: LIST })?;
            all.kinds.push(kind);
            all.take(kind, data)?;
        }
        all.kinds.sort_unstable();
        // "There MUST NOT be more than one extension of the same type" (RFC 8446 §4.2): which of two would the origin see?
        for pair in all.kinds.windows(2) {
            if let [one, other] = *pair
                && one == other
            {
                return Err(HelloError::Repeated { kind: one });
            }
        }
        Ok(all)
    }

    fn take(&mut self, kind: u16, data: Reader<'_>) -> Result<(), HelloError> {
        match kind {
            SERVER_NAME => self.server_name = Some(server_name(data)?),
            ALPN => self.alpn = protocols(data)?,
            SIGNATURE_ALGORITHMS => {
                let list = only(data, Reader::vec16).and_then(Reader::numbers);
                self.signatures = list.ok_or(HelloError::Length { what: SIGNATURES })?;
            }
            SUPPORTED_VERSIONS => {
                let list = only(data, Reader::vec8).and_then(Reader::numbers);
                self.versions = Some(list.ok_or(HelloError::Length { what: VERSIONS })?);
            }
            ENCRYPTED_CLIENT_HELLO | ENCRYPTED_SERVER_NAME => self.ech = true,
            _ => {}
        }
        Ok(())
    }
}

/// The one vector that an extension consists of.
fn only<'a>(
    mut data: Reader<'a>,
    vector: impl FnOnce(&mut Reader<'a>) -> Option<Reader<'a>>,
) -> Option<Reader<'a>> {
    let list = vector(&mut data)?;
    data.end()?;
    Some(list)
}

/// RFC 6066 §3: exactly one name, a DNS name in ASCII. The trailing dot that it should not have is taken off.
fn server_name(data: Reader<'_>) -> Result<Host, HelloError> {
    let length = || HelloError::Length { what: NAMES };
    let bad = |why| Err(HelloError::ServerName { why });
    let mut list = only(data, Reader::vec16).ok_or_else(length)?;
    if list.byte().ok_or_else(length)? != HOST_NAME {
        return bad("it is of an unknown type");
    }
    let name = list.vec16().ok_or_else(length)?.rest();
    if !list.is_empty() {
        return bad("there are several");
    }
    // A U-label would be read as its A-label, but a server need not read it so.
    let Some(name) = std::str::from_utf8(name)
        .ok()
        .filter(|name| name.is_ascii())
    else {
        return bad("it is not in ASCII");
    };
    match Host::parse_bare(name)? {
        host @ Host::Name(_) => Ok(host),
        Host::Addr(_) => bad("an address is no server name"),
    }
}

/// RFC 7301 §3.1: at least one protocol, none of them empty.
fn protocols(data: Reader<'_>) -> Result<Vec<Box<[u8]>>, HelloError> {
    let length = || HelloError::Length { what: PROTOCOLS };
    let mut list = only(data, Reader::vec16).ok_or_else(length)?;
    let mut protocols = Vec::new();
    while !list.is_empty() {
        let name = list.vec8().ok_or_else(length)?.rest();
        if name.is_empty() || protocols.len() == MOST_PROTOCOLS {
            return Err(HelloError::Protocols);
        }
        protocols.push(Box::from(name));
    }
    if protocols.is_empty() {
        return Err(HelloError::Protocols);
    }
    Ok(protocols)
}

const LIST: &str = "list of extensions";
const NAMES: &str = "server_name extension";
const PROTOCOLS: &str = "ALPN extension";
const SIGNATURES: &str = "signature_algorithms extension";
const VERSIONS: &str = "supported_versions extension";

/// RFC 6066 §3, and its only type of name.
pub(super) const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;
/// RFC 8446 §4.2.3.
const SIGNATURE_ALGORITHMS: u16 = 13;
/// RFC 7301 §3.1.
pub(super) const ALPN: u16 = 16;
/// RFC 8446 §4.2.1.
const SUPPORTED_VERSIONS: u16 = 43;
/// RFC 9849 §5.
const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;
/// What came before it: draft-ietf-tls-esni, up to -06.
const ENCRYPTED_SERVER_NAME: u16 = 0xffce;
/// Far more than exist, and few enough that a hello of nothing else costs little memory.
const MOST_PROTOCOLS: usize = 256;
