//! SOCKS 5 (RFC 1928) with user and password (RFC 1929): greeting, credentials, request, and their answers.
//! Not GSSAPI, not the datagrams of UDP ASSOCIATE.
//! Start at [`parse_greeting`], then [`parse_credentials`] if that was chosen, then [`parse_request`].

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use smallvec::SmallVec;

use crate::addr::{Authority, Host};

use super::input::{self, Input, Stop};
use super::{Parse, SocksError};

/// First byte of every SOCKS 5 message but those of RFC 1929.
pub const VERSION: u8 = 5;

/// How a client may show who it is (RFC 1928 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// It need not.
    None,
    /// By user and password (RFC 1929).
    UserPassword,
    /// Nothing that was offered will do; the client must close.
    NoneAcceptable,
}

impl Method {
    fn code(self) -> u8 {
        match self {
            Self::None => 0x00,
            Self::UserPassword => 0x02,
            Self::NoneAcceptable => 0xff,
        }
    }
}

/// A client's first message: the methods that it offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    methods: SmallVec<[u8; 16]>,
}

impl Greeting {
    /// Whether the client offers this method. 0xff is none, even if a client lists it.
    pub fn offers(&self, method: Method) -> bool {
        method != Method::NoneAcceptable && self.methods.contains(&method.code())
    }
}

/// Reads a greeting (RFC 1928 §3).
pub fn parse_greeting(bytes: &[u8]) -> Parse<Greeting> {
    Input::run(bytes, |input| {
        input.version(VERSION)?;
        let methods = input.counted()?;
        if methods.is_empty() {
            return Err(SocksError::NoMethods.into());
        }
        Ok(Greeting {
            methods: SmallVec::from_slice(methods),
        })
    })
}

/// The answer to a greeting (RFC 1928 §3).
pub fn encode_method(method: Method) -> [u8; 2] {
    [VERSION, method.code()]
}

/// User and password as the client sent them: any bytes. Lengths of zero, which RFC 1929 §2 excludes, are taken, since
/// clients without a password send them: they are for the authentication to refuse.
#[derive(Clone, PartialEq, Eq)]
pub struct UserPassword {
    /// The user's name, at most 255 bytes.
    pub user: Vec<u8>,
    /// The password, at most 255 bytes. Never shown by `Debug`.
    pub password: Vec<u8>,
}

impl fmt::Debug for UserPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserPassword")
            .field("user", &String::from_utf8_lossy(&self.user))
            .finish_non_exhaustive()
    }
}

/// Reads user and password (RFC 1929 §2).
pub fn parse_credentials(bytes: &[u8]) -> Parse<UserPassword> {
    Input::run(bytes, |input| {
        input.version(CREDENTIALS_VERSION)?;
        let user = input.counted()?.to_vec();
        let password = input.counted()?.to_vec();
        Ok(UserPassword { user, password })
    })
}

/// The answer to user and password; after a refusal the connection must be closed (RFC 1929 §2).
pub fn encode_credentials_reply(accepted: bool) -> [u8; 2] {
    [CREDENTIALS_VERSION, u8::from(!accepted)]
}

/// What a client asks for (RFC 1928 §4). Only of CONNECT is the address read: nothing else is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// A connection to this place. A name that spells an address has become the address.
    Connect(Authority),
    /// To wait for a connection.
    Bind,
    /// To relay datagrams.
    UdpAssociate,
    /// A command that the RFC does not know.
    Other(u8),
}

/// Reads a request (RFC 1928 §4, §5). Errors: [`SocksError::reply`] has the answer for each.
pub fn parse_request(bytes: &[u8]) -> Parse<Request> {
    Input::run(bytes, |input| {
        input.version(VERSION)?;
        let [command, reserved] = input.array()?;
        if reserved != 0 {
            return Err(SocksError::Reserved { got: reserved }.into());
        }
        let address = read_address(input)?;
        let port = input.port()?;
        match command {
            1 => {
                let port = input::non_zero(port)?;
                Ok(Request::Connect(Authority::new(address.host()?, port)))
            }
            2 => Ok(Request::Bind),
            3 => Ok(Request::UdpAssociate),
            other => Ok(Request::Other(other)),
        }
    })
}

enum Address<'a> {
    Ip(IpAddr),
    Name(&'a [u8]),
}

impl Address<'_> {
    fn host(&self) -> Result<Host, SocksError> {
        match self {
            Self::Ip(ip) => Ok(Host::from_ip(*ip)),
            Self::Name(name) => input::host(name),
        }
    }
}

fn read_address<'a>(input: &mut Input<'a>) -> Result<Address<'a>, Stop> {
    match input.byte()? {
        1 => Ok(Address::Ip(input.array::<4>()?.into())),
        3 => Ok(Address::Name(input.counted()?)),
        4 => Ok(Address::Ip(input.array::<16>()?.into())),
        got => Err(SocksError::AddressType { got }.into()),
    }
}

/// The outcome of a request (RFC 1928 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// The connection stands.
    Succeeded,
    /// Failed for a reason that has no code of its own.
    GeneralFailure,
    /// Policy said no.
    NotAllowed,
    /// No route to the network.
    NetworkUnreachable,
    /// No route to the host, or no address for its name.
    HostUnreachable,
    /// The origin refused the connection.
    ConnectionRefused,
    /// BIND, UDP ASSOCIATE, or a command that nobody knows.
    CommandNotSupported,
    /// An address type that nobody knows.
    AddressTypeNotSupported,
}

impl Reply {
    /// The value of the field REP.
    pub fn code(self) -> u8 {
        match self {
            Self::Succeeded => 0x00,
            Self::GeneralFailure => 0x01,
            Self::NotAllowed => 0x02,
            Self::NetworkUnreachable => 0x03,
            Self::HostUnreachable => 0x04,
            Self::ConnectionRefused => 0x05,
            Self::CommandNotSupported => 0x07,
            Self::AddressTypeNotSupported => 0x08,
        }
    }
}

/// A reply's bytes. `bound` is the address that the connection to the origin has on our side; without one, as in every
/// failure, 0.0.0.0:0 stands in.
pub fn encode_reply(reply: Reply, bound: Option<SocketAddr>) -> SmallVec<[u8; 22]> {
    let mut bytes = SmallVec::from_slice(&[VERSION, reply.code(), 0]);
    let bound = bound.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)));
    match bound.ip().to_canonical() {
        IpAddr::V4(ip) => {
            bytes.push(1);
            bytes.extend_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            bytes.push(4);
            bytes.extend_from_slice(&ip.octets());
        }
    }
    bytes.extend_from_slice(&bound.port().to_be_bytes());
    bytes
}

/// First byte of the messages of RFC 1929: the version of that exchange, not of SOCKS.
const CREDENTIALS_VERSION: u8 = 1;
