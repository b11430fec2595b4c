use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::RecordType;
use tokio::sync::Notify;
use tokio::time::advance;

use super::test_server::{DnsServer, Reply, addresses, record};
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

// ---- The form of an answer ----

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

// ---- Settings ----

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

// ---- The cache, before a table that counts ----

/// Answers from a table; names without an entry wait for [`Notify`].
#[derive(Default)]
struct Counting {
    table: RefCell<HashMap<String, Result<Answer, ResolveError>>>,
    calls: Cell<usize>,
    gate: Notify,
}

impl Counting {
    fn set(&self, name: &str, outcome: Result<Answer, ResolveError>) {
        self.table.borrow_mut().insert(name.to_owned(), outcome);
    }
}

impl Resolver for Counting {
    fn resolve<'a>(
        &'a self,
        name: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Answer, ResolveError>> + 'a>> {
        self.calls.set(self.calls.get() + 1);
        Box::pin(async move {
            loop {
                let found = self.table.borrow().get(name).cloned();
                match found {
                    Some(outcome) => return outcome,
                    None => self.gate.notified().await,
                }
            }
        })
    }
}

fn answer(text: &str, ttl: u64) -> Result<Answer, ResolveError> {
    Ok(Answer::new(ips(&[text]), seconds(ttl)).expect("there is an address"))
}

