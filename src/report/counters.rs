//! What a worker counts: plain cells, no atomics. A copy of them crosses threads and can be summed over workers.
//! Names and labels for a metrics format are the admin's side's.
//! Start at [`Counters`]; [`Counters::totals`] is the copy.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use super::{LogStats, Protocol, Record, Verdict};

/// One number that a worker counts.
#[derive(Debug, Default)]
pub struct Count(Cell<u64>);

impl Count {
    /// Adds so many.
    pub fn add(&self, count: u64) {
        self.0.set(self.0.get().wrapping_add(count));
    }

    /// Adds one.
    pub fn bump(&self) {
        self.add(1);
    }

    /// The number.
    pub fn value(&self) -> u64 {
        self.0.get()
    }
}

/// Numbers by a word of a small fixed set. Looked up by walking: for a dozen words that is the fastest.
#[derive(Debug, Default)]
pub struct Words(RefCell<Vec<(&'static str, u64)>>);

impl Words {
    /// Adds one to the word's number.
    pub fn bump(&self, word: &'static str) {
        let mut words = self.0.borrow_mut();
        match words.iter_mut().find(|(known, _)| *known == word) {
            Some((_, count)) => *count += 1,
            None => words.push((word, 1)),
        }
    }

    fn totals(&self) -> BTreeMap<&'static str, u64> {
        self.0.borrow().iter().copied().collect()
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What one worker counts; shared by `Rc`. Numbers since the start, unless said otherwise.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[$doc])* pub $name: Count,)*
            /// Exchanges and tunnels that ended, by protocol.
            pub protocols: Words,
            /// Failures, by token of RFC 9209 §2.3.
            pub failures: Words,
            open: Cell<u64>,
        }

        /// A copy of the counters of one worker, or the sum over several.
        #[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
        pub struct Totals {
            $($(#[$doc])* pub $name: u64,)*
            /// Client connections that are open now.
            pub connections_open: u64,
            /// Exchanges and tunnels that ended, by protocol.
            pub protocols: BTreeMap<&'static str, u64>,
            /// Failures, by token of RFC 9209 §2.3.
            pub failures: BTreeMap<&'static str, u64>,
            /// Access records; of the whole process, so filled in by who sums.
            pub records: LogStats,
        }

        impl Counters {
            /// A copy that may cross threads.
            pub fn totals(&self) -> Totals {
                Totals {
                    $($name: self.$name.value(),)*
                    connections_open: self.open.get(),
                    protocols: self.protocols.totals(),
                    failures: self.failures.totals(),
                    records: LogStats::default(),
                }
            }
        }

        impl Totals {
            /// Adds another worker's.
            pub fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
                self.connections_open += other.connections_open;
                add_words(&mut self.protocols, &other.protocols);
                add_words(&mut self.failures, &other.failures);
                self.records = [self.records, other.records].into_iter().sum();
            }
        }
    };
}

counters! {
    /// Client connections that were accepted.
    connections_accepted,
    /// Client connections that were closed at once, because a limit was reached.
    connections_refused,
    /// Exchanges that ended, whatever became of them.
    requests,
    /// Tunnels that ended, whatever became of them.
    tunnels,
    /// Denied by policy.
    denials,
    /// Let through only because a rule or policy reports instead of denying.
    would_deny,
    /// Cut short by a side that went away, or killed.
    aborted,
    /// Datagrams from clients.
    datagrams_in,
    /// Datagrams to clients.
    datagrams_out,
    /// Datagrams that were not passed on: no room, too large, too many flows, refused.
    datagrams_dropped,
    /// Bytes from clients.
    bytes_in,
    /// Bytes to clients.
    bytes_out,
}

/// Counts a client connection as open until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Open(Rc<Counters>);

impl Counters {
    /// Counts a connection as accepted, and as open for as long as the guard lives.
    pub fn accepted(self: &Rc<Self>) -> Open {
        self.connections_accepted.bump();
        self.open.set(self.open.get() + 1);
        Open(self.clone())
    }

    /// Client connections that are open now.
    pub fn open(&self) -> u64 {
        self.open.get()
    }

    /// Counts what a record tells, once it is complete: the one place for requests, tunnels, denials, failures, bytes.
    pub fn count(&self, record: &Record) {
        if record.is_tunnel() {
            self.tunnels.bump();
        } else {
            self.requests.bump();
        }
        match record.verdict {
            Verdict::Deny => self.denials.bump(),
            Verdict::WouldDeny => self.would_deny.bump(),
            Verdict::Allow | Verdict::None => {}
        }
        if record.aborted {
            self.aborted.bump();
        }
        if let Some(error) = record.error {
            self.failures.bump(error);
        }
        self.bytes_in.add(record.bytes_in);
        self.bytes_out.add(record.bytes_out);
        self.protocols.bump(Protocol::word(record.protocol));
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get().saturating_sub(1));
    }
}

impl std::iter::Sum for Totals {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |mut sum, one| {
            sum.add(&one);
            sum
        })
    }
}

fn add_words(sum: &mut BTreeMap<&'static str, u64>, other: &BTreeMap<&'static str, u64>) {
    for (word, count) in other {
        *sum.entry(word).or_default() += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::RequestIds;

    #[test]
    fn what_workers_counted_is_summed() {
        let ids = RequestIds::new(0);
        let time = jiff::Timestamp::UNIX_EPOCH;
        let client = "192.0.2.7:1000".parse().expect("an address");
        let worker = || {
            let counters = Rc::new(Counters::default());
            let still_open = counters.accepted();
            drop(counters.accepted());
            for (protocol, verdict, error) in [
                (Protocol::Http11, Verdict::Allow, None),
                (Protocol::Connect, Verdict::Deny, None),
                (Protocol::Connect, Verdict::WouldDeny, Some("dns_error")),
            ] {
                let mut record = Record::new(time, ids.next(time), 0, "l".into(), client, protocol);
                (
                    record.verdict,
                    record.error,
                    record.bytes_in,
                    record.bytes_out,
                ) = (verdict, error, 1, 2);
                counters.count(&record);
            }
            let totals = counters.totals();
            drop(still_open);
            assert_eq!(counters.open(), 0);
            totals
        };
        let text =
            serde_json::to_string(&[worker(), worker()].into_iter().sum::<Totals>()).expect("JSON");
        assert_eq!(
            text,
            r#"{"connections_accepted":4,"connections_refused":0,"requests":2,"tunnels":4,"denials":2,"would_deny":2,"aborted":0,"datagrams_in":0,"datagrams_out":0,"datagrams_dropped":0,"bytes_in":6,"bytes_out":12,"connections_open":2,"protocols":{"connect":4,"http/1.1":2},"failures":{"dns_error":2},"records":{"written":0,"dropped":0,"lost":0}}"#
        );
    }
}
