//! One direction of a tunnel: from one side's reads to the other side's writes, and its end.
//! Knows nothing of limits or of the opposite direction (duplex). Keeps no buffer while nothing is under way.
//! Start at [`Direction::poll`].

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

#[cfg(target_os = "linux")]
use super::splice::Splice;
use super::{Stream, give_way};

/// The state of one direction.
#[derive(Debug, Default)]
pub(super) struct Direction {
    phase: Phase,
    /// What was read and not yet taken by the other side; empty and without memory most of the time.
    held: Vec<u8>,
    held_from: usize,
    /// Written and perhaps still kept by a carrier that buffers, such as TLS.
    unflushed: bool,
    /// Whether an end of the source may be passed on as a clean one.
    distrusted: bool,
    #[cfg(target_os = "linux")]
    splice: Splice,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    #[default]
    Moving,
    /// The source has ended; the other side is to be told.
    Ending,
    /// The other side takes no more: what still comes is thrown away, so that the source can reach its end.
    Discarding,
    Ended,
}

/// Which end of a direction failed.
#[derive(Debug)]
pub(super) enum Broken {
    Reading(io::Error),
    Writing(io::Error),
}

/// Where a direction notes what it does.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tally<'a> {
    /// Bytes read from the source.
    pub(super) read: &'a Cell<u64>,
    /// Set when any byte moved, in or out.
    pub(super) active: &'a Cell<bool>,
}

impl Tally<'_> {
    pub(super) fn read(&self, n: usize) {
        self.read.set(self.read.get().saturating_add(n as u64));
        self.active.set(true);
    }

    pub(super) fn wrote(&self) {
        self.active.set(true);
    }
}

/// What a round of moving came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Round {
    Moved(usize),
    End,
}

