//! All routes of a configuration, and the search for the one that a request takes. Immutable: a reload makes a new table.
//! Start at [`RouteTable::find`].

use std::sync::Arc;

use foldhash::HashMap;
use http::{HeaderMap, Method};

use super::Route;
use super::conditions::Conditions;
use super::index::Index;
use super::matches::Matches;
use super::readings::Readings;
use crate::addr::Host;

/// What a request is asked for, as far as routes look at it.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The name of the listener that it came to.
    pub listener: &'a str,
    /// The host that it is for; `None` where it names none (HTTP/1.0).
    pub host: Option<&'a Host>,
    /// Its path, and what that may mean.
    pub path: &'a Readings<'a>,
    /// Its method.
    pub method: &'a Method,
    /// Its fields.
    pub headers: &'a HeaderMap,
}

/// What a search comes to.
#[derive(Debug, Clone, Copy)]
pub enum Found<'a> {
    /// This route.
    Route(&'a Arc<Route>),
    /// There is none: 404.
    Nothing,
    /// An origin that reads the path in another way would be reached by another route, or by none: 400.
    Ambiguous,
}

/// Routes of all listeners.
#[derive(Debug, Default)]
pub struct RouteTable {
    /// In the file's order.
    routes: Vec<Arc<Route>>,
    /// What each asks beside host and path; `None` where that is nothing, as for most.
    conditions: Vec<Option<Box<Conditions>>>,
    /// By listener, which the operator names; listeners with the same routes share one.
    listeners: HashMap<Arc<str>, Arc<Taken>>,
}

/// The routes of one listener.
#[derive(Debug)]
struct Taken {
    index: Index,
    /// Their places in the file.
    places: Vec<usize>,
}

impl RouteTable {
    /// The route that a request takes. Allocates nothing, except where the fields or the query are asked for and have
    /// characters that have to be decoded.
    pub fn find(&self, asked: &Asked<'_>) -> Found<'_> {
        let Some(taken) = self.listeners.get(asked.listener) else {
            return Found::Nothing;
        };
        let index = &taken.index;
        let found = self.by_path(index, asked, asked.path.normal());
        for reading in asked.path.others() {
            let other = self.by_path(index, asked, reading);
            let alike = match (found, other) {
                (Some(one), Some(other)) => one.does_as(other),
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            };
            if !alike {
                return Found::Ambiguous;
            }
        }
        found.map_or(Found::Nothing, Found::Route)
    }

    /// The routes, in the file's order.
    pub fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.routes.iter()
    }

    /// Those that requests to a listener may take, in the file's order.
    pub fn of_listener(&self, listener: &str) -> impl Iterator<Item = &Arc<Route>> {
        let taken = self.listeners.get(listener);
        let places = taken.into_iter().flat_map(|taken| &taken.places);
        places.filter_map(|at| self.routes.get(*at))
    }

    /// How many routes there are.
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    fn by_path(&self, index: &Index, asked: &Asked<'_>, path: &str) -> Option<&Arc<Route>> {
        let holds = |at: usize| {
            let conditions = self.conditions.get(at).and_then(Option::as_ref);
            conditions.is_none_or(|conditions| {
                conditions.hold(asked.method, asked.headers, asked.path.query())
            })
        };
        self.routes.get(index.first(asked.host, path, holds)?)
    }

    pub(super) fn new(listeners: &[Arc<str>], routes: Vec<(Arc<Route>, Matches)>) -> Self {
        let mut shared: HashMap<Vec<usize>, Arc<Taken>> = HashMap::default();
        let of_listener = |place: usize| {
            let all = routes.iter().enumerate();
            let taken = all.filter(|(_, (_, matches))| matches.listeners.contains(&place));
            taken.map(|(at, _)| at).collect::<Vec<usize>>()
        };
        let listeners = listeners.iter().enumerate().map(|(place, name)| {
            let taken = shared
                .entry(of_listener(place))
                .or_insert_with_key(|places| {
                    Arc::new(Taken {
                        index: index_of(places, &routes),
                        places: places.clone(),
                    })
                });
            (name.clone(), taken.clone())
        });
        let listeners = listeners.collect();
        let routes = routes.into_iter().map(|(route, matches)| {
            let conditions = Some(matches.conditions).filter(|all| !all.is_empty());
            (route, conditions.map(Box::new))
        });
        let (routes, conditions) = routes.unzip();
        Self {
            routes,
            conditions,
            listeners,
        }
    }
}

fn index_of(taken: &[usize], routes: &[(Arc<Route>, Matches)]) -> Index {
    let of_place = |at: &usize| routes.get(*at).map(|(_, matches)| (*at, matches));
    let mut taken: Vec<(usize, &Matches)> = taken.iter().filter_map(of_place).collect();
    taken.sort_by_cached_key(|(at, matches)| {
        let more = usize::from(matches.named);
        (matches.conditions.weight(more), *at)
    });
    let all = taken.iter().flat_map(|(at, matches)| {
        let pairs = matches.pairs();
        pairs.map(|(host, path)| (host, path, *at))
    });
    Index::new(all)
}