fn cached(settings: &Settings, hosts: &str) -> (Rc<Counting>, CachedResolver) {
    let source = Rc::new(Counting::default());
    let hosts = Arc::new(Hosts::parse(hosts));
    (source.clone(), CachedResolver::new(settings, hosts, source))
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_kept_as_long_as_its_ttl_and_not_longer() {
    let (source, cache) = cached(&Settings::default(), "");
    source.set("a.example", answer("192.0.2.1", 60));
    assert_eq!(cache.cached("a.example"), None);
    let first = cache
        .resolve("a.example")
        .await
        .expect("it is in the table");
    let hit = cache.cached("a.example").expect("it was just looked up");
    assert!(Rc::ptr_eq(&first.addresses, &hit.addresses));

    source.set("a.example", answer("192.0.2.2", 60));
    advance(Duration::from_millis(59_999)).await;
    assert_eq!(cache.resolve("a.example").await, answer("192.0.2.1", 60));
    assert_eq!(source.calls.get(), 1);
    advance(Duration::from_millis(1)).await;
    assert_eq!(cache.cached("a.example"), None);
    assert_eq!(cache.resolve("a.example").await, answer("192.0.2.2", 60));
    assert_eq!(source.calls.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn each_kind_of_outcome_is_kept_within_its_limits() {
    let settings = Settings {
        min_ttl: seconds(5),
        max_ttl: seconds(100),
        ..Settings::default()
    };
    let not_found = |ttl| Err(ResolveError::NotFound { ttl: seconds(ttl) });
    let failure = Err(ResolveError::ServerFailure {
        rcode: None,
        detail: "".into(),
    });
    for (outcome, kept) in [
        (answer("192.0.2.1", 0), 5),
        (answer("192.0.2.1", 50), 50),
        (answer("192.0.2.1", 5_000), 100),
        (not_found(0), 0),
        (not_found(7), 7),
        (not_found(900), 30),
        (Err(ResolveError::NoAddresses { ttl: seconds(8) }), 8),
        (Err(ResolveError::Timeout), 1),
        (failure, 1),
        (Err(ResolveError::InvalidName), 0),
    ] {
        let (source, cache) = cached(&settings, "");
        source.set("a.example", outcome.clone());
        assert_eq!(cache.resolve("a.example").await, outcome);
        if kept > 0 {
            advance(seconds(kept) - Duration::from_millis(1)).await;
            assert_eq!(cache.resolve("a.example").await, outcome);
            assert_eq!(source.calls.get(), 1, "{outcome:?}");
            advance(Duration::from_millis(1)).await;
        }
        assert_eq!(cache.resolve("a.example").await, outcome);
        assert_eq!(source.calls.get(), 2, "{outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_least_recently_used_name_makes_room() {
    let settings = Settings {
        cache: 2,
        ..Settings::default()
    };
    let (source, cache) = cached(&settings, "");
    for name in ["a.example", "b.example", "c.example"] {
        source.set(name, answer("192.0.2.1", 60));
    }
    for name in ["a.example", "b.example", "a.example", "c.example"] {
        cache.resolve(name).await.expect("it is in the table");
    }
    let kept = ["a.example", "b.example", "c.example"].map(|name| cache.cached(name).is_some());
    assert_eq!(kept, [true, false, true]);
}

#[tokio::test]
async fn a_hundred_waiters_share_one_look_up() {
    let (source, cache) = cached(&Settings::default(), "");
    let waiters: Vec<_> = (0..100).map(|_| cache.resolve("a.example")).collect();
    let release = async {
        tokio::task::yield_now().await;
        source.set("a.example", answer("192.0.2.1", 60));
        source.gate.notify_waiters();
    };
    let (outcomes, ()) = tokio::join!(join_all(waiters), release);
    assert!(
        outcomes
            .iter()
            .all(|outcome| *outcome == answer("192.0.2.1", 60))
    );
    assert_eq!(source.calls.get(), 1);
}

#[tokio::test]
async fn a_waiter_who_leaves_disturbs_nobody_and_the_last_one_ends_the_look_up() {
    let (source, cache) = cached(&Settings::default(), "");
    let mut first = cache.resolve("a.example");
    let mut second = cache.resolve("a.example");
    assert!(futures_util::poll!(&mut first).is_pending());
    assert!(futures_util::poll!(&mut second).is_pending());
    drop(first);
    source.set("a.example", answer("192.0.2.1", 60));
    source.gate.notify_waiters();
    assert_eq!(second.await, answer("192.0.2.1", 60));
    assert_eq!(source.calls.get(), 1);

    let mut only = cache.resolve("b.example");
    assert!(futures_util::poll!(&mut only).is_pending());
    drop(only);
    source.set("b.example", answer("192.0.2.2", 60));
    assert_eq!(cache.resolve("b.example").await, answer("192.0.2.2", 60));
    assert_eq!(
        source.calls.get(),
        3,
        "the abandoned look-up is not taken up again"
    );
}

#[tokio::test]
async fn a_thousand_look_ups_under_way_are_enough() {
    let (source, cache) = cached(&Settings::default(), "");
    let names: Vec<String> = (0..1_000).map(|n| format!("n{n}.example")).collect();
    let mut waiting: Vec<_> = names.iter().map(|name| cache.resolve(name)).collect();
    for wait in &mut waiting {
        assert!(futures_util::poll!(wait).is_pending());
    }
    assert_eq!(cache.resolve("more.example").await, Err(ResolveError::Busy));
    let mut joined = cache.resolve("n0.example");
    assert!(
        futures_util::poll!(&mut joined).is_pending(),
        "a known name may be joined"
    );
    waiting.pop();
    source.set("more.example", answer("192.0.2.1", 60));
    assert_eq!(cache.resolve("more.example").await, answer("192.0.2.1", 60));
}

#[tokio::test]
async fn some_names_never_reach_a_name_server() {
    let hosts = "# static names\n\
                 192.0.2.7 Static.Example alias.example # both\n\
                 2001:db8::7 static.example\n\
                 192.0.2.8 localhost\n\
                 fe80::1%eth0 zone.example\nnonsense\n";
    let (source, cache) = cached(&Settings::default(), hosts);
    let not_found = "the name does not exist";
    for (name, expected) in [
        ("static.example", Ok(vec!["2001:db8::7", "192.0.2.7"])),
        ("STATIC.example.", Ok(vec!["2001:db8::7", "192.0.2.7"])),
        ("alias.example", Ok(vec!["192.0.2.7"])),
        ("localhost", Ok(vec!["::1", "127.0.0.1"])),
        ("LOCALHOST.", Ok(vec!["::1", "127.0.0.1"])),
        ("a.localhost", Ok(vec!["::1", "127.0.0.1"])),
        ("invalid", Err(not_found)),
        ("a.invalid", Err(not_found)),
        ("abc.onion", Err(not_found)),
    ] {
        let outcome = cache.resolve(name).await;
        let outcome = outcome.map(|answer| answer.addresses.to_vec());
        let outcome = outcome.map_err(|error| error.to_string());
        let expected = expected.map(|texts| ips(&texts)).map_err(str::to_owned);
        assert_eq!(outcome, expected, "{name}");
    }
    assert_eq!(source.calls.get(), 0);
    for name in ["notlocalhost", "zone.example", "invalid.example"] {
        source.set(name, answer("192.0.2.9", 60));
        assert_eq!(cache.resolve(name).await, answer("192.0.2.9", 60), "{name}");
    }
}

// ---- Real questions to a real server ----

fn system(server: &DnsServer) -> Settings {
    Settings {
        servers: vec![server.addr()],
        hosts: HostsFile::None,
        ..Settings::default()
    }
}

fn build(settings: &Settings) -> CachedResolver {
    Plan::load(settings).expect("nothing is read").build()
}

async fn look_up(settings: &Settings, name: &str) -> Result<Vec<String>, ResolveError> {
    let answer = build(settings).resolve(name).await?;
    Ok(answer.addresses.iter().map(ToString::to_string).collect())
}

#[tokio::test]
async fn addresses_come_from_both_families_through_aliases_and_over_tcp() {
    let server = DnsServer::start();
    let both = addresses(&["192.0.2.1", "2001:db8::1", "192.0.2.2"]);
    server.set("both.example", both.clone());
    server.set("v4.example", addresses(&["192.0.2.4"]));
    server.set("v6.example", addresses(&["2001:db8::6"]));
    server.set("_under_score.example", addresses(&["192.0.2.5"]));
    server.set("mapped.example", addresses(&["::ffff:10.0.0.1"]));
    server.set("alias.example", Reply::Alias(60, "alias2.example"));
    server.set("alias2.example", Reply::Alias(60, "both.example"));
    server.set("far.example", Reply::BareAlias(60, "alias.example"));
    server.set("big.example", Reply::OverTcp(Box::new(both)));
    let all = vec!["2001:db8::1", "192.0.2.1", "192.0.2.2"];
    for (name, expected) in [
        ("both.example", all.clone()),
        ("v4.example", vec!["192.0.2.4"]),
        ("v6.example", vec!["2001:db8::6"]),
        ("_under_score.example", vec!["192.0.2.5"]),
        ("mapped.example", vec!["10.0.0.1"]),
        ("alias.example", all.clone()),
        ("far.example", all.clone()),
        ("big.example", all),
    ] {
        let found = look_up(&system(&server), name).await.expect(name);
        assert_eq!(found, expected, "{name}");
    }
    assert!(
        server
            .asked()
            .iter()
            .any(|asked| asked.tcp && asked.name == "big.example")
    );
}

#[tokio::test]
async fn the_ttl_is_the_shortest_of_the_chain() {
    let server = DnsServer::start();
    server.set(
        "end.example",
        Reply::Addresses(300, ips(&["192.0.2.1", "2001:db8::1"])),
    );
    server.set("short.example", Reply::Alias(7, "end.example"));
    server.set("far.example", Reply::BareAlias(5, "end.example"));
    for (name, ttl) in [
        ("end.example", 300),
        ("short.example", 7),
        ("far.example", 5),
    ] {
        let answer = build(&system(&server)).resolve(name).await.expect(name);
        assert_eq!(answer.ttl, seconds(ttl), "{name}");
    }
}

#[tokio::test]
async fn only_the_families_that_are_wanted_are_asked_for() {
    let server = DnsServer::start();
    server.set("both.example", addresses(&["192.0.2.1", "2001:db8::1"]));
    for (families, kind, expected) in [
        (Families::Ipv4, RecordType::A, "192.0.2.1"),
        (Families::Ipv6, RecordType::AAAA, "2001:db8::1"),
    ] {
        let before = server.asked().len();
        let settings = Settings {
            families,
            ..system(&server)
        };
        assert_eq!(
            look_up(&settings, "both.example").await,
            Ok(vec![expected.to_owned()])
        );
        let asked = server.asked();
        assert!(
            asked.iter().skip(before).all(|asked| asked.kind == kind),
            "{asked:?}"
        );
    }
}

#[tokio::test]
async fn each_failure_is_told_as_what_it_is() {
    let server = DnsServer::start();
    let by_family = |a, aaaa| Reply::ByFamily {
        a: Box::new(a),
        aaaa: Box::new(aaaa),
    };
    let nothing = Reply::Addresses(9, vec![]);
    server.set("gone.example", Reply::NoSuchName(20));
    server.set("bare.example", Reply::BareNoSuchName);
    server.set("empty.example", nothing.clone());
    server.set("dangling.example", Reply::Alias(60, "gone.example"));
    server.set("servfail.example", Reply::Fail(ResponseCode::ServFail));
    server.set("refused.example", Reply::Fail(ResponseCode::Refused));
    // "None" for one family and a failure of the other must not read as "there are none".
    server.set(
        "half.example",
        by_family(Reply::Fail(ResponseCode::ServFail), nothing),
    );
    for (name, rcode, negative) in [
        ("gone.example", "NXDOMAIN", true),
        ("bare.example", "NXDOMAIN", true),
        ("empty.example", "NOERROR", true),
        ("dangling.example", "NXDOMAIN", true),
        ("servfail.example", "SERVFAIL", false),
        ("refused.example", "REFUSED", false),
        ("half.example", "SERVFAIL", false),
    ] {
        let error = look_up(&system(&server), name).await.expect_err(name);
        assert_eq!(error.rcode(), Some(rcode), "{name}: {error:?}");
        assert_eq!(error.is_negative(), negative, "{name}: {error:?}");
    }
    let gone = look_up(&system(&server), "gone.example").await;
    assert_eq!(gone, Err(ResolveError::NotFound { ttl: seconds(20) }));
    let long = format!("{}.example", "a".repeat(64));
    for name in ["", "a..example", &long] {
        assert_eq!(
            look_up(&system(&server), name).await,
            Err(ResolveError::InvalidName)
        );
    }
}

#[tokio::test]
async fn a_silent_server_is_given_up_at_the_limit() {
    let server = DnsServer::start();
    server.set("silent.example", Reply::Silence);
    let settings = Settings {
        timeout: Duration::from_millis(200),
        ..system(&server)
    };
    assert_eq!(
        look_up(&settings, "silent.example").await,
        Err(ResolveError::Timeout)
    );
}

#[tokio::test]
async fn a_family_that_stays_silent_does_not_hold_up_the_other() {
    let server = DnsServer::start();
    let a = Box::new(Reply::Addresses(600, ips(&["192.0.2.1"])));
    server.set(
        "half.example",
        Reply::ByFamily {
            a,
            aaaa: Box::new(Reply::Silence),
        },
    );
    let answer = build(&system(&server)).resolve("half.example").await;
    let answer = answer.expect("one family answers");
    assert_eq!(answer.addresses.to_vec(), ips(&["192.0.2.1"]));
    assert_eq!(answer.ttl, seconds(10), "it is asked for again soon");
}

#[tokio::test]
async fn a_server_that_fails_yields_to_the_next_and_is_remembered() {
    let (bad, good) = (DnsServer::start(), DnsServer::start());
    for reply in [Reply::Fail(ResponseCode::Refused), Reply::Silence] {
        bad.set("a.example", reply.clone());
        good.set("a.example", addresses(&["192.0.2.1"]));
        good.set("b.example", addresses(&["192.0.2.2"]));
        let settings = Settings {
            servers: vec![bad.addr(), good.addr()],
            timeout: seconds(2),
            ..system(&bad)
        };
        let resolver = build(&settings);
        let found = resolver.resolve("a.example").await;
        assert!(found.is_ok(), "{reply:?}: {found:?}");
        let found = resolver.resolve("b.example").await;
        assert!(found.is_ok(), "{reply:?}: {found:?}");
        assert_eq!(bad.count("b.example"), 0, "{reply:?}");
    }
}

#[tokio::test]
async fn a_name_that_rebinds_keeps_its_first_answer_until_it_expires() {
    let server = DnsServer::start();
    let first = Reply::Addresses(60, ips(&["192.0.2.1"]));
    let later = Reply::Addresses(60, ips(&["127.0.0.1"]));
    server.set("rebind.example", Reply::InTurn(vec![first, later]));
    let settings = Settings {
        families: Families::Ipv4,
        ..system(&server)
    };
    let resolver = build(&settings);
    for _ in 0..3 {
        let answer = resolver
            .resolve("rebind.example")
            .await
            .expect("it has an address");
        assert_eq!(answer.addresses.to_vec(), ips(&["192.0.2.1"]));
    }
    assert_eq!(server.count("rebind.example"), 1);
    assert_eq!(
        look_up(&settings, "rebind.example").await,
        Ok(vec!["127.0.0.1".to_owned()])
    );
}

#[tokio::test]
async fn records_of_another_name_are_not_taken() {
    let server = DnsServer::start();
    let strange = record("other.example", 60, "10.0.0.1");
    let own = record("a.example", 60, "192.0.2.1");
    server.set("a.example", Reply::Records(vec![strange.clone(), own]));
    server.set("b.example", Reply::Records(vec![strange]));
    let settings = Settings {
        families: Families::Ipv4,
        ..system(&server)
    };
    assert_eq!(
        look_up(&settings, "a.example").await,
        Ok(vec!["192.0.2.1".to_owned()])
    );
    assert!(look_up(&settings, "b.example").await.is_err());
}

#[tokio::test]
async fn a_failure_is_asked_for_again_and_counts_its_attempts() {
    let server = DnsServer::start();
    let failing = Reply::Fail(ResponseCode::ServFail);
    server.set(
        "flaky.example",
        Reply::InTurn(vec![failing, addresses(&["192.0.2.1"])]),
    );
    let settings = Settings {
        families: Families::Ipv4,
        ..system(&server)
    };
    assert!(look_up(&settings, "flaky.example").await.is_ok());
    assert_eq!(server.count("flaky.example"), 2);
}
