//! What an answer, an error and the settings look like; the cache and the network part have files of their own.

mod cache;
mod network;

use std::net::IpAddr;
use std::time::Duration;

use super::*;
use crate::fault::{Faults, Source};
use crate::settings::Table;

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    let parse = |text: &&str| text.parse().expect("a test writes addresses");
    texts.iter().map(parse).collect()
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn an_answer_is_distinct_interleaved_and_bounded() {
    for (given, ordered) in [
        (
            vec!["192.0.2.1", "2001:db8::1"],
            vec!["2001:db8::1", "192.0.2.1"],
        ),
        (
            vec!["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1"],
            vec!["2001:db8::1", "192.0.2.1", "192.0.2.2", "192.0.2.3"],
        ),
        (
            vec!["2001:db8::1", "2001:db8::2", "192.0.2.1", "2001:db8::1"],
            vec!["2001:db8::1", "192.0.2.1", "2001:db8::2"],
        ),
        (vec!["::ffff:10.0.0.1", "10.0.0.1"], vec!["10.0.0.1"]),
    ] {
        let answer = Answer::new(ips(&given), seconds(1)).expect("there are addresses");
        assert_eq!(answer.addresses.to_vec(), ips(&ordered), "{given:?}");
    }
    assert_eq!(Answer::new([], seconds(1)), None);
    let many = (0..1_000_u32).map(|n| IpAddr::from(n.to_be_bytes()));
    let answer = Answer::new(many.chain(ips(&["2001:db8::1"])), seconds(1));
    let answer = answer.expect("there are addresses").addresses;
    assert_eq!(answer.len(), Answer::LIMIT);
    assert!(answer.first().is_some_and(IpAddr::is_ipv6));
}

#[test]
fn an_error_knows_its_words_for_proxy_status() {
    let ttl = Duration::ZERO;
    let refused = ResolveError::ServerFailure {
        rcode: Some("REFUSED".into()),
        detail: "".into(),
    };
    for (error, kind, rcode) in [
        (
            ResolveError::NotFound { ttl },
            "dns_error",
            Some("NXDOMAIN"),
        ),
        (
            ResolveError::NoAddresses { ttl },
            "dns_error",
            Some("NOERROR"),
        ),
        (refused, "dns_error", Some("REFUSED")),
        (ResolveError::Timeout, "dns_timeout", None),
        (ResolveError::Busy, "dns_error", None),
    ] {
        assert_eq!(
            (error.proxy_error(), error.rcode()),
            (kind, rcode),
            "{error:?}"
        );
    }
}

fn read(text: &str) -> (Settings, Vec<String>) {
    let faults = Faults::new();
    let root = Table::parse(&Source::new("etc/egret.toml", text), &faults);
    let settings = Settings::read(root.take_value("dns"), &faults);
    let faults = faults.into_vec().iter().map(ToString::to_string).collect();
    (settings, faults)
}

#[test]
fn every_setting_is_read_and_absent_ones_have_their_defaults() {
    assert_eq!(read(""), (Settings::default(), vec![]));
    let (settings, faults) = read(
        r#"
        [dns]
        servers = ["127.0.0.1:5353", "[::1]:53", "192.0.2.1", "2001:db8::1"]
        hosts = "hosts"
        timeout = "2s"
        attempts = 3
        cache = 0
        negative-ttl = "1s"
        max-ttl = "2m"
        min-ttl = "5s"
        search = true
        families = "ipv4"
        "#,
    );
    assert_eq!(faults, Vec::<String>::new());
    let servers: Vec<String> = settings.servers.iter().map(ToString::to_string).collect();
    assert_eq!(
        servers,
        [
            "127.0.0.1:5353",
            "[::1]:53",
            "192.0.2.1:53",
            "[2001:db8::1]:53"
        ]
    );
    let HostsFile::File(path) = &settings.hosts else {
        panic!("a path was written: {:?}", settings.hosts);
    };
    assert_eq!(path.value, std::path::Path::new("etc/hosts"));
    assert_eq!(
        (settings.timeout, settings.attempts, settings.cache),
        (seconds(2), 3, 0)
    );
    assert_eq!(
        (settings.negative_ttl, settings.max_ttl, settings.min_ttl),
        (seconds(1), seconds(120), seconds(5))
    );
    assert_eq!((settings.search, settings.families), (true, Families::Ipv4));
    assert_eq!(read("[dns]\nhosts = false").0.hosts, HostsFile::None);
}

#[test]
fn every_mistake_is_told_at_once() {
    let (_, faults) = read(
        r#"
[dns]
servers = ["dns.example", "192.0.2.1:0"]
hosts = 3
timeout = "0s"
attempts = 0
cache = 100000000
max-ttl = "1s"
min-ttl = "2s"
families = "ipv5"
tiemout = "1s"
"#,
    );
    let starts = [
        "etc/egret.toml:2:1: \"min-ttl\" is longer",
        "etc/egret.toml:3:12: \"dns.example\" is not",
        "etc/egret.toml:3:27: a server's port",
        "etc/egret.toml:4:9: expected true, false or a path",
        "etc/egret.toml:5:11: no name server answers in no time",
        "etc/egret.toml:6:12: 0 is out of range",
        "etc/egret.toml:7:9: 100000000 is out of range",
        "etc/egret.toml:10:12: \"ipv5\"",
        "etc/egret.toml:11:1: unknown key \"tiemout\"",
    ];
    assert_eq!(faults.len(), starts.len(), "{faults:#?}");
    for (fault, start) in faults.iter().zip(starts) {
        assert!(
            fault.starts_with(start),
            "{fault} should start with {start}"
        );
    }
}

#[test]
fn a_named_hosts_file_that_is_not_there_is_a_fault_at_its_place() {
    let (settings, _) = read("[dns]\nservers = \"192.0.2.1\"\nhosts = \"missing/hosts\"");
    let fault = Plan::load(&settings).expect_err("there is no such file");
    assert!(
        fault
            .to_string()
            .starts_with("etc/egret.toml:3:9: cannot read"),
        "{fault}"
    );
}

#[test]
fn the_system_configuration_names_servers_and_search_domains() {
    for (text, name, servers, candidates) in [
        ("", "a", vec!["127.0.0.1:53"], vec!["a."]),
        (
            "nameserver 192.0.2.1\nnameserver 2001:db8::1\n",
            "a.example",
            vec!["192.0.2.1:53", "[2001:db8::1]:53"],
            vec!["a.example."],
        ),
        (
            "search corp.example lab.example\noptions ndots:2\n",
            "a.b",
            vec!["127.0.0.1:53"],
            vec!["a.b.corp.example.", "a.b.lab.example.", "a.b."],
        ),
        (
            "search corp.example\n",
            "a.b",
            vec!["127.0.0.1:53"],
            vec!["a.b.", "a.b.corp.example."],
        ),
    ] {
        let system = NameServers::parse(text.as_bytes()).expect(text);
        let names = system.candidates(name).expect(name);
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        assert_eq!(names, candidates, "{text:?}");
        assert_eq!(
            format!("{system:?}").matches(":53").count(),
            servers.len(),
            "{text:?}"
        );
        for server in servers {
            assert!(
                format!("{system:?}").contains(server),
                "{text:?}: {system:?}"
            );
        }
    }
}
