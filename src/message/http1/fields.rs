//! Field lines of header and trailer sections (RFC 9112 §5).
//! Knows no field's meaning.
//! Start at [`Scan::find_end`], then [`parse`].

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::HeadError;

/// Finds the end of a section line by line, over as many reads as it takes, and refuses a bare LF the moment it arrives.
#[derive(Debug, Default, Clone)]
pub struct Scan {
    /// Bytes already looked at.
    scanned: usize,
    /// Where the current line began.
    line_start: usize,
    /// An empty line in front was skipped: there is no second one.
    pub(super) skipped: bool,
}

impl Scan {
    /// Looks at the bytes that are new. `Some(end)` once an empty line ends the section: `end` counts that line too.
    pub fn find_end(&mut self, buf: &[u8]) -> Result<Option<usize>, HeadError> {
        while let Some(found) = buf
            .get(self.scanned..)
            .and_then(|rest| memchr::memchr(b'\n', rest))
        {
            let lf = self.scanned + found;
            let line = buf.get(self.line_start..lf).unwrap_or_default();
            let Some((b'\r', line)) = line.split_last() else {
                return Err(HeadError::Malformed("a line ends with LF alone"));
            };
            self.scanned = lf + 1;
            self.line_start = lf + 1;
            if line.is_empty() {
                return Ok(Some(lf + 1));
            }
        }
        self.scanned = buf.len();
        Ok(None)
    }
}

/// Parses the field lines of a section, `section` ending with its empty line.
pub fn parse(section: &Bytes, mut at: usize, limit: usize) -> Result<HeaderMap, HeadError> {
    let mut headers = HeaderMap::with_capacity(16);
    let mut count = 0;
    while let Some(line) = next_line(section, &mut at)? {
        if line.is_empty() {
            break;
        }
        count += 1;
        if count > limit {
            return Err(HeadError::TooMany);
        }
        let (name, value) = split(section, line).map_err(|error| blame(line, error))?;
        headers
            .try_append(name, value)
            .map_err(|_| HeadError::TooMany)?;
    }
    Ok(headers)
}

/// The next line without its CRLF.
pub(super) fn next_line<'a>(
    section: &'a Bytes,
    at: &mut usize,
) -> Result<Option<&'a [u8]>, HeadError> {
    let rest = section.get(*at..).unwrap_or_default();
    let Some(lf) = memchr::memchr(b'\n', rest) else {
        return Ok(None);
    };
    let line = rest.get(..lf).and_then(|line| line.strip_suffix(b"\r"));
    let line = line.ok_or(HeadError::Malformed("a line ends with LF alone"))?;
    *at += lf + 1;
    Ok(Some(line))
}

/// The error of a line that was refused, or a nearer one. A CR inside a line is read as a line end by some and as a blank by others
/// (RFC 9112 §2.2). No part of any line may contain one, so only lines that are refused are searched for it.
pub(super) fn blame(line: &[u8], error: HeadError) -> HeadError {
    if memchr::memchr(b'\r', line).is_some() {
        return HeadError::Malformed("a line contains CR alone");
    }
    error
}

fn split(section: &Bytes, line: &[u8]) -> Result<(HeaderName, HeaderValue), HeadError> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(HeadError::Malformed(
            "a field is folded over lines, or white space begins the section",
        ));
    }
    // Names are short: looking byte by byte is cheaper than to begin a search in wide steps.
    let colon = line.iter().position(|byte| *byte == b':');
    let colon = colon.ok_or(HeadError::Malformed("a field line has no colon"))?;
    let (name, rest) = line.split_at(colon);
    if matches!(name.last(), Some(b' ' | b'\t')) {
        return Err(HeadError::Malformed("white space stands before a colon"));
    }
    let name = HeaderName::from_bytes(name)
        .map_err(|_| HeadError::Malformed("a field name is not a token"))?;
    let value = trim(rest.get(1..).unwrap_or_default());
    // Refuses NUL, DEL and every other control but HTAB (RFC 9110 §5.5).
    let value = HeaderValue::from_maybe_shared(section.slice_ref(value));
    Ok((
        name,
        value.map_err(|_| HeadError::Malformed("a field value contains a control character"))?,
    ))
}

/// Without white space at both ends; only SP and HTAB count (RFC 9110 §5.6.3).
fn trim(mut value: &[u8]) -> &[u8] {
    while let Some((b' ' | b'\t', rest)) = value.split_first() {
        value = rest;
    }
    while let Some((b' ' | b'\t', rest)) = value.split_last() {
        value = rest;
    }
    value
}
