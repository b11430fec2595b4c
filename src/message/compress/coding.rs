//! The codings, behind one face: bytes go in, and what has come out is taken.
//! Start at [`Encoder::write`].

use std::io::{self, Write};

use brotli::CompressorWriter;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use zstd::stream::raw::CParameter;

/// A content coding (RFC 9110 §8.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// Zstandard (RFC 8878).
    Zstd,
    /// Brotli (RFC 7932).
    Brotli,
    /// Gzip (RFC 1952).
    Gzip,
}

impl Coding {
    /// All of them, in the order in which they are preferred: by what they save for the time that they take.
    pub(super) const ALL: [Self; 3] = [Self::Zstd, Self::Brotli, Self::Gzip];

    /// Its name in fields.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    /// The coding of a name in `Accept-Encoding`.
    pub(super) fn named(name: &str) -> Option<Self> {
        let is = |token: &str| name.eq_ignore_ascii_case(token);
        // RFC 9110 §8.4.1.3: a recipient takes the old name for the same.
        let gzip = is("x-gzip").then_some(Self::Gzip);
        gzip.or_else(|| Self::ALL.into_iter().find(|coding| is(coding.token())))
    }
}

/// One stream being coded. Holds its window, of at most [`WINDOW`] bytes and its tables, and what has not been taken.
pub(super) enum Encoder {
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Brotli(Box<CompressorWriter<Vec<u8>>>),
    Gzip(Box<GzEncoder<Vec<u8>>>),
}

impl Encoder {
    /// Begins a stream. Errors: of the coder, which can not be set up.
    pub(super) fn new(coding: Coding) -> io::Result<Self> {
        Ok(match coding {
            Coding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
                encoder.set_parameter(CParameter::WindowLog(WINDOW))?;
                Self::Zstd(encoder)
            }
            Coding::Brotli => {
                let writer = CompressorWriter::new(Vec::new(), PIECE, BROTLI_QUALITY, WINDOW);
                Self::Brotli(Box::new(writer))
            }
            Coding::Gzip => {
                let writer = GzEncoder::new(Vec::new(), Compression::new(GZIP_LEVEL));
                Self::Gzip(Box::new(writer))
            }
        })
    }

    /// Codes bytes; something may come out, or not yet.
    pub(super) fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.writer().write_all(data)
    }

    /// Brings out all that has gone in, so that the client can read it.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.writer().flush()
    }

    /// How much has come out and was not taken.
    pub(super) fn held(&self) -> usize {
        match self {
            Self::Zstd(encoder) => encoder.get_ref().len(),
            Self::Brotli(encoder) => encoder.get_ref().len(),
            Self::Gzip(encoder) => encoder.get_ref().len(),
        }
    }

    /// What has come out.
    pub(super) fn take(&mut self) -> Bytes {
        let out = match self {
            Self::Zstd(encoder) => encoder.get_mut(),
            Self::Brotli(encoder) => encoder.get_mut(),
            Self::Gzip(encoder) => encoder.get_mut(),
        };
        Bytes::from(std::mem::take(out))
    }

    /// Ends the stream: the rest of it.
    pub(super) fn finish(self) -> io::Result<Bytes> {
        let rest = match self {
            Self::Zstd(encoder) => encoder.finish()?,
            Self::Brotli(encoder) => encoder.into_inner(),
            Self::Gzip(encoder) => encoder.finish()?,
        };
        Ok(Bytes::from(rest))
    }

    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Zstd(encoder) => encoder,
            Self::Brotli(encoder) => encoder,
            Self::Gzip(encoder) => encoder,
        }
    }
}

/// Bytes that are coded at a time.
pub(super) const PIECE: usize = 16 << 10;

/// The binary logarithm of the window: 256 KiB, in place of the up to 8 MiB that a client must have room for (RFC 9659).
const WINDOW: u32 = 18;

// Levels for content that is coded on its way, once, while others wait for the same core.
const ZSTD_LEVEL: i32 = 3;
const BROTLI_QUALITY: u32 = 4;
const GZIP_LEVEL: u32 = 5;
