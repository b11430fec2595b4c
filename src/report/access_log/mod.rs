//! The access log: workers hand over records, one thread of the process formats and writes them.
//! A worker never waits for a disk or a reader: what does not fit into its queue is dropped and counted.
//! Start at [`AccessLog::start`], then one [`AccessLog::reporter`] per worker.

mod output;
mod settings;
#[cfg(test)]
mod tests;
mod writer;

pub use settings::{Destination, Settings};

use std::convert::Infallible;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use self::output::Output;
use self::writer::{Command, Writer};
use super::Record;
use crate::fault::Fault;

/// The one access log of a process. Lives through reloads: [`AccessLog::reload`] changes where and how it writes.
#[derive(Debug)]
pub struct AccessLog {
    shared: Arc<Shared>,
    thread: Thread,
    ended: Mutex<Receiver<Infallible>>,
}

/// A worker's end of the access log. Cheap to clone; clones share the worker's queue.
#[derive(Debug, Clone)]
pub struct Reporter {
    lane: Arc<Lane>,
    shared: Arc<Shared>,
    thread: Thread,
}

/// Which facts the log would write; others need not be collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wants {
    /// Any at all: `false` where the log is off.
    pub records: bool,
    /// The query of a request.
    pub query: bool,
    /// The `User-Agent`.
    pub user_agent: bool,
    /// The media type of an answer.
    pub content_type: bool,
}

/// What became of the records so far. Numbers of records since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct LogStats {
    /// Written whole.
    pub written: u64,
    /// Not taken, because a worker's queue was full or the log was closed.
    pub dropped: u64,
    /// Taken, but lost to a write error.
    pub lost: u64,
}

/// What the workers and the writer share. Only atomics and leaf locks that are held for a few instructions.
#[derive(Debug)]
struct Shared {
    wants: AtomicU8,
    limit: AtomicUsize,
    lanes: Mutex<Vec<Arc<Lane>>>,
    commands: Mutex<Vec<Command>>,
    /// The writer sleeps until it is woken: set by the writer, cleared by who wakes it.
    idle: AtomicBool,
    closed: AtomicBool,
    written: AtomicU64,
    lost: AtomicU64,
}

/// One worker's queue. The writer takes the whole of it at once, so the lock is shared by two and held for a swap.
#[derive(Debug, Default)]
struct Lane {
    queue: Mutex<Vec<Record>>,
    dropped: AtomicU64,
}

impl AccessLog {
    /// Opens the destination and starts the writer.
    ///
    /// Errors: a file that can not be opened, a thread that can not be started.
    pub fn start(settings: &Settings) -> Result<Self, Fault> {
        let shared = Arc::new(Shared {
            wants: AtomicU8::new(0),
            limit: AtomicUsize::new(settings.queue),
            lanes: Mutex::default(),
            commands: Mutex::default(),
            idle: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            written: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        });
        let writer = Writer::new(shared.clone(), Output::open(settings)?, settings.format);
        let (end, ended) = channel();
        let thread = thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || {
                let _end = end;
                writer.run();
            })
            .map_err(|error| {
                Fault::new(
                    format!("cannot start the thread of the access log: {error}"),
                    "raise the limit of threads of this process",
                )
            })?
            .thread()
            .clone();
        shared
            .wants
            .store(settings.wants().to_bits(), Ordering::Relaxed);
        Ok(Self {
            shared,
            thread,
            ended: Mutex::new(ended),
        })
    }

    /// A worker's end, with a queue of its own.
    pub fn reporter(&self) -> Reporter {
        let lane = Arc::new(Lane::default());
        lock(&self.shared.lanes).push(lane.clone());
        Reporter {
            lane,
            shared: self.shared.clone(),
            thread: self.thread.clone(),
        }
    }

    /// Writes by other settings from now on; what is queued already is still written by the old ones.
    ///
    /// Errors: a file that can not be opened; then nothing has changed.
    pub fn reload(&self, settings: &Settings) -> Result<(), Fault> {
        let output = Output::open(settings)?;
        self.shared.limit.store(settings.queue, Ordering::Relaxed);
        self.shared
            .wants
            .store(settings.wants().to_bits(), Ordering::Relaxed);
        self.command(Command::Switch(Box::new(output), settings.format));
        Ok(())
    }

    /// Opens the file anew under its name, for who has renamed it (SIGUSR1). Returns at once; does nothing to streams.
    pub fn reopen(&self) {
        self.command(Command::Reopen);
    }

    /// Writes all that is queued and ends the writer; waits at most `limit` and says whether all was written by then.
    /// Records that come later are dropped and counted. Blocks the thread: for the end of the process.
    pub fn close(&self, limit: Duration) -> bool {
        self.shared.closed.store(true, Ordering::SeqCst);
        self.thread.unpark();
        // Nothing is ever sent: the writer's end of the channel falls with the writer.
        let ended = lock(&self.ended).recv_timeout(limit);
        ended == Err(RecvTimeoutError::Disconnected) && !self.shared.has_queued()
    }

    /// What became of the records so far.
    pub fn stats(&self) -> LogStats {
        self.shared.stats()
    }

    fn command(&self, command: Command) {
        lock(&self.shared.commands).push(command);
        self.thread.unpark();
    }
}

