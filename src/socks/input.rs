//! Taking a message apart, byte by byte, without an index that could be wrong.
//! Knows lengths and numbers, not what they mean.
//! Start at [`Input::run`].

use crate::addr::Host;

use super::{Parse, SocksError};

/// The bytes received, and how far they are read.
#[derive(Debug)]
pub(super) struct Input<'a> {
    rest: &'a [u8],
}

/// Why reading stops before the end of the message.
#[derive(Debug)]
pub(super) enum Stop {
    Need(usize),
    Bad(SocksError),
}

impl From<SocksError> for Stop {
    fn from(error: SocksError) -> Self {
        Self::Bad(error)
    }
}

impl<'a> Input<'a> {
    /// Reads one message with `grammar`.
    pub(super) fn run<T>(
        bytes: &'a [u8],
        grammar: impl FnOnce(&mut Self) -> Result<T, Stop>,
    ) -> Parse<T> {
        let mut input = Self { rest: bytes };
        match grammar(&mut input) {
            Ok(message) => Parse::Done(message, bytes.len() - input.rest.len()),
            Err(Stop::Need(more)) => Parse::Need(more),
            Err(Stop::Bad(error)) => Parse::Bad(error),
        }
    }

    pub(super) fn bytes(&mut self, n: usize) -> Result<&'a [u8], Stop> {
        let (taken, rest) = self
            .rest
            .split_at_checked(n)
            .ok_or_else(|| Stop::Need(n.saturating_sub(self.rest.len())))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        let (taken, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or_else(|| Stop::Need(N.saturating_sub(self.rest.len())))?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Stop> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn port(&mut self) -> Result<u16, Stop> {
        self.array().map(u16::from_be_bytes)
    }

    /// Bytes behind a length of one byte.
    pub(super) fn counted(&mut self) -> Result<&'a [u8], Stop> {
        let n = self.byte()?;
        self.bytes(usize::from(n))
    }

    /// Bytes up to a NUL, which is taken and left out; at most 255 of them.
    pub(super) fn terminated(&mut self, what: &'static str) -> Result<&'a [u8], Stop> {
        let window = self.rest.get(..=LONGEST).unwrap_or(self.rest);
        let Some(end) = memchr::memchr(0, window) else {
            if window.len() > LONGEST {
                return Err(SocksError::TooLong { what }.into());
            }
            return Err(Stop::Need(1));
        };
        let text = self.bytes(end)?;
        self.byte()?;
        Ok(text)
    }

    pub(super) fn version(&mut self, expected: u8) -> Result<(), Stop> {
        match self.byte()? {
            got if got == expected => Ok(()),
            got => Err(SocksError::Version { got, expected }.into()),
        }
    }
}

/// The canonical host of a name as the client wrote it; one that spells an address is that address.
pub(super) fn host(name: &[u8]) -> Result<Host, SocksError> {
    let name = std::str::from_utf8(name).map_err(|_| SocksError::NotText)?;
    Ok(Host::parse_bare(name)?)
}

pub(super) fn non_zero(port: u16) -> Result<u16, SocksError> {
    if port == 0 {
        return Err(SocksError::PortZero);
    }
    Ok(port)
}

/// Bytes of the longest text in SOCKS 4, which sets no limit itself; in SOCKS 5 a length is one byte.
const LONGEST: usize = 255;
