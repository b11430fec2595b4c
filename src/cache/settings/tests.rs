//! `[cache]`: read, doubted, and who may purge.

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
    for (text, problem, remedy) in WRONG {
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

const WRONG: &[(&str, &str, &str)] = &[
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
];
