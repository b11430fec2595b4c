//! Counts the frames that a client sends for their own sake: they cost it little, and us an answer or the beginning of a request.
//! Decodes nothing: it reads the nine bytes before each frame (RFC 9113 §4.1) as they pass, and h2 reads the frames.
//! Start at [`Meter`].
//!
//! h2 bounds by itself how many streams are open, how many were reset and not yet accepted, how many it had to refuse, how many
//! CONTINUATION frames make one header section, and how much small DATA frames may cost; and it reads no further while the
//! answers to PING and SETTINGS wait to be written. It does not bound how many of these come one after the other, nor streams
//! that are begun and reset once they were accepted (CVE-2023-44487; CVE-2019-9512, -9515, -9518).
//!
//! A connection has a budget of [`BUDGET`]. Such frames are paid from it, and what they are good for pays it back: requests,
//! content in either direction, and time, for the PINGs of a connection that is kept alive.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::stream::Stream;

/// A client's stream that is counted. When the budget is spent nothing more is read from it.
pub(super) struct Metered {
    stream: Stream,
    meter: Rc<Meter>,
    frames: Frames,
}

/// What is left of a connection's budget.
#[derive(Debug)]
pub(super) struct Meter {
    left: Cell<u64>,
    spent: Cell<bool>,
    /// When time last paid something back.
    paid: Cell<Instant>,
    /// Bytes that were written, and have not paid anything back yet.
    written: Cell<u64>,
}

impl Metered {
    /// The stream, and its meter for who closes the connection.
    pub(super) fn new(stream: Stream) -> (Self, Rc<Meter>) {
        let meter = Rc::new(Meter::new());
        let metered = Self {
            stream,
            meter: meter.clone(),
            frames: Frames::new(),
        };
        (metered, meter)
    }

    fn note_written(&self, polled: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(length)) = polled {
            self.meter.wrote(*length as u64);
        }
    }
}

impl Meter {
    fn new() -> Self {
        Self {
            left: Cell::new(BUDGET),
            spent: Cell::new(false),
            paid: Cell::new(Instant::now()),
            written: Cell::new(0),
        }
    }

    /// Whether the client has flooded the connection, which is to be closed (RFC 9113 §10.5).
    pub(super) fn is_spent(&self) -> bool {
        self.spent.get()
    }

    fn note(&self, worth: Worth) {
        match worth {
            Worth::Nothing => {}
            Worth::Pays(units) => self.pay(units),
            Worth::Costs(units) => match self.left.get().checked_sub(units) {
                Some(left) => self.left.set(left),
                None => self.charge(units),
            },
        }
    }

    /// The budget does not suffice: now the time that has passed is looked at.
    fn charge(&self, units: u64) {
        let passed = self.paid.replace(Instant::now()).elapsed();
        let due = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
        self.pay(due.saturating_mul(PER_SECOND) / 1_000);
        match self.left.get().checked_sub(units) {
            Some(left) => self.left.set(left),
            None => self.spent.set(true),
        }
    }

    fn wrote(&self, length: u64) {
        let written = self.written.get().saturating_add(length);
        self.pay(written / PAYS_ONE);
        self.written.set(written % PAYS_ONE);
    }

    fn pay(&self, units: u64) {
        self.left
            .set(self.left.get().saturating_add(units).min(BUDGET));
    }
}

/// What a frame is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Worth {
    Nothing,
    Pays(u64),
    Costs(u64),
}

/// The place in a sequence of frames.
#[derive(Debug)]
struct Frames {
    /// Bytes until the next frame begins.
    skip: usize,
    head: [u8; HEAD],
    /// Bytes of the head that have come.
    filled: usize,
}

impl Frames {
    fn new() -> Self {
        Self {
            skip: PREFACE,
            head: [0; HEAD],
            filled: 0,
        }
    }

    /// Follows bytes as they pass, and says what each frame is worth whose head is whole.
    fn follow(&mut self, mut bytes: &[u8], mut found: impl FnMut(Worth)) {
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            let room = self.head.get_mut(self.filled..).unwrap_or_default();
            let (taken, rest) = bytes.split_at(room.len().min(bytes.len()));
            for (to, from) in room.iter_mut().zip(taken) {
                *to = *from;
            }
            self.filled += taken.len();
            bytes = rest;
            if self.filled == HEAD {
                self.filled = 0;
                let [a, b, c, kind, flags, ..] = self.head;
                let length = u32::from_be_bytes([0, a, b, c]);
                self.skip = length as usize;
                found(worth(kind, flags, length));
            }
        }
    }
}

