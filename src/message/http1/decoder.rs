//! From bytes on the wire to the parts of a body (RFC 9112 §6.3, §7.1). Strict: what is not exactly a chunk is an error.
//! Reads no socket.
//! Start at [`Decoder::decode`].

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;

use super::{HeadError, HeadLimits, fields, fields::Scan, framing::Length};

/// Takes a body apart as its bytes arrive.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    whole: Option<u64>,
    extensions: usize,
    limits: HeadLimits,
}

/// What came out of the bytes so far.
#[derive(Debug)]
pub enum Part {
    /// Content.
    Data(Bytes),
    /// The trailer section; nothing follows.
    Trailers(HeaderMap),
    /// The body is whole; nothing follows.
    End,
    /// More bytes are needed.
    More,
}

#[derive(Debug)]
enum State {
    Sized(u64),
    UntilClose,
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailers(Scan),
    Done,
}

impl Decoder {
    /// A decoder for a body of this length; `limits` bound the trailer section.
    pub fn new(length: Length, limits: HeadLimits) -> Self {
        let state = match length {
            Length::Empty => State::Done,
            Length::Sized(left) => State::Sized(left),
            Length::Chunked => State::ChunkSize,
            Length::UntilClose => State::UntilClose,
        };
        let whole = if let Length::Sized(size) = length {
            Some(size)
        } else {
            None
        };
        Self {
            state,
            whole,
            extensions: 0,
            limits,
        }
    }

    /// The declared size of the body, where one was.
    pub fn whole(&self) -> Option<u64> {
        self.whole
    }

    /// Whether the body has been taken whole.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Whether the close of the peer ends this body properly.
    pub fn ends_at_close(&self) -> bool {
        matches!(self.state, State::UntilClose | State::Done)
    }

    /// Bytes that are certain to follow, for sizing reads.
    pub fn expects(&self) -> Option<u64> {
        match self.state {
            State::Sized(left) | State::Chunk(left) => Some(left),
            State::UntilClose
            | State::ChunkSize
            | State::ChunkEnd
            | State::Trailers(_)
            | State::Done => None,
        }
    }

    /// Takes the next part from the front of `buf`.
    pub fn decode(&mut self, buf: &mut BytesMut) -> Result<Part, HeadError> {
        loop {
            match &mut self.state {
                State::Done => return Ok(Part::End),
                State::UntilClose if buf.is_empty() => return Ok(Part::More),
                State::UntilClose => {
                    let all = buf.len();
                    return Ok(Part::Data(take_front(buf, all)));
                }
                State::Sized(left) | State::Chunk(left) => {
                    if buf.is_empty() {
                        return Ok(Part::More);
                    }
                    let take = usize::try_from(*left).unwrap_or(usize::MAX).min(buf.len());
                    *left -= take as u64;
                    if *left == 0 {
                        self.state = if matches!(self.state, State::Sized(_)) {
                            State::Done
                        } else {
                            State::ChunkEnd
                        };
                    }
                    return Ok(Part::Data(take_front(buf, take)));
                }
                State::ChunkSize => match take_chunk_size(buf, &mut self.extensions)? {
                    None => return Ok(Part::More),
                    Some(0) => self.state = State::Trailers(Scan::default()),
                    Some(size) => self.state = State::Chunk(size),
                },
                State::ChunkEnd => match buf.get(..2) {
                    Some(b"\r\n") => {
                        buf.advance(2);
                        self.state = State::ChunkSize;
                    }
                    Some(_) => return Err(HeadError::Malformed("a chunk does not end with CRLF")),
                    None if buf.first().is_some_and(|b| *b != b'\r') => {
                        return Err(HeadError::Malformed("a chunk does not end with CRLF"));
                    }
                    None => return Ok(Part::More),
                },
                State::Trailers(scan) => {
                    return Self::trailers(buf, scan, self.limits).map(|part| self.ended(part));
                }
            }
        }
    }

    fn trailers(
        buf: &mut BytesMut,
        scan: &mut Scan,
        limits: HeadLimits,
    ) -> Result<Part, HeadError> {
        let end = scan.find_end(buf)?;
        if end.unwrap_or(buf.len()) > limits.size {
            return Err(HeadError::TooLarge);
        }
        let Some(end) = end else {
            return Ok(Part::More);
        };
        let section = buf.split_to(end).freeze();
        let trailers = fields::parse(&section, 0, limits.count)?;
        Ok(if trailers.is_empty() {
            Part::End
        } else {
            Part::Trailers(trailers)
        })
    }

    fn ended(&mut self, part: Part) -> Part {
        if !matches!(part, Part::More) {
            self.state = State::Done;
        }
        part
    }
}

/// Takes bytes off the front. A small part is copied: it would hold the whole buffer for as long as it waits to be sent, and a
/// peer chooses how small its chunks are.
fn take_front(buf: &mut BytesMut, take: usize) -> Bytes {
    if take >= SMALL {
        return buf.split_to(take).freeze();
    }
    let data = Bytes::copy_from_slice(buf.get(..take).unwrap_or_default());
    buf.advance(take);
    data
}

/// Takes a chunk-size line. The extension is checked and dropped: it is for this hop only (RFC 9112 §7.1.1).
fn take_chunk_size(buf: &mut BytesMut, extensions: &mut usize) -> Result<Option<u64>, HeadError> {
    let Some(lf) = memchr::memchr(b'\n', buf) else {
        let digits = buf.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        check_size_digits(digits, buf.get(digits).copied())?;
        if buf.len().saturating_sub(digits + 1) + *extensions > EXTENSION_LIMIT {
            return Err(HeadError::Malformed(
                "chunk extensions are larger than the limit",
            ));
        }
        return Ok(None);
    };
    let line = buf.get(..lf).and_then(|line| line.strip_suffix(b"\r"));
    let line = line.ok_or(HeadError::Malformed("a chunk size ends with LF alone"))?;
    let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    if digits == 0 {
        return Err(HeadError::Malformed(
            "a chunk size is not a hexadecimal number",
        ));
    }
    check_size_digits(digits, line.get(digits).copied())?;
    let (size, extension) = line.split_at(digits);
    if extension
        .iter()
        .any(|b| (*b < b' ' && *b != b'\t') || *b == 0x7f)
    {
        return Err(HeadError::Malformed(
            "a chunk extension contains a control character",
        ));
    }
    *extensions += extension.len();
    if *extensions > EXTENSION_LIMIT {
        return Err(HeadError::Malformed(
            "chunk extensions are larger than the limit",
        ));
    }
    let size = std::str::from_utf8(size)
        .ok()
        .and_then(|text| u64::from_str_radix(text, 16).ok());
    let size = size.ok_or(HeadError::Malformed(
        "a chunk size is not a hexadecimal number",
    ))?;
    buf.advance(lf + 1);
    Ok(Some(size))
}

/// At most 16 digits, followed by nothing, CR, or `;`.
fn check_size_digits(digits: usize, next: Option<u8>) -> Result<(), HeadError> {
    if digits > 16 {
        return Err(HeadError::Malformed("a chunk size is too large"));
    }
    if next.is_some_and(|b| b != b';' && b != b'\r') {
        return Err(HeadError::Malformed(
            "a chunk size is not a hexadecimal number",
        ));
    }
    Ok(())
}

/// Parts below this are copied.
const SMALL: usize = 4 << 10;

/// Total bytes of chunk extensions in one body; more is an attack (each byte of content dressed in kilobytes).
const EXTENSION_LIMIT: usize = 16 << 10;
