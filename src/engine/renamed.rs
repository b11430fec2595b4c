//! Listeners that reloads gave other names: what is open of them goes on under the new ones.
//! Not their sockets, which are opened anew (listeners), nor datagrams, whose flows begin anew with them.
//! Start at [`Renamed::follow`].
//!
//! A connection is judged by the listener of its name. Where there is none of that name any more, a listener in the same mode has its
//! place that listens on all of its addresses: whoever connects there now is judged by that one.

use std::net::SocketAddr;
use std::sync::Arc;

use foldhash::HashMap;

use crate::config::{Config, ListenerConfig};
use crate::proxy_protocol::Transport;

/// Who has the place of listeners that were.
#[derive(Debug, Default)]
pub(super) struct Renamed {
    /// The listeners in force.
    listeners: Vec<Known>,
    /// From a name that was to the one that is.
    names: HashMap<Arc<str>, Arc<str>>,
}

#[derive(Debug)]
struct Known {
    name: Arc<str>,
    mode: &'static str,
    places: Vec<SocketAddr>,
}

impl Renamed {
    /// Follows another configuration. `is_open` says whether a listener that was has any connection still.
    pub(super) fn follow(&mut self, config: &Config, is_open: impl Fn(&str) -> bool) {
        let listeners = config.listeners.iter();
        let connected = listeners.filter(|one| one.transport() == Transport::Stream);
        let is_taken = |name: &str| config.listeners.iter().any(|one| *one.name == *name);
        self.replace(connected.map(Known::of).collect(), is_taken, is_open);
    }

    /// Names that were, and those of the listeners that have their places.
    pub(super) fn names(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<str>)> {
        self.names.iter()
    }

    /// A name that another listener has now is that one's, even if it listens for datagrams.
    fn replace(
        &mut self,
        now: Vec<Known>,
        is_taken: impl Fn(&str) -> bool,
        is_open: impl Fn(&str) -> bool,
    ) {
        let before = std::mem::replace(&mut self.listeners, now);
        let is_in_force = |name: &str| self.listeners.iter().any(|one| *one.name == *name);
        let heir = |name: Arc<str>| {
            if is_in_force(&name) {
                return Some(name);
            }
            let was = before.iter().find(|one| one.name == name)?;
            let heir = self.listeners.iter().find(|one| one.has_the_place_of(was));
            heir.map(|heir| heir.name.clone())
        };
        // Those of earlier reloads, then those of this one: of these nobody knows yet what is open, as it may not be counted yet.
        let earlier = std::mem::take(&mut self.names).into_iter();
        let earlier = earlier.filter(|(was, _)| is_open(was));
        let all = before
            .iter()
            .map(|one| (one.name.clone(), one.name.clone()));
        let gone = earlier.chain(all).filter(|(was, _)| !is_taken(was));
        self.names = gone
            .filter_map(|(was, last)| Some((was, heir(last)?)))
            .collect();
    }
}

impl Known {
    fn of(listener: &ListenerConfig) -> Self {
        Self {
            name: listener.name.clone(),
            mode: listener.mode.name,
            places: listener.bind.iter().map(|at| at.value).collect(),
        }
    }

    /// Port 0 is another place each time.
    fn has_the_place_of(&self, was: &Self) -> bool {
        let has = |place: &SocketAddr| place.port() != 0 && self.places.contains(place);
        self.mode == was.mode && was.places.iter().all(has)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `name mode port port`, for each listener; those of datagrams are not among them.
    fn listeners(text: &str) -> Vec<Known> {
        let one = |line: &str| {
            let mut words = line.split_whitespace();
            let mut next = || words.next().expect("name and mode");
            Known {
                name: next().into(),
                mode: if next() == "forward" {
                    "forward"
                } else {
                    "reverse"
                },
                places: words
                    .map(|port| ([127, 0, 0, 1], port.parse().expect("a port")).into())
                    .collect(),
            }
        };
        let connected = text.split(',').filter(|one| !one.contains(" datagrams "));
        connected.map(one).collect()
    }

    fn is_named(text: &str, name: &str) -> bool {
        let mut names = text
            .split(',')
            .filter_map(|one| one.split_whitespace().next());
        names.any(|one| one == name)
    }

    fn told(renamed: &Renamed) -> String {
        let mut names: Vec<String> = renamed
            .names()
            .map(|(was, is)| format!("{was}>{is}"))
            .collect();
        names.sort();
        names.join(" ")
    }

    #[test]
    fn who_has_mode_and_all_addresses_of_a_listener_has_its_place() {
        for (before, after, expected) in [
            ("a forward 1", "b forward 1", "a>b"),
            ("a forward 1", "b forward 2 1", "a>b"),
            ("a forward 1, b forward 2", "c forward 2 1", "a>c b>c"),
            ("a forward 1, b forward 2", "b forward 1", "a>b"),
            // By the name first.
            ("a forward 1", "a forward 2, b forward 1", ""),
            ("a forward 1", "b reverse 1", ""),
            ("a forward 1 2", "b forward 1, c forward 2", ""),
            ("a forward 1", "b forward 2", ""),
            ("a forward 0", "b forward 0", ""),
            // The name is another one's, and its flows are judged by that.
            ("a forward 1", "b forward 1, a datagrams 1", ""),
        ] {
            let mut renamed = Renamed::default();
            for text in [before, after] {
                let now = listeners(text);
                renamed.replace(now, |name| is_named(text, name), |_| true);
            }
            assert_eq!(told(&renamed), expected, "{before} -> {after}");
        }
    }

    #[test]
    fn a_name_that_was_leads_on_while_anything_is_open_of_it() {
        let mut renamed = Renamed::default();
        for (text, expected) in [
            ("a forward 1", ""),
            ("b forward 1", "a>b"),
            ("c forward 1", "a>c b>c"),
            ("c forward 2", "a>c b>c"),
            // Now it is another one.
            ("c forward 2, a forward 1", "b>c"),
            ("d forward 3", ""),
        ] {
            renamed.replace(listeners(text), |name| is_named(text, name), |_| true);
            assert_eq!(told(&renamed), expected, "{text}");
        }
        for text in ["a forward 1", "b forward 1", "c forward 1"] {
            let is_taken = |name: &str| is_named(text, name);
            renamed.replace(listeners(text), is_taken, |was| was != "a");
        }
        assert_eq!(told(&renamed), "b>c");
    }
}
