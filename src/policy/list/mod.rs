//! Lists of hosts and addresses that rules name as `@name`: inline or from a file, replaced while the proxy runs.
//! Not a condition, which asks a list, and no fetching: a list comes from the policy or from a file beside it.
//! Start at [`read_lists`]; [`List::has_host`] and [`List::has_address`] are the questions, [`List::refresh`] keeps the answers new.

mod addresses;
mod file;
mod keys;
mod lines;
mod names;
mod parse;
mod report;
mod rpz;
mod settings;

pub use report::{Form, ListReport, Skipped};
pub use settings::read_lists;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::Instant;

use self::parse::Loaded;
use crate::addr::Host;
use crate::fault::{Fault, Location};
use crate::settings::Stamp;

/// A list in force. Shared by all workers; asking it takes no lock, and replacing it holds up nobody.
#[derive(Debug)]
pub struct List {
    name: String,
    current: ArcSwap<Loaded>,
    watched: Option<Watched>,
}

/// What a refresh came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refresh {
    /// Nothing new, be it good or bad: a fault is told once, and [`List::standing_fault`] has it while it lasts.
    Unchanged,
    /// The list is another.
    Replaced {
        /// What reading it came to.
        report: Arc<ListReport>,
        /// The list shrank by more than nine tenths; perhaps it was cut off.
        warning: Option<Fault>,
    },
    /// The file is unreadable or holds no entry: the last good list stays in force.
    Kept {
        /// To be logged loudly.
        fault: Fault,
    },
}

#[derive(Debug)]
struct Watched {
    path: PathBuf,
    /// Where the policy names the file.
    at: Location,
    form: Option<Form>,
    every: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    loaded: Stamp,
    /// A state of the file that held no entry: it need not be read again.
    empty: Option<Stamp>,
    standing: Option<Fault>,
    next: Instant,
}

impl List {
    /// The name that rules know it by, without `@`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether a host is listed: a name by itself or by a parent, as its form says; an address as [`List::has_address`].
    pub fn has_host(&self, host: &Host) -> bool {
        let current = self.current.load();
        match host {
            Host::Name(name) => current.names.lists(name),
            Host::Addr(ip) => current.addresses.lists(*ip),
        }
    }

    /// Whether an address is listed. An IPv4-mapped address is the IPv4 address that it wraps.
    pub fn has_address(&self, ip: IpAddr) -> bool {
        self.current.load().addresses.lists(ip)
    }

    /// What reading the list that is in force came to.
    pub fn report(&self) -> Arc<ListReport> {
        self.current.load().report.clone()
    }

    /// The fault that keeps a newer file from being in force, while it lasts.
    pub fn standing_fault(&self) -> Option<Fault> {
        self.watched.as_ref()?.state().standing.clone()
    }

    /// Bytes on the heap that names and addresses take.
    pub fn heap_bytes(&self) -> usize {
        let current = self.current.load();
        current.names.heap_bytes() + current.addresses.heap_bytes()
    }

    /// Whether it is time to call [`List::refresh`]. Asking notes the time: it is true once in an interval. Never true for an inline list.
    pub fn due(&self, now: Instant) -> bool {
        let Some(watched) = &self.watched else {
            return false;
        };
        let mut state = watched.state();
        let due = state.next <= now;
        if due {
            state.next = now + watched.every;
        }
        due
    }

    /// Reads the file again if it is not the one that was read last. Blocks on the disk: not for a worker's thread.
    pub fn refresh(&self) -> Refresh {
        let Some(watched) = &self.watched else {
            return Refresh::Unchanged;
        };
        let mut state = watched.state();
        let found = match watched.newer(&mut state) {
            Ok(Some(found)) => found,
            Ok(None) => return Refresh::Unchanged,
            Err(problem) => return self.keep(watched, &mut state, &problem),
        };
        let before = self.current.load().report.entries();
        let warning = self.shrinkage(watched, before, found.report.entries());
        let report = found.report.clone();
        self.current.store(Arc::new(found));
        Refresh::Replaced { report, warning }
    }

    fn keep(&self, watched: &Watched, state: &mut State, problem: &str) -> Refresh {
        let entries = self.current.load().report.entries();
        let fault = Fault::at(
            &watched.at,
            format!(
                "list \"{}\": {problem}; the last good list of {entries} entries stays in force",
                self.name
            ),
            "repair the file: it is looked at again by itself",
        );
        if state.standing.replace(fault.clone()).as_ref() == Some(&fault) {
            return Refresh::Unchanged;
        }
        Refresh::Kept { fault }
    }

    fn shrinkage(&self, watched: &Watched, before: usize, after: usize) -> Option<Fault> {
        (after < before / 10).then(|| {
            Fault::at(
                &watched.at,
                format!(
                    "list \"{}\" shrank from {before} to {after} entries",
                    self.name
                ),
                "the shorter list is in force: see whether the file is whole",
            )
        })
    }
}

impl Watched {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The list in the file, if the file is another than the one in force. Errors: a text for the operator.
    fn newer(&self, state: &mut State) -> Result<Option<Loaded>, String> {
        let now = file::stamp(&self.path)?;
        if now == state.loaded {
            state.standing = None;
            return Ok(None);
        }
        if state.empty.as_ref() == Some(&now) && state.standing.is_some() {
            return Ok(None);
        }
        let (loaded, stamp) = file::read(&self.path, self.form)?;
        if loaded.report.entries() == 0 {
            state.empty = Some(stamp);
            return Err(no_entry(&self.path, &loaded.report));
        }
        *state = State {
            loaded: stamp,
            empty: None,
            standing: None,
            next: state.next,
        };
        Ok(Some(loaded))
    }
}

fn no_entry(path: &std::path::Path, report: &ListReport) -> String {
    format!("{} holds no entry ({report})", path.display())
}

#[cfg(test)]
mod tests;
