//! `[cache]`: how much is kept and where, and who may have it taken out. Without the section there is no cache.
//! Not what a rule says (control).
//! Start at [`Settings`].

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::path::PathBuf;

use http::HeaderName;
use http::header::CACHE_CONTROL;
use ipnet::IpNet;

use crate::fault::{Fault, Faults};
use crate::settings::{ByteSize, Located, Table};

/// The settings of the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What the memory tier may take, heads counted; at least 1 MiB.
    pub memory: ByteSize,
    /// The disk tier.
    pub disk: Option<DiskSettings>,
    /// The largest content that is to be stored; what holds is [`Settings::largest_stored`].
    pub largest: ByteSize,
    /// Whether one fetch is for all who wait for the same.
    pub collapse: bool,
    /// The name in `Cache-Status` (RFC 9211 §2), printable ASCII; `None` for the listener's own.
    pub name: Option<Box<str>>,
    /// Targeted fields that stand in place of `Cache-Control`, the first that is there and valid wins (RFC 9213 §2.2).
    pub targeted: Box<[HeaderName]>,
    /// Who may send PURGE.
    pub purge: PurgeRight,
}

/// Where the disk tier is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskSettings {
    /// Its directory.
    pub path: PathBuf,
    /// What it may take; at least 1 MiB.
    pub size: ByteSize,
}

/// Who may send PURGE. Nobody, unless somebody is named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PurgeRight(Box<[Named]>);

/// Clients of whom all that is said must hold; what is not said holds for anyone.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Named {
    from: Option<Box<[IpNet]>>,
    principals: Option<Box<[Box<str>]>>,
    groups: Option<Box<[Box<str>]>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            memory: MEMORY,
            disk: None,
            largest: LARGEST,
            collapse: true,
            name: None,
            targeted: targeted(),
            purge: PurgeRight::default(),
        }
    }
}

impl Settings {
    /// Reads the section. What is wrong becomes faults, each at its place.
    pub fn read(table: Table, faults: &Faults) -> Self {
        let memory = table
            .take::<Located<ByteSize>>("memory", faults)
            .and_then(|size| enough(&size, "leave it out for 256MiB", faults))
            .unwrap_or(MEMORY);
        let disk = table
            .take::<Table>("disk", faults)
            .and_then(|table| DiskSettings::read(table, faults));
        let largest: Option<Located<ByteSize>> = table.take("largest", faults);
        if let Some(largest) = largest.as_ref().filter(|largest| largest.value.0 == 0) {
            faults.push(Fault::at(
                &largest.at,
                "with this nothing is stored",
                "leave [cache] out to have none",
            ));
        }
        let settings = Self {
            memory,
            disk,
            largest: largest.map_or(LARGEST, |largest| largest.value),
            collapse: table.take_or("collapse", true, faults),
            name: read_name(&table, faults),
            targeted: read_targeted(&table, faults),
            purge: PurgeRight::read(&table, faults),
        };
        table.finish(faults);
        settings
    }

    /// The length in bytes of the largest content that is stored at all: what was asked for, but at most half of the disk, or
    /// an eighth of the memory where that is all there is. One object does not push out all others.
    pub fn largest_stored(&self) -> u64 {
        let room = match &self.disk {
            Some(disk) => disk.size.0 / 2,
            None => self.memory.0 / 8,
        };
        self.largest.0.min(room)
    }
}

impl DiskSettings {
    fn read(table: Table, faults: &Faults) -> Option<Self> {
        let path: Option<PathBuf> = table.require(
            "path",
            "write disk = { path = \"/var/cache/egret\", size = \"20GiB\" }",
            faults,
        );
        let size: Option<Located<ByteSize>> =
            table.require("size", "say how much it may take: size = \"20GiB\"", faults);
        let size = size.and_then(|size| enough(&size, "leave disk out to have none", faults));
        table.finish(faults);
        Some(Self {
            path: path?,
            size: size?,
        })
    }
}

impl PurgeRight {
    /// `purge = { from, principal, group }`, or several of them.
    fn read(table: &Table, faults: &Faults) -> Self {
        let tables: Vec<Table> = table.take("purge", faults).unwrap_or_default();
        let named = tables.into_iter();
        Self(
            named
                .filter_map(|table| Named::read(table, faults))
                .collect(),
        )
    }

    /// Whether nobody may.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this client may: its address, its name where it is known, and its groups.
    pub fn allows(
        &self,
        client: IpAddr,
        principal: Option<&str>,
        groups: &[impl AsRef<str>],
    ) -> bool {
        self.0
            .iter()
            .any(|named| named.is(client.to_canonical(), principal, groups))
    }
}

