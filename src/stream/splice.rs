//! Moving bytes from TCP to TCP inside the kernel: Linux splice(2) through a pipe of the worker.
//! Decides when that is worth it, keeps pipes only while bytes are in them. Other systems copy (direction).
//! Start at [`Splice::poll`].

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::Stream;
use super::direction::{Broken, Round, Tally};

/// Whether and how one direction splices.
#[derive(Debug, Default)]
pub(super) struct Splice {
    pipe: Option<Pipe>,
    /// Rises with large reads, falls with small ones.
    bulk: u8,
    /// Splicing was tried and cannot be done here: no pipe to be had, or a socket that refuses.
    hopeless: bool,
}

impl Splice {
    /// The two sockets, if this direction should splice now: both plain TCP, nothing put back, and much to move.
    pub(super) fn between<'a>(
        &self,
        from: &'a Stream,
        to: &'a Stream,
    ) -> Option<(&'a TcpStream, &'a TcpStream)> {
        if self.pipe.is_none() && (self.hopeless || self.bulk < BULK || from.unread_len() > 0) {
            return None;
        }
        Some((from.as_tcp()?, to.as_tcp()?))
    }

    /// Notes the size of a read that was copied.
    pub(super) fn note_copied(&mut self, n: usize) {
        self.note(n >= LARGE_READ);
    }

    /// Empties the pipe into `to`, then fills it once from `from`.
    ///
    /// The pipe is filled only while empty and emptied only while full, so "would block" always has one cause: when
    /// filling, that the source has nothing; when emptying, that the destination takes nothing. So it is always the
    /// right socket whose readiness is cleared.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &TcpStream,
        to: &TcpStream,
        tally: Tally<'_>,
    ) -> Poll<Result<Round, Broken>> {
        if self.pipe.is_some() {
            ready!(self.poll_empty(cx, to, tally)).map_err(Broken::Writing)?;
        }
        let filled = match self.poll_fill(cx, from) {
            Poll::Ready(Ok(filled)) => filled,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(Broken::Reading(error))),
            Poll::Pending => {
                self.release();
                return Poll::Pending;
            }
        };
        match filled {
            None => Poll::Ready(Ok(Round::Moved(0))),
            Some(0) => {
                self.release();
                Poll::Ready(Ok(Round::End))
            }
            Some(n) => {
                tally.read(n);
                self.note(n >= SMALL_SPLICE);
                ready!(self.poll_empty(cx, to, tally)).map_err(Broken::Writing)?;
                if self.bulk < BULK {
                    self.release();
                }
                Poll::Ready(Ok(Round::Moved(n)))
            }
        }
    }

    /// Fills the empty pipe. `None`: it cannot be done here, copy instead. Zero: the source is at its end.
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        from: &TcpStream,
    ) -> Poll<io::Result<Option<usize>>> {
        loop {
            ready!(from.poll_read_ready(cx))?;
            if self.pipe.is_none() {
                self.pipe = Pipe::take();
            }
            let Some(pipe) = &mut self.pipe else {
                self.hopeless = true;
                return Poll::Ready(Ok(None));
            };
            match from.try_io(Interest::READABLE, || pipe.fill(from)) {
                Ok(n) => return Poll::Ready(Ok(Some(n))),
                Err(error) if is_passing(&error) => {}
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    self.release();
                    self.hopeless = true;
                    return Poll::Ready(Ok(None));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn poll_empty(
        &mut self,
        cx: &mut Context<'_>,
        to: &TcpStream,
        tally: Tally<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(pipe) = &mut self.pipe else {
            return Poll::Ready(Ok(()));
        };
        while pipe.filled > 0 {
            ready!(to.poll_write_ready(cx))?;
            match to.try_io(Interest::WRITABLE, || pipe.empty(to)) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(_) => tally.wrote(),
                Err(error) if is_passing(&error) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn release(&mut self) {
        if let Some(pipe) = self.pipe.take() {
            pipe.put_back();
        }
    }

    fn note(&mut self, large: bool) {
        self.bulk = if large {
            (self.bulk + 1).min(2 * BULK)
        } else {
            self.bulk.saturating_sub(1)
        };
    }
}

impl Drop for Splice {
    fn drop(&mut self) {
        self.release();
    }
}

/// A pipe that knows how much is in it.
#[derive(Debug)]
struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    filled: usize,
}

thread_local! {
    /// Empty pipes of this worker: making and enlarging one costs more than a small transfer.
    static PIPES: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
}

impl Pipe {
    fn take() -> Option<Self> {
        PIPES
            .with_borrow_mut(Vec::pop)
            .or_else(|| Self::open().ok())
    }

    fn open() -> io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)?;
        // One slot of a pipe holds a piece of one segment, so the default of 16 slots is soon used up. Refused to users
        // who hold many large pipes already; then the default has to do.
        fcntl_setpipe_size(&write, PIPE_SIZE).ok();
        Ok(Self {
            read,
            write,
            filled: 0,
        })
    }

    /// Keeps an empty pipe for the next transfer. One with bytes in it is closed: they belong to nobody else.
    fn put_back(self) {
        if self.filled > 0 {
            return;
        }
        // During the end of the thread the cache is gone: then the pipe just closes.
        PIPES
            .try_with(|pipes| {
                let mut pipes = pipes.borrow_mut();
                if pipes.len() < PIPES_KEPT {
                    pipes.push(self);
                }
            })
            .ok();
    }

    fn fill(&mut self, from: &TcpStream) -> io::Result<usize> {
        let n = splice(from, None, &self.write, None, PIPE_SIZE, NONBLOCKING)?;
        self.filled += n;
        Ok(n)
    }

    fn empty(&mut self, to: &TcpStream) -> io::Result<usize> {
        let n = splice(&self.read, None, to, None, self.filled, NONBLOCKING)?;
        self.filled = self.filled.saturating_sub(n);
        Ok(n)
    }
}

/// Whether to try again: after "would block" the socket's readiness is cleared, so the next look waits.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

const NONBLOCKING: SpliceFlags = SpliceFlags::NONBLOCK.union(SpliceFlags::MOVE);

/// Capacity asked for, in bytes.
const PIPE_SIZE: usize = 512 * 1024;

/// Empty pipes kept for one worker: two descriptors each.
const PIPES_KEPT: usize = 32;

/// A copied read of this many bytes speaks for splicing.
const LARGE_READ: usize = 16 * 1024;

/// A spliced read of less speaks for copying.
const SMALL_SPLICE: usize = 8 * 1024;

/// How far large reads must outweigh small ones before a direction splices.
const BULK: u8 = 4;
