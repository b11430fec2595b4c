//! The lines of a text that is read piece by piece, so that a long list is never in memory twice.
//! Not a decoder: lines are bytes.
//! Start at [`Lines::advance`].

use std::io::{self, Read};

use memchr::memchr;

/// The lines of a source, without their ends (`\n` or `\r\n`) and without a byte order mark.
#[derive(Debug)]
pub(super) struct Lines<R> {
    source: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    ended: bool,
    bytes: u64,
}

impl<R: Read> Lines<R> {
    /// Reads the first piece. Errors: those of the source.
    pub(super) fn new(source: R) -> io::Result<Self> {
        let mut lines = Self {
            source,
            buffer: vec![0; PIECE].into(),
            start: 0,
            end: 0,
            ended: false,
            bytes: 0,
        };
        lines.fill()?;
        if lines.unread().starts_with(b"\xef\xbb\xbf") {
            lines.start = 3;
        }
        Ok(lines)
    }

    /// What of the current piece has not been told yet.
    pub(super) fn unread(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Bytes that were read from the source.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next line; of one that is longer than a piece, the first piece. Errors: those of the source.
    pub(super) fn advance(&mut self) -> io::Result<Option<&[u8]>> {
        let mut newline = memchr(b'\n', self.unread());
        if newline.is_none() && !self.ended {
            self.fill()?;
            newline = memchr(b'\n', self.unread());
        }
        let line = match newline {
            Some(at) => self.start..self.start + at,
            None if self.start == self.end => return Ok(None),
            None => self.start..self.end,
        };
        self.start = (line.end + 1).min(self.end);
        if newline.is_none() && !self.ended {
            return self.first_piece().map(Some);
        }
        let line = self.buffer.get(line).unwrap_or_default();
        Ok(Some(line.strip_suffix(b"\r").unwrap_or(line)))
    }

    /// Passes over the rest of a line that fills the buffer.
    fn first_piece(&mut self) -> io::Result<&[u8]> {
        loop {
            (self.start, self.end) = (0, 0);
            self.fill()?;
            if let Some(newline) = memchr(b'\n', self.unread()) {
                self.start = newline + 1;
                break;
            }
            if self.ended {
                self.start = self.end;
                break;
            }
        }
        // The line's own bytes are gone, and nobody reads a line of this length: its length is all that matters.
        Ok(&TOO_LONG)
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        while !self.ended && self.end < self.buffer.len() {
            let room = self.buffer.get_mut(self.end..).unwrap_or_default();
            match self.source.read(room) {
                Ok(0) => self.ended = true,
                Ok(read) => {
                    self.end += read;
                    self.bytes += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

const PIECE: usize = 1 << 16;
/// Stands for a line that is longer than a piece.
static TOO_LONG: [u8; PIECE] = [b'.'; PIECE];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_the_whole_text_wherever_pieces_end() {
        let long = "x".repeat(PIECE + 5);
        let longer = "y".repeat(3 * PIECE);
        let nearly = "z".repeat(PIECE - 1);
        for text in [
            String::new(),
            "a".to_owned(),
            "a\n".to_owned(),
            "\n\r\na\r\n\r\r\n".to_owned(),
            format!("a\n{long}\nb\n{nearly}\n{longer}"),
            format!("{longer}\n{longer}\n\n{nearly}"),
            "name.example\r\n".repeat(20_000),
        ] {
            let mut lines = Lines::new(text.as_bytes()).expect("memory can be read");
            let mut found = Vec::new();
            while let Some(line) = lines.advance().expect("memory can be read") {
                found.push(line.len().min(PIECE));
            }
            let mut expected: Vec<usize> = text
                .split('\n')
                .map(|line| line.strip_suffix('\r').unwrap_or(line).len().min(PIECE))
                .collect();
            if text.is_empty() || text.ends_with('\n') {
                expected.pop();
            }
            assert_eq!(found, expected, "{:.40}", text);
            assert_eq!(lines.bytes(), text.len() as u64);
        }
    }
}
