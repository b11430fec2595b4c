//! Which of several upstreams a request goes to: by a field or a cookie first, by weight then.
//! Not which endpoint of it (upstream).
//! Start at [`Split::choose`].

use std::sync::Arc;

use http::{HeaderMap, HeaderName};

use super::conditions::{Values, read_named};
use super::source::Ground;
use crate::fault::{Fault, Faults};
use crate::message::cookies;
use crate::settings::{FromValue, Kind, Located, Table, Value};
use crate::upstream::Percent;

/// One upstream, or several with their shares.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// In the file's order; the first that holds is taken.
    special: Vec<(When, Chosen)>,
    /// At least one, and not all of weight zero.
    weighted: Vec<(u32, Chosen)>,
    total: u64,
}

/// An upstream by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// Its name.
    pub name: Arc<str>,
    /// Its place among [`Ground::upstreams`].
    pub at: usize,
}

/// What sends a request to one upstream by itself; all of it must hold.
#[derive(Debug, Clone, PartialEq)]
struct When {
    headers: Vec<(HeaderName, Values)>,
    cookies: Vec<(Box<str>, Values)>,
}

impl Split {
    /// The upstream of a request; `draw` is any number, evenly chosen anew for each.
    pub fn choose(&self, headers: &HeaderMap, draw: u64) -> &Chosen {
        if let Some((_, chosen)) = self.special.iter().find(|(when, _)| when.holds(headers)) {
            return chosen;
        }
        let mut left = scaled(draw, self.total);
        for (weight, chosen) in &self.weighted {
            match left.checked_sub(u64::from(*weight)) {
                Some(rest) => left = rest,
                None => return chosen,
            }
        }
        let (_, last) = self.weighted.last().expect("a split has an upstream");
        last
    }

    /// The upstreams that a request with these fields may go to, each with its weight among them.
    pub fn weights(&self, headers: &HeaderMap) -> Vec<(u32, &Chosen)> {
        if let Some((_, chosen)) = self.special.iter().find(|(when, _)| when.holds(headers)) {
            return vec![(1, chosen)];
        }
        let weighted = self.weighted.iter().filter(|(weight, _)| *weight > 0);
        weighted.map(|(weight, chosen)| (*weight, chosen)).collect()
    }

    /// Every upstream that a request may go to.
    pub fn upstreams(&self) -> impl Iterator<Item = &Chosen> {
        let special = self.special.iter().map(|(_, chosen)| chosen);
        special.chain(self.weighted.iter().map(|(_, chosen)| chosen))
    }

    /// Reads `"app"`, or a list of `{ upstream, weight }` and `{ upstream, when }`.
    pub(super) fn read(value: Value, ground: Ground<'_>) -> Option<Self> {
        let faults = ground.faults;
        let before = faults.len();
        let at = value.at.clone();
        let items = match value.kind {
            Kind::List(items) => items,
            Kind::Text(_)
            | Kind::Table(_)
            | Kind::Integer(_)
            | Kind::Float(_)
            | Kind::Bool(_)
            | Kind::Datetime(_) => vec![value],
        };
        let mut split = Self {
            special: Vec::new(),
            weighted: Vec::new(),
            total: 0,
        };
        for item in items {
            match Part::read(item, ground) {
                Some((Part::Special(when), chosen)) => split.special.push((when, chosen)),
                Some((Part::Weighted(weight), chosen)) => split.weighted.push((weight, chosen)),
                None => {}
            }
        }
        split.total = split
            .weighted
            .iter()
            .map(|(weight, _)| u64::from(*weight))
            .sum();
        if faults.len() > before {
            return None;
        }
        if split.weighted.is_empty() {
            let remedy = "add the upstream that all other requests go to: { upstream = \"app\" }";
            faults.push(Fault::at(
                &at,
                "some requests have no upstream to go to",
                remedy,
            ));
            return None;
        }
        if split.total == 0 {
            let remedy = "give one of them a weight of at least 1";
            faults.push(Fault::at(&at, "every upstream has the weight 0", remedy));
            return None;
        }
        Some(split)
    }
}

