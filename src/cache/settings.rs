//! `[cache]`: how much is kept and where, and who may have it taken out. Without the section there is no cache.
//! Not what a rule says (control).
//! Start at [`Settings`].

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
            targeted: Box::default(),
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
    let names: Vec<Located<String>> = table.take("targeted", faults).unwrap_or_default();
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

const MEMORY: ByteSize = ByteSize::mib(256);
const LARGEST: ByteSize = ByteSize::mib(1024);
const LEAST: ByteSize = ByteSize::mib(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Source;

    fn read(text: &str) -> (Settings, Vec<String>) {
        let faults = Faults::new();
        let table = Table::parse(&Source::new("/etc/egret/egret.toml", text), &faults);
        let settings = Settings::read(table, &faults);
        let told = faults.into_vec().iter().map(Fault::render).collect();
        (settings, told)
    }

    #[test]
    fn a_section_without_keys_keeps_things_in_memory() {
        let (settings, told) = read("");
        assert_eq!((settings, told), (Settings::default(), vec![]));
    }

    #[test]
    fn every_key_is_read() {
        let (settings, told) = read(
            "memory = \"512MiB\"\ndisk = { path = \"cache\", size = \"20GiB\" }\nlargest = \"2GiB\"\ncollapse = false\nname = \"edge 1\"\n\
             targeted = [\"Edge-Cache-Control\", \"CDN-Cache-Control\"]\npurge = { from = [\"10.0.0.0/8\"] }",
        );
        assert_eq!(told, Vec::<String>::new());
        let disk = settings.disk.as_ref().expect("a disk");
        assert_eq!(disk.path.to_str(), Some("/etc/egret/cache"));
        assert_eq!(
            (settings.memory, disk.size),
            (ByteSize::mib(512), ByteSize::mib(20 << 10))
        );
        assert_eq!(
            (settings.collapse, settings.name.as_deref()),
            (false, Some("edge 1"))
        );
        let targeted: Vec<&str> = settings.targeted.iter().map(HeaderName::as_str).collect();
        assert_eq!(targeted, ["edge-cache-control", "cdn-cache-control"]);
        assert!(!settings.purge.is_empty());
    }

    #[test]
    fn one_object_does_not_fill_the_cache() {
        for (text, largest) in [
            ("", 32 << 20),
            ("largest = \"1MiB\"", 1 << 20),
            ("memory = \"64MiB\"\nlargest = \"1GiB\"", 8 << 20),
            ("disk = { path = \"c\", size = \"20GiB\" }", 1 << 30),
            ("disk = { path = \"c\", size = \"1GiB\" }", 512 << 20),
        ] {
            assert_eq!(read(text).0.largest_stored(), largest, "{text}");
        }
    }

    #[test]
    fn all_that_is_wrong_is_told_with_its_place_and_a_remedy() {
        for (text, problem, remedy) in [
            ("memory = \"0\"", ":1:10: 0B is too little", "at least 1MiB"),
            ("memory = \"much\"", ":1:10:", "64KiB"),
            ("memori = \"1GiB\"", "unknown key \"memori\"", "\"memory\""),
            (
                "disk = { path = \"x\" }",
                ":1:8: \"size\" is missing",
                "20GiB",
            ),
            (
                "disk = { size = \"1GiB\" }",
                "\"path\" is missing",
                "/var/cache",
            ),
            (
                "disk = { path = \"x\", size = \"1KiB\" }",
                "1KiB is too little",
                "leave disk out",
            ),
            ("largest = \"0\"", "nothing is stored", "leave [cache] out"),
            ("collapse = \"yes\"", "expected true or false", ""),
            ("name = \"\"", "can not stand in Cache-Status", "letters"),
            ("name = \"ä\"", "can not stand in Cache-Status", "letters"),
            (
                "targeted = [\"Cache-Control\"]",
                ":1:13: Cache-Control is",
                "CDN-Cache-Control",
            ),
            (
                "targeted = [\"a b\"]",
                "not a field's name",
                "CDN-Cache-Control",
            ),
            (
                "targeted = [\"A-Cache-Control\", \"a-cache-control\"]",
                "twice",
                "keep one",
            ),
            ("purge = {}", ":1:9: this names nobody", "leave it out"),
            ("purge = { from = [] }", "names nobody", "leave it out"),
            (
                "purge = { from = [\"10.0.0.0/8\"], group = [] }",
                "names nobody",
                "leave it out",
            ),
            (
                "purge = { form = [\"10.0.0.0/8\"] }",
                "unknown key \"form\"",
                "\"from\"",
            ),
            ("purge = { from = [\"ten\"] }", "\"ten\" is neither", ""),
        ] {
            let (_, told) = read(text);
            let all = told.join("\n");
            assert!(
                all.contains(problem) && all.contains(remedy),
                "{text}: {all}"
            );
        }
        let (_, told) = read("memory = \"0\"\nlargest = \"0\"\nname = \"\"\ndisc = {}");
        assert_eq!(told.len(), 4, "{told:?}");
    }

    #[test]
    fn only_who_is_named_may_purge() {
        let right = |text: &str| read(&format!("purge = {text}")).0.purge;
        let none: [&str; 0] = [];
        let inside: IpAddr = "10.1.2.3".parse().expect("an address");
        let mapped: IpAddr = "::ffff:10.1.2.3".parse().expect("an address");
        let outside: IpAddr = "192.0.2.1".parse().expect("an address");
        assert!(!PurgeRight::default().allows(inside, Some("root"), &["wheel"]));
        let net = right("{ from = [\"10.0.0.0/8\"] }");
        assert!(net.allows(inside, None, &none) && net.allows(mapped, None, &none));
        assert!(!net.allows(outside, Some("alice"), &["operators"]));
        let both = right("{ from = [\"10.0.0.0/8\"], group = [\"operators\"] }");
        assert!(both.allows(inside, Some("alice"), &["staff", "operators"]));
        for (client, groups) in [
            (inside, &["staff"][..]),
            (outside, &["operators"]),
            (inside, &[]),
        ] {
            assert!(
                !both.allows(client, Some("alice"), groups),
                "{client} {groups:?}"
            );
        }
        let known = right("{ principal = \"*\" }");
        assert!(known.allows(outside, Some("bob"), &none) && !known.allows(outside, None, &none));
        let either = right("[{ principal = [\"alice\"] }, { from = \"127.0.0.1\" }]");
        assert!(either.allows(outside, Some("alice"), &none));
        assert!(either.allows("127.0.0.1".parse().expect("an address"), None, &none));
        assert!(!either.allows(outside, Some("Alice"), &none));
        for nobody in ["{}", "{ from = [] }", "{ group = [\"a\"], principal = [] }"] {
            assert!(right(nobody).is_empty(), "{nobody}");
        }
    }
}
