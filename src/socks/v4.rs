//! SOCKS 4 and its extension 4a (names): the request and its answer.
//! Not identd: the user's name is what the client says, and proves nothing.
//! Start at [`parse_request`].

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::addr::{Authority, Host};

use super::Parse;
use super::input::{self, Input, Stop};

/// First byte of a request.
pub const VERSION: u8 = 4;

/// A client's only message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What it asks for.
    pub command: Command,
    /// Who it says it is: any bytes but NUL, at most 255, often none.
    pub user: Vec<u8>,
}

/// What a client asks for. Only of CONNECT is the address read: nothing else is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A connection to this place. A name (4a) that spells an address has become the address.
    Connect(Authority),
    /// To wait for a connection.
    Bind,
    /// A command that SOCKS 4 does not know.
    Other(u8),
}

/// Reads a request. The address 0.0.0.x with x not zero says that a name follows (4a).
pub fn parse_request(bytes: &[u8]) -> Parse<Request> {
    Input::run(bytes, |input| {
        input.version(VERSION)?;
        let command = input.byte()?;
        let port = input.port()?;
        let ip = Ipv4Addr::from(input.array::<4>()?);
        let user = input.terminated("user id")?.to_vec();
        let name = match ip.octets() {
            [0, 0, 0, last] if last != 0 => Some(input.terminated("host name")?),
            _ => None,
        };
        let command = match command {
            1 => Command::Connect(authority(ip, name, port)?),
            2 => Command::Bind,
            other => Command::Other(other),
        };
        Ok(Request { command, user })
    })
}

fn authority(ip: Ipv4Addr, name: Option<&[u8]>, port: u16) -> Result<Authority, Stop> {
    let port = input::non_zero(port)?;
    let host = match name {
        Some(name) => input::host(name)?,
        None => Host::from_ip(IpAddr::V4(ip)),
    };
    Ok(Authority::new(host, port))
}

/// The outcome of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// The connection stands.
    Granted,
    /// Refused or failed: SOCKS 4 has one code for all reasons.
    Rejected,
    /// Refused, because no identd on the client confirms the user.
    NoIdentd,
    /// Refused, because identd names another user.
    WrongUser,
}

impl Reply {
    /// The value of the field CD.
    pub fn code(self) -> u8 {
        match self {
            Self::Granted => 90,
            Self::Rejected => 91,
            Self::NoIdentd => 92,
            Self::WrongUser => 93,
        }
    }
}

/// A reply's bytes. `bound` is the address that the connection to the origin has on our side; zeros stand in for none,
/// and for an IPv6 address, which has no place here. Clients ignore it for CONNECT.
pub fn encode_reply(reply: Reply, bound: Option<SocketAddr>) -> [u8; 8] {
    let (ip, port) = match bound.map(|at| (at.ip().to_canonical(), at.port())) {
        Some((IpAddr::V4(ip), port)) => (ip, port),
        Some((IpAddr::V6(_), _)) | None => (Ipv4Addr::UNSPECIFIED, 0),
    };
    let ([high, low], [a, b, c, d]) = (port.to_be_bytes(), ip.octets());
    // The first byte is the version of the reply, zero.
    [0, reply.code(), high, low, a, b, c, d]
}