impl Drop for AccessLog {
    /// The writer ends after it has written what is queued; nobody waits for it here.
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

impl Reporter {
    /// Hands a record over. Never waits for the writer; a full queue drops the record and counts it.
    pub fn emit(&self, mut record: Record) {
        let wants = self.wants();
        if !wants.records {
            return;
        }
        if !wants.query {
            record.query = None;
        }
        record.clip();
        let limit = self.shared.limit.load(Ordering::Relaxed);
        let mut queue = lock(&self.lane.queue);
        // Under the lock: whoever does not see the closing here is in front of the writer's last look at this queue.
        if queue.len() >= limit || self.shared.closed.load(Ordering::SeqCst) {
            drop(queue);
            self.lane.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        queue.push(record);
        let half_full = queue.len() == limit.div_ceil(2);
        drop(queue);
        // The writer looks at all queues after it has said that it is idle: either it sees the record, or we see the flag.
        if self.shared.idle.load(Ordering::SeqCst) && self.shared.idle.swap(false, Ordering::SeqCst)
            || half_full
        {
            self.thread.unpark();
        }
    }

    /// Which facts are worth collecting. One relaxed load.
    pub fn wants(&self) -> Wants {
        Wants::from_bits(self.shared.wants.load(Ordering::Relaxed))
    }

    /// How many records of this worker were dropped.
    pub fn dropped(&self) -> u64 {
        self.lane.dropped.load(Ordering::Relaxed)
    }
}

impl Wants {
    fn to_bits(self) -> u8 {
        [self.records, self.query, self.user_agent, self.content_type]
            .into_iter()
            .fold(0, |bits, flag| bits << 1 | u8::from(flag))
    }

    fn from_bits(bits: u8) -> Self {
        Self {
            records: bits & 8 != 0,
            query: bits & 4 != 0,
            user_agent: bits & 2 != 0,
            content_type: bits & 1 != 0,
        }
    }
}

impl std::iter::Sum for LogStats {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            written: sum.written + one.written,
            dropped: sum.dropped + one.dropped,
            lost: sum.lost + one.lost,
        })
    }
}

impl Shared {
    fn stats(&self) -> LogStats {
        LogStats {
            written: self.written.load(Ordering::Relaxed),
            dropped: self.dropped(),
            lost: self.lost.load(Ordering::Relaxed),
        }
    }

    fn has_queued(&self) -> bool {
        lock(&self.lanes)
            .iter()
            .any(|lane| !lock(&lane.queue).is_empty())
    }

    fn dropped(&self) -> u64 {
        lock(&self.lanes)
            .iter()
            .map(|lane| lane.dropped.load(Ordering::Relaxed))
            .sum()
    }
}

/// A panic while one of these locks is held leaves a whole value behind, so poison says nothing here.
fn lock<T: fmt::Debug>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