impl Named {
    /// `None` where it names nobody: it must not become anybody.
    fn read(table: Table, faults: &Faults) -> Option<Self> {
        let before = faults.len();
        let named = Self {
            from: table
                .take::<Vec<IpNet>>("from", faults)
                .map(Vec::into_boxed_slice),
            principals: names(&table, "principal", faults),
            groups: names(&table, "group", faults),
        };
        let empty = [
            named.from.as_ref().map(|from| from.is_empty()),
            named.principals.as_ref().map(|names| names.is_empty()),
            named.groups.as_ref().map(|names| names.is_empty()),
        ];
        // All of them absent, or one that is there without a name.
        let nobody = !empty.contains(&Some(false)) || empty.contains(&Some(true));
        if nobody && faults.len() == before {
            faults.push(Fault::at(
                &table.at,
                "this names nobody",
                "write purge = { from = [\"10.0.0.0/8\"], group = [\"operators\"] }, or leave it out",
            ));
        }
        table.finish(faults);
        (!nobody).then_some(named)
    }

    fn is(&self, client: IpAddr, principal: Option<&str>, groups: &[impl AsRef<str>]) -> bool {
        let from = self.from.as_ref();
        let from = from.is_none_or(|nets| nets.iter().any(|net| net.contains(&client)));
        // As in rules, "*" is anyone who is known.
        let is = |name: &str| principal.is_some_and(|known| name == "*" || known == name);
        let principals = self.principals.as_ref();
        let named = principals.is_none_or(|names| names.iter().any(|name| is(name)));
        let has = |name: &str| groups.iter().any(|group| group.as_ref() == name);
        let of_groups = self.groups.as_ref();
        let grouped = of_groups.is_none_or(|names| names.iter().any(|name| has(name)));
        from && named && grouped
    }
}

fn names(table: &Table, key: &'static str, faults: &Faults) -> Option<Box<[Box<str>]>> {
    let names: Vec<String> = table.take(key, faults)?;
    Some(names.into_iter().map(Into::into).collect())
}

fn enough(size: &Located<ByteSize>, none: &str, faults: &Faults) -> Option<ByteSize> {
    if size.value < LEAST {
        let problem = format!("{} is too little to keep anything in", size.value);
        let remedy = format!("give it at least {LEAST}, or {none}");
        faults.push(Fault::at(&size.at, problem, remedy));
        return None;
    }
    Some(size.value)
}

fn read_name(table: &Table, faults: &Faults) -> Option<Box<str>> {
    let name: Located<String> = table.take("name", faults)?;
    let printable = name.value.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    if name.value.trim().is_empty() || !printable {
        faults.push(Fault::at(
            &name.at,
            format!("{:?} can not stand in Cache-Status", name.value),
            "choose one of letters, digits and hyphens",
        ));
        return None;
    }
    Some(name.value.into())
}

fn read_targeted(table: &Table, faults: &Faults) -> Box<[HeaderName]> {
    let names: Option<Vec<Located<String>>> = table.take("targeted", faults);
    let Some(names) = names else {
        return targeted();
    };
    let mut targeted: Vec<HeaderName> = Vec::new();
    for name in names {
        let remedy = "write targeted = [\"CDN-Cache-Control\"], the nearest to this cache first";
        match HeaderName::try_from(&name.value) {
            Err(_) => {
                let problem = format!("{:?} is not a field's name", name.value);
                faults.push(Fault::at(&name.at, problem, remedy));
            }
            Ok(CACHE_CONTROL) => {
                let problem = "Cache-Control is what holds where none of these is there";
                faults.push(Fault::at(&name.at, problem, remedy));
            }
            Ok(field) if targeted.contains(&field) => {
                let problem = format!("\"{field}\" stands here twice");
                faults.push(Fault::at(&name.at, problem, "keep one of them"));
            }
            Ok(field) => targeted.push(field),
        }
    }
    targeted.into()
}

/// The field of RFC 9213 §3.1: what its origin lets the caches of a content delivery network keep, it gives to everybody who asks
/// these. A cache that must keep to what is said to all sets `targeted = []`.
fn targeted() -> Box<[HeaderName]> {
    [HeaderName::from_static("cdn-cache-control")].into()
}

const MEMORY: ByteSize = ByteSize::mib(256);
const LARGEST: ByteSize = ByteSize::mib(1024);
const LEAST: ByteSize = ByteSize::mib(1);