impl Chosen {
    /// Reads the name of an upstream that there is.
    pub(super) fn read(name: &Located<String>, ground: Ground<'_>) -> Option<Self> {
        let mut upstreams = ground.upstreams.iter().enumerate();
        let found = upstreams.find(|(_, known)| ***known == *name.value);
        if let Some((at, name)) = found {
            let name = name.clone();
            return Some(Self { name, at });
        }
        let problem = format!("there is no upstream \"{}\"", name.value);
        let known = ground.upstreams.iter().map(|known| &**known);
        let remedy = match crate::fault::nearest(&name.value, known) {
            Some(near) => format!("Did you mean \"{near}\"?"),
            None => format!("add [upstream.{}] with its endpoints", name.value),
        };
        ground.faults.push(Fault::at(&name.at, problem, remedy));
        None
    }
}

enum Part {
    Special(When),
    Weighted(u32),
}

impl Part {
    fn read(value: Value, ground: Ground<'_>) -> Option<(Self, Chosen)> {
        let faults = ground.faults;
        let at = value.at.clone();
        if let Kind::Text(name) = value.kind {
            let chosen = Chosen::read(&Located { value: name, at }, ground)?;
            return Some((Self::Weighted(1), chosen));
        }
        let Kind::Table(table) = value.kind else {
            return value.mismatch("the name of an upstream, or { upstream, weight }", faults);
        };
        let remedy = "name it: { upstream = \"app\", weight = 9 }";
        let name: Option<Located<String>> = table.require("upstream", remedy, faults);
        let weight: Option<Located<u32>> = table.take("weight", faults);
        let when: Option<Located<Table>> = table.take("when", faults);
        table.finish(faults);
        let chosen = Chosen::read(&name?, ground)?;
        let Some(when) = when else {
            return Some((
                Self::Weighted(weight.map_or(1, |weight| weight.value)),
                chosen,
            ));
        };
        if let Some(weight) = weight {
            let remedy = "leave the weight out: what \"when\" holds for goes there as a whole";
            faults.push(Fault::at(
                &weight.at,
                "an upstream has both when and weight",
                remedy,
            ));
            return None;
        }
        Some((Self::Special(When::read(when, faults)?), chosen))
    }
}

impl When {
    fn read(table: Located<Table>, faults: &Faults) -> Option<Self> {
        let before = faults.len();
        let Located { value: table, at } = table;
        let field = |name: &Located<String>| match name.value.parse::<HeaderName>() {
            Ok(field) => Some(field),
            Err(_) => {
                let problem = format!("\"{}\" is not a field name", name.value);
                faults.push(Fault::at(&name.at, problem, "letters, digits and hyphens"));
                None
            }
        };
        let cookie = |name: &Located<String>| Some(name.value.as_str().into());
        let when = Self {
            headers: read_named(table.take_value("header"), field, faults),
            cookies: read_named(table.take_value("cookie"), cookie, faults),
        };
        table.finish(faults);
        if when.headers.is_empty() && when.cookies.is_empty() && faults.len() == before {
            let remedy = "write when = { header = { x-canary = true } } or when = { cookie = { canary = \"1\" } }";
            faults.push(Fault::at(&at, "\"when\" asks for nothing", remedy));
        }
        (faults.len() == before).then_some(when)
    }

    fn holds(&self, headers: &HeaderMap) -> bool {
        let in_field = |(name, values): &(HeaderName, Values)| values.hold_in(headers, name);
        let in_cookie = |(name, values): &(Box<str>, Values)| {
            cookies(headers).any(|(key, value)| *key == **name && values.admit(value))
        };
        self.headers.iter().all(in_field) && self.cookies.iter().all(in_cookie)
    }
}

/// A share of requests, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share(u32);

impl Share {
    /// All of them.
    pub const ALL: Self = Self(1_000_000);

    /// Whether a request belongs to it; `draw` is any number, evenly chosen anew for each.
    pub fn takes(self, draw: u64) -> bool {
        scaled(draw, u64::from(Self::ALL.0)) < u64::from(self.0)
    }
}

impl FromValue for Share {
    /// `"10%"`, `"0.5%"`.
    fn from_value(value: Value, faults: &Faults) -> Option<Self> {
        let at = value.at.clone();
        let share = Percent::from_value(value, faults)?.share();
        let millionths = (share * f64::from(Self::ALL.0)).round() as u32;
        if millionths == 0 || share > 1.0 {
            let percent = share * 100.0;
            let problem = format!("{percent}% is not a share of more than 0% and at most 100%");
            faults.push(Fault::at(&at, problem, "write \"10%\""));
            return None;
        }
        Some(Self(millionths))
    }
}

/// A number below `limit`, as evenly as the draw is.
fn scaled(draw: u64, limit: u64) -> u64 {
    let product = u128::from(draw) * u128::from(limit);
    u64::try_from(product >> 64).unwrap_or_default()
}