impl Direction {
    /// Moves what can be moved. Ready when the direction has ended: the source at its end, all of it written and the
    /// other side shut down for writing. Never moves more than about [`QUANTUM`] bytes in one call.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Stream,
        to: &mut Stream,
        tally: Tally<'_>,
    ) -> Poll<Result<(), Broken>> {
        let mut spent = 0;
        loop {
            match self.phase {
                Phase::Moving => match ready!(self.poll_round(cx, from, to, tally))? {
                    Round::Moved(n) => spent += n,
                    Round::End => self.phase = Phase::Ending,
                },
                Phase::Ending => {
                    ready!(self.poll_end(cx, to, tally)).map_err(Broken::Writing)?;
                    self.phase = Phase::Ended;
                }
                Phase::Discarding => match ready!(poll_discard(cx, from)) {
                    // However the source ends, nobody is left to be told.
                    Ok(0) | Err(_) => self.phase = Phase::Ended,
                    Ok(n) => spent += n,
                },
                Phase::Ended => return Poll::Ready(Ok(())),
            }
            if spent >= QUANTUM {
                // One tunnel at full speed must not keep the worker from its other tasks.
                give_way(cx);
                return Poll::Pending;
            }
        }
    }

    /// From now on throws away what the source sends.
    pub(super) fn discard(&mut self) {
        if self.phase != Phase::Ended {
            *self = Self {
                phase: Phase::Discarding,
                ..Self::default()
            };
        }
    }

    /// From now on does not pass the end of the source on: it may stand for a cut.
    pub(super) fn distrust_end(&mut self) {
        self.distrusted = true;
    }

    pub(super) fn is_distrusted(&self) -> bool {
        self.distrusted
    }

    pub(super) fn is_discarding(&self) -> bool {
        self.phase == Phase::Discarding
    }

    /// Whether the source has said that it is done, even if not all of it has been written yet.
    pub(super) fn source_ended(&self) -> bool {
        matches!(self.phase, Phase::Ending | Phase::Ended)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    fn poll_round(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Stream,
        to: &mut Stream,
        tally: Tally<'_>,
    ) -> Poll<Result<Round, Broken>> {
        ready!(self.poll_held(cx, to, tally)).map_err(Broken::Writing)?;
        #[cfg(target_os = "linux")]
        if let Some((from, to)) = self.splice.between(from, to) {
            return self.splice.poll(cx, from, to, tally);
        }
        self.poll_copy(cx, from, to, tally)
    }

    /// Reads once into the worker's scratch buffer and writes at once; only what is left over is kept.
    fn poll_copy(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Stream,
        to: &mut Stream,
        tally: Tally<'_>,
    ) -> Poll<Result<Round, Broken>> {
        let polled = with_scratch(|scratch| {
            let mut buf = ReadBuf::new(scratch);
            ready!(Pin::new(from).poll_read(cx, &mut buf)).map_err(Broken::Reading)?;
            let bytes = buf.filled();
            tally.read(bytes.len());
            self.write_or_hold(cx, to, bytes, tally)
                .map_err(Broken::Writing)?;
            Poll::Ready(Ok(bytes.len()))
        });
        match polled {
            Poll::Ready(Ok(0)) => Poll::Ready(Ok(Round::End)),
            Poll::Ready(Ok(n)) => {
                #[cfg(target_os = "linux")]
                self.splice.note_copied(n);
                Poll::Ready(Ok(Round::Moved(n)))
            }
            Poll::Ready(Err(broken)) => Poll::Ready(Err(broken)),
            Poll::Pending => {
                if self.unflushed {
                    ready!(Pin::new(to).poll_flush(cx)).map_err(Broken::Writing)?;
                    self.unflushed = false;
                }
                Poll::Pending
            }
        }
    }

    fn write_or_hold(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut Stream,
        mut bytes: &[u8],
        tally: Tally<'_>,
    ) -> io::Result<()> {
        while !bytes.is_empty() {
            match write_some(cx, to, bytes) {
                Poll::Ready(n) => {
                    bytes = bytes.get(n?..).unwrap_or_default();
                    self.unflushed = true;
                    tally.wrote();
                }
                Poll::Pending => {
                    self.held = bytes.to_vec();
                    self.held_from = 0;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn poll_held(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut Stream,
        tally: Tally<'_>,
    ) -> Poll<io::Result<()>> {
        while let Some(left @ [_, ..]) = self.held.get(self.held_from..) {
            self.held_from += ready!(write_some(cx, to, left))?;
            self.unflushed = true;
            tally.wrote();
        }
        if self.held.capacity() > 0 {
            self.held = Vec::new();
            self.held_from = 0;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_end(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut Stream,
        tally: Tally<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_held(cx, to, tally))?;
        if self.distrusted {
            return Pin::new(to).poll_flush(cx);
        }
        // Shutting down flushes first.
        Pin::new(to).poll_shutdown(cx)
    }
}

/// Writes some of `bytes`, which is not empty. Zero bytes taken is an error: waiting would be forever.
fn write_some(cx: &mut Context<'_>, to: &mut Stream, bytes: &[u8]) -> Poll<io::Result<usize>> {
    match ready!(Pin::new(to).poll_write(cx, bytes))? {
        0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
        n => Poll::Ready(Ok(n)),
    }
}

fn poll_discard(cx: &mut Context<'_>, from: &mut Stream) -> Poll<io::Result<usize>> {
    with_scratch(|scratch| {
        let mut buf = ReadBuf::new(scratch);
        ready!(Pin::new(from).poll_read(cx, &mut buf))?;
        Poll::Ready(Ok(buf.filled().len()))
    })
}

/// Lends the worker's one buffer. It is taken out while lent, so that even a stream that is itself a tunnel works.
fn with_scratch<R>(work: impl FnOnce(&mut [u8]) -> R) -> R {
    thread_local! {
        static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    }
    let mut scratch = SCRATCH.take();
    scratch.resize(SCRATCH_SIZE, 0);
    let result = work(&mut scratch);
    SCRATCH.set(scratch);
    result
}

/// Bytes that one read may bring, and the most that a direction holds back for a slow reader.
const SCRATCH_SIZE: usize = 64 * 1024;

/// Bytes after which a direction lets other tasks run.
pub(super) const QUANTUM: usize = 1024 * 1024;