/// RFC 9113 §6. What is malformed is h2's to refuse.
fn worth(kind: u8, flags: u8, length: u32) -> Worth {
    let flag = |bit: u8| flags & bit != 0;
    match kind {
        DATA if length > 0 => Worth::Pays(u64::from(length) / PAYS_ONE),
        DATA if flag(END_STREAM) => Worth::Nothing,
        HEADERS => Worth::Pays(2),
        // A client may give up half of what it asks for, for ever.
        RST_STREAM => Worth::Costs(4),
        SETTINGS | PING if flag(ACK) => Worth::Nothing,
        SETTINGS => Worth::Costs(10),
        WINDOW_UPDATE | GOAWAY => Worth::Nothing,
        // PING, PRIORITY, CONTINUATION, empty DATA, and types that nobody knows here.
        _ => Worth::Costs(1),
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.meter.is_spent() {
            // Who owns the connection is polled by the same task, and looks after this.
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(cx, buf);
        let came = buf.filled().get(before..).unwrap_or_default();
        this.frames.follow(came, |worth| this.meter.note(worth));
        polled
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note_written(&polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.note_written(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// What a connection may spend at once: a thousand PINGs, five hundred requests given up, a hundred changes of settings.
const BUDGET: u64 = 1_000;
/// What each second pays back.
const PER_SECOND: u64 = 20;
/// Bytes of content that pay back one unit. An answer to a PING is 17 bytes.
const PAYS_ONE: u64 = 1 << 10;

/// The client's connection preface (RFC 9113 §3.4).
const PREFACE: usize = 24;
/// The head of a frame.
const HEAD: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
        let size = u32::try_from(length).expect("short").to_be_bytes();
        let [_, a, b, c] = size;
        let mut frame = vec![a, b, c, kind, flags, 0, 0, 0, 1];
        frame.resize(HEAD + length, 0xff);
        frame
    }

    #[test]
    fn frames_are_found_however_their_bytes_are_split() {
        let mut bytes = vec![b'P'; PREFACE];
        for (kind, flags, length) in [
            (SETTINGS, 0, 18),
            (HEADERS, 5, 300),
            (DATA, 0, 5_000),
            (PING, 0, 8),
            (PING, ACK, 8),
            (DATA, END_STREAM, 0),
            (RST_STREAM, 0, 4),
            (200, 0, 0),
        ] {
            bytes.extend(frame(kind, flags, length));
        }
        let expected = [
            Worth::Costs(10),
            Worth::Pays(2),
            Worth::Pays(4),
            Worth::Costs(1),
            Worth::Nothing,
            Worth::Nothing,
            Worth::Costs(4),
            Worth::Costs(1),
        ];
        for size in [1, 2, 7, 9, 64, bytes.len()] {
            let (mut frames, mut found) = (Frames::new(), Vec::new());
            for piece in bytes.chunks(size) {
                frames.follow(piece, |worth| found.push(worth));
            }
            assert_eq!(found, expected, "{size}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_spends_the_budget_and_work_and_time_pay_it_back() {
        let meter = Meter::new();
        let ping = |count: u64| (0..count).for_each(|_| meter.note(Worth::Costs(1)));
        ping(BUDGET);
        assert!(!meter.is_spent());
        tokio::time::advance(Duration::from_secs(10)).await;
        ping(10 * PER_SECOND);
        assert!(!meter.is_spent());
        meter.wrote(50 * PAYS_ONE);
        meter.note(Worth::Pays(50));
        ping(100);
        assert!(!meter.is_spent());
        ping(1);
        assert!(meter.is_spent());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_gives_up_half_of_its_requests_goes_on() {
        let meter = Meter::new();
        for _ in 0..100_000 {
            meter.note(worth(HEADERS, 4, 10));
            meter.note(worth(HEADERS, 4, 10));
            meter.note(worth(RST_STREAM, 0, 4));
        }
        assert!(!meter.is_spent());
        // All of them.
        for _ in 0..=BUDGET / 2 {
            meter.note(worth(HEADERS, 4, 10));
            meter.note(worth(RST_STREAM, 0, 4));
        }
        assert!(meter.is_spent());
    }
}
