//! Real questions to a real server, over real sockets.

use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::rdata::{CNAME, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

use super::super::test_server::{DnsServer, Reply, addresses, record};
use super::*;

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

#[tokio::test]
async fn services_come_with_ports_priorities_and_weights_and_through_aliases() {
    let name = |text: &str| Name::from_ascii(text).expect("a test writes names");
    let srv = |owner: &str, ttl, (priority, weight, port), target: &str| {
        let data = SRV::new(priority, weight, port, name(target));
        Record::from_rdata(name(owner), ttl, RData::SRV(data))
    };
    let alias = |owner: &str, ttl, target: &str| {
        Record::from_rdata(name(owner), ttl, RData::CNAME(CNAME(name(target))))
    };
    let server = DnsServer::start();
    let (own, other) = ("_http._tcp.app.example.", "_http._tcp.other.example.");
    let real = srv(own, 60, (0, 5, 8080), "One.Example.");
    server.set(
        "_http._tcp.app.example",
        Reply::Records(vec![
            real.clone(),
            srv(own, 20, (1, 0, 80), "two.example."),
            // No host, no port, and not asked for.
            srv(own, 60, (0, 0, 80), "."),
            srv(own, 60, (0, 0, 0), "three.example."),
            srv(other, 60, (0, 0, 80), "four.example."),
        ]),
    );
    let links = vec![alias(other, 7, own), real];
    server.set("_http._tcp.other.example", Reply::Records(links));
    let closed = srv("_none._tcp.app.example.", 60, (0, 0, 0), ".");
    server.set("_none._tcp.app.example", Reply::Records(vec![closed]));
    server.set("_no._tcp.app.example", addresses(&["192.0.2.1"]));
    let resolver = build(&system(&server));
    let found = |text: &'static str| resolver.services(text);
    let both = found("_http._tcp.app.example").await.expect("two servers");
    let shown: Vec<String> = both
        .records
        .iter()
        .map(|one| {
            let Service {
                target,
                port,
                priority,
                weight,
            } = one;
            format!("{priority} {weight} {port} {target}")
        })
        .collect();
    assert_eq!(shown, ["0 5 8080 one.example", "1 0 80 two.example"]);
    assert_eq!(both.ttl, seconds(20));
    let same = found("_http._tcp.other.example").await.expect("servers");
    assert_eq!((same.records, same.ttl), (both.records, seconds(7)));
    let none = found("_none._tcp.app.example").await.expect("an answer");
    assert!(none.records.is_empty());
    let error = found("_no._tcp.app.example").await.expect_err("no records");
    assert!(matches!(error, ResolveError::NoAddresses { .. }), "{error}");
    let error = found("_http._tcp.gone.example").await.expect_err("no name");
    assert!(matches!(error, ResolveError::NotFound { .. }), "{error}");
    let asked = server.asked().len();
    for never in ["_http._tcp.hidden.onion", "_http._tcp.localhost"] {
        assert!(found(never).await.is_err(), "{never}");
    }
    assert_eq!(server.asked().len(), asked);
}
