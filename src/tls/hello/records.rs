//! The record layer under a first handshake message: which bytes are TLS at all, and the message out of its records.
//! Does not know what stands in the message.
//! Start at [`message`].

use std::borrow::Cow;

use super::reader::Reader;
use super::{HelloError, LIMIT};

/// Why there is no message.
#[derive(Debug)]
pub(super) enum Stop {
    /// At least so many bytes more are needed to say.
    Need(usize),
    NotTls,
    Bad(HelloError),
}

/// The body of the ClientHello, without the handshake header, from the first bytes of a connection.
///
/// A message may be spread over records; none of them is empty, nothing else stands between them (RFC 8446 §5.1), and the
/// hello ends where its last record ends: a client has nothing to say after it in the same flight (RFC 5246 §7.3), and a
/// key change that may follow is at a record boundary (RFC 8446 §5.1).
pub(super) fn message(bytes: &[u8]) -> Result<Cow<'_, [u8]>, Stop> {
    check_first(bytes)?;
    let mut records = Reader::new(bytes.get(..LIMIT).unwrap_or(bytes));
    let mut message = Cow::Borrowed(&[][..]);
    loop {
        let behind = records.rest().len();
        let Some(header) = records.array::<HEADER>() else {
            let goal = Goal::of(&message)?;
            return Err(goal.lacks(bytes.len(), message.len(), 0, behind));
        };
        let length = fragment_length(header)?;
        let Some(fragment) = records.take(length) else {
            let part = records.rest();
            let coming = length - part.len();
            append(&mut message, part);
            let goal = Goal::of(&message)?;
            goal.check_fits(message.len() + coming)?;
            return Err(goal.lacks(bytes.len(), message.len(), coming, 0));
        };
        append(&mut message, fragment);
        let goal = Goal::of(&message)?;
        goal.check_fits(message.len())?;
        if goal == Goal::Message(message.len()) {
            return Ok(without_header(message));
        }
    }
}

/// Tells as early as it can be told that a connection is none of TLS. What is older than TLS 1.0 in its framing (an
/// SSL 2 hello) is none either.
///
/// A record of another kind is TLS, but nothing that may come first. Many servers pass over it all the same (a warning
/// before the hello: rustls, BoringSSL, Go), and would read the hello behind it that is not seen here.
fn check_first(bytes: &[u8]) -> Result<(), Stop> {
    match bytes {
        [] | [FIRST_KIND..=LAST_KIND] => Err(Stop::Need(1)),
        // The minor number says nothing (RFC 8446 §5.1: "MUST be ignored for all purposes").
        [HANDSHAKE, 3, ..] => Ok(()),
        [FIRST_KIND..=LAST_KIND, 3, ..] => Err(Stop::Bad(HelloError::Record {
            why: "something else stands before the hello",
        })),
        [_, ..] => Err(Stop::NotTls),
    }
}

/// RFC 8446 §5.1.
fn fragment_length(header: [u8; HEADER]) -> Result<usize, Stop> {
    let [kind, major, _minor, high, low] = header;
    let bad = |why| Err(Stop::Bad(HelloError::Record { why }));
    if kind != HANDSHAKE {
        return bad("something else stands between the records of the hello");
    }
    if major != 3 {
        return bad("its version is none of TLS");
    }
    match usize::from(u16::from_be_bytes([high, low])) {
        0 => bad("it is empty"),
        length if length > LARGEST_FRAGMENT => bad("it is longer than 2^14 bytes"),
        length => Ok(length),
    }
}

/// The usual hello comes in one record, and is then never copied.
fn append<'a>(message: &mut Cow<'a, [u8]>, fragment: &'a [u8]) {
    if message.is_empty() {
        *message = Cow::Borrowed(fragment);
    } else {
        message.to_mut().extend_from_slice(fragment);
    }
}

fn without_header(message: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    match message {
        Cow::Borrowed(message) => Cow::Borrowed(message.get(MESSAGE_HEADER..).unwrap_or_default()),
        Cow::Owned(mut message) => {
            message.drain(..MESSAGE_HEADER.min(message.len()));
            Cow::Owned(message)
        }
    }
}

/// How many bytes of the message are needed for the next step, counted from its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goal {
    /// Its type, or its length: neither is known yet.
    Header(usize),
    /// All of it.
    Message(usize),
}

impl Goal {
    /// RFC 8446 §4: a byte of type, three of length.
    fn of(message: &[u8]) -> Result<Self, Stop> {
        match *message {
            [] => Ok(Self::Header(1)),
            [kind, ..] if kind != CLIENT_HELLO => {
                Err(Stop::Bad(HelloError::NotHello { got: kind }))
            }
            [_, high, middle, low, ..] => {
                let length = u32::from_be_bytes([0, high, middle, low]);
                let length = usize::try_from(length).map_err(|_| TOO_LARGE)?;
                Ok(Self::Message(MESSAGE_HEADER + length))
            }
            [_, ..] => Ok(Self::Header(MESSAGE_HEADER)),
        }
    }

    /// No record holds more than the rest of the message.
    fn check_fits(self, held: usize) -> Result<(), Stop> {
        match self {
            Self::Message(length) if held > length => Err(Stop::Bad(HelloError::Record {
                why: "it holds more than the hello",
            })),
            Self::Message(_) | Self::Header(_) => Ok(()),
        }
    }

    /// How many bytes at least are still to come, after `seen`: `coming` of this record and, for what the message lacks
    /// beyond it, records as large as they may be, of the first of which `header` bytes are here. However small the
    /// records really are, what is lacking shrinks by a sixth from one look to the next, so that a hello that trickles
    /// in is looked at some dozens of times, not once for each byte.
    fn lacks(self, seen: usize, have: usize, coming: usize, header: usize) -> Stop {
        let (Self::Header(goal) | Self::Message(goal)) = self;
        let missing = goal.saturating_sub(have);
        let records = missing.saturating_sub(coming).div_ceil(LARGEST_FRAGMENT);
        let more = (missing + HEADER * records).saturating_sub(header);
        if seen + more > LIMIT {
            return TOO_LARGE;
        }
        Stop::Need(more)
    }
}

const TOO_LARGE: Stop = Stop::Bad(HelloError::TooLarge);
/// Content type of a record, RFC 8446 §5.1.
const HANDSHAKE: u8 = 22;
/// Content types that there are: change_cipher_spec to heartbeat (RFC 8446 §B.1).
const FIRST_KIND: u8 = 20;
const LAST_KIND: u8 = 24;
/// Handshake type of a message, RFC 8446 §4.
const CLIENT_HELLO: u8 = 1;
/// Bytes of a record's header.
const HEADER: usize = 5;
/// Bytes of a handshake message's header.
const MESSAGE_HEADER: usize = 4;
const LARGEST_FRAGMENT: usize = 1 << 14;
