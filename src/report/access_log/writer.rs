//! The thread of the access log: takes the workers' queues, formats, writes in batches.
//! Touches no socket and no policy; may block on a disk or a pipe for as long as that takes.
//! Start at [`Writer::run`].

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use super::output::Output;
use super::{Shared, lock};
use crate::report::{Format, Record};

/// What the writer is asked to do, between two batches.
#[derive(Debug)]
pub(super) enum Command {
    /// Open the file anew.
    Reopen,
    /// Write there, in that form.
    Switch(Box<Output>, Format),
}

/// The writer's own state.
#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    output: Output,
    format: Format,
    batch: String,
    /// Queues are swapped with this one, so that their memory is used again.
    taken: Vec<Record>,
    told: u64,
    quiet_until: Option<Instant>,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, output: Output, format: Format) -> Self {
        Self {
            shared,
            output,
            format,
            batch: String::with_capacity(BATCH_LIMIT / 4),
            taken: Vec::new(),
            told: 0,
            quiet_until: None,
        }
    }

    /// Works until the log is closed and all is written.
    pub(super) fn run(mut self) {
        loop {
            // Read before the queues: a record that came before the closing is in one of them.
            let closed = self.shared.closed.load(Ordering::SeqCst);
            let commands = std::mem::take(&mut *lock(&self.shared.commands));
            let busy = self.drain();
            for command in commands {
                self.obey(command);
            }
            self.tell_dropped();
            if closed {
                self.output.retire();
                return;
            }
            if busy {
                // Records that come meanwhile share the next write.
                thread::park_timeout(INTERVAL);
                continue;
            }
            self.shared.idle.store(true, Ordering::SeqCst);
            if !self.is_asked() {
                thread::park();
            }
            self.shared.idle.store(false, Ordering::SeqCst);
        }
    }

    /// Writes what is queued; says whether there was anything.
    fn drain(&mut self) -> bool {
        let lanes = lock(&self.shared.lanes).clone();
        let mut busy = false;
        for lane in &lanes {
            std::mem::swap(&mut *lock(&lane.queue), &mut self.taken);
            busy |= !self.taken.is_empty();
            let mut taken = std::mem::take(&mut self.taken);
            for record in taken.drain(..) {
                self.add(&record);
            }
            if taken.capacity() <= KEPT_CAPACITY {
                self.taken = taken;
            }
        }
        self.flush();
        self.forget_lanes(lanes);
        busy
    }

    fn add(&mut self, record: &Record) {
        if self.output.is_on() {
            self.format.write(&mut self.batch, record);
        }
        if self.batch.len() >= BATCH_LIMIT {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let outcome = self.output.write(self.batch.as_bytes());
        self.batch.clear();
        self.shared
            .written
            .fetch_add(outcome.written, Ordering::Relaxed);
        self.shared.lost.fetch_add(outcome.lost, Ordering::Relaxed);
    }

    /// Lets go of the queues of workers that are gone, once they are empty and counted nothing.
    fn forget_lanes(&self, lanes: Vec<Arc<super::Lane>>) {
        drop(lanes);
        lock(&self.shared.lanes).retain(|lane| {
            Arc::strong_count(lane) > 1
                || lane.dropped.load(Ordering::Relaxed) > 0
                || !lock(&lane.queue).is_empty()
        });
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Reopen => self.output.reopen(),
            Command::Switch(output, format) => {
                self.output.retire();
                self.output = *output;
                self.format = format;
            }
        }
    }

    /// Whether something came while the writer said that it is idle.
    fn is_asked(&self) -> bool {
        self.shared.closed.load(Ordering::SeqCst)
            || !lock(&self.shared.commands).is_empty()
            || self.shared.has_queued()
    }

    /// Says that records were dropped, but not in every batch.
    fn tell_dropped(&mut self) {
        let dropped = self.shared.dropped();
        if dropped == self.told || self.quiet_until.is_some_and(|until| Instant::now() < until) {
            return;
        }
        let count = dropped - self.told;
        tracing::warn!(
            count,
            "access records dropped: the log's destination is slower than the traffic; raise [log.access] queue or write to a faster place"
        );
        self.told = dropped;
        self.quiet_until = Some(Instant::now() + QUIET);
    }
}

/// The longest that a record waits for others to share its write.
const INTERVAL: Duration = Duration::from_millis(100);
/// Bytes in one write.
const BATCH_LIMIT: usize = 256 << 10;
/// Records that a queue keeps room for after a burst.
const KEPT_CAPACITY: usize = 16_384;
/// Between two warnings about dropped records.
const QUIET: Duration = Duration::from_secs(10);
