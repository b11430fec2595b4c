use std::pin::pin;

use futures_util::poll;

use super::*;
use crate::addr::{Authority, Host};

fn named(name: &str) -> EndpointSource {
    EndpointSource::Name(Authority::parse(name, None).expect("a name and a port"))
}

fn resolved(numbers: impl IntoIterator<Item = usize>) -> Vec<Resolved> {
    numbers
        .into_iter()
        .map(|n| Resolved::of(address(n)))
        .collect()
}

fn of_host(number: usize, host: &str) -> EndpointKey {
    EndpointKey {
        host: Some(Host::parse(host).expect("a name")),
        ..key(number)
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_looked_up_yet_is_a_reason_that_names_it() {
    let text = "endpoints = [\"app.internal:80\", { srv = \"_http._tcp.app.internal\" }]";
    let upstream = Upstream::new("app", settings(text));
    let worker = Worker::new();
    let told = |worker: &Worker| worker.pick(&upstream).err().map(|why| why.to_string());
    assert_eq!(
        told(&worker).as_deref(),
        Some(
            "no endpoint is known: app.internal:80: it is not looked up yet; SRV _http._tcp.app.internal: it is not looked up yet"
        )
    );
    let sources = upstream.sources();
    assert_eq!(sources.len(), 2);
    upstream.source_failed(&sources[0], "the name does not exist");
    upstream.replace_endpoints(&sources[1], Vec::new());
    assert_eq!(
        told(&worker).as_deref(),
        Some(
            "no endpoint is known: app.internal:80: the name does not exist; SRV _http._tcp.app.internal: it has none"
        )
    );
    assert_eq!(
        upstream.status().problems,
        ["app.internal:80: the name does not exist"]
    );
    upstream.replace_endpoints(&sources[0], resolved([1, 2]));
    assert_eq!(worker.takers(&upstream), addresses([1, 2]));
    let picked = worker.pick(&upstream).expect("somebody takes it");
    assert_eq!(
        picked.endpoint().host().map(ToString::to_string).as_deref(),
        Some("app.internal")
    );
}

#[tokio::test(start_paused = true)]
async fn endpoints_that_stay_keep_their_state_and_those_that_come_back_find_it() {
    let text = "endpoints = [\"app.internal:80\"]\nhealth = \"tcp\"";
    let upstream = Upstream::new("app", settings(text));
    let worker = Worker::new();
    let source = named("app.internal:80");
    upstream.replace_endpoints(&source, resolved(0..4));
    upstream.probed(&of_host(2, "app.internal"), false);
    upstream.set_admin("10.0.0.3:80", Admin::Drained);
    for (now, takers) in [
        (vec![1, 2, 3], addresses([1])),
        (vec![0, 1], addresses([0, 1])),
        (vec![3, 2, 1], addresses([1])),
    ] {
        upstream.replace_endpoints(&source, resolved(now.clone()));
        assert_eq!(worker.takers(&upstream), takers, "{now:?}");
    }
    upstream.source_failed(&source, "no name server answered in time");
    assert_eq!(
        worker.takers(&upstream),
        addresses([1]),
        "what it had stays"
    );
}

#[tokio::test(start_paused = true)]
async fn a_reload_keeps_the_state_of_endpoints_and_what_was_looked_up() {
    let registry = Registry::new();
    let with = |more: &str| {
        settings(&format!(
            "endpoints = [\"10.0.0.0:80\", \"app.internal:80\"{more}]\nhealth = \"tcp\"\nbalance = \"random\""
        ))
    };
    let upstream = registry.adopt("app", with(""));
    let source = named("app.internal:80");
    upstream.replace_endpoints(&source, resolved([1, 2]));
    upstream.probed(&of_host(1, "app.internal"), false);
    let worker = Worker::new();
    let picked = worker.pick(&upstream).expect("somebody takes it");
    let again = registry.adopt("app", with(", \"10.0.0.7:80\""));
    assert!(Arc::ptr_eq(&upstream, &again));
    assert_eq!(worker.takers(&upstream), addresses([0, 2, 7]));
    let active: u32 = upstream.endpoints().iter().map(|e| e.active()).sum();
    assert_eq!(active, 1, "the request is still under way");
    drop(picked);
    // The source is not named any more, and is not brought in from behind.
    registry.adopt("app", settings("endpoints = [\"10.0.0.0:80\"]"));
    upstream.replace_endpoints(&source, resolved([1]));
    assert_eq!(worker.takers(&upstream), addresses([0]));
    registry.retain(|name| name != "app");
    assert!(registry.get("app").is_none());
    assert!(worker.pick(&upstream).is_ok(), "who has it can use it");
}

#[tokio::test(start_paused = true)]
async fn without_probes_nobody_stays_down() {
    let registry = Registry::new();
    let with = |more: &str| settings(&format!("{}\n{more}", endpoints(0..2)));
    let upstream = registry.adopt("app", with("health = \"tcp\""));
    upstream.probed(&key(0), false);
    let worker = Worker::new();
    assert_eq!(worker.takers(&upstream), addresses([1]));
    registry.adopt("app", with(""));
    assert_eq!(worker.takers(&upstream), addresses([0, 1]));
}

#[tokio::test(start_paused = true)]
async fn services_bring_weights_priorities_and_names() {
    let text = "endpoints = [{ srv = \"_http._tcp.app.internal\" }]\nhealth = \"tcp\"";
    let upstream = Upstream::new("app", settings(text));
    let record = |n, priority, weight| Resolved {
        host: Host::parse("a.example").ok(),
        weight: Some(weight),
        priority,
        ..Resolved::of(address(n))
    };
    let records = vec![
        record(0, 10, 60_000),
        record(1, 10, 20_000),
        record(2, 10, 0),
        record(3, 20, 1),
    ];
    upstream.replace_endpoints(&upstream.sources()[0], records);
    let hits = Worker::new().spread(&upstream, 100_000);
    let share = |n| hits.get(&address(n)).copied().unwrap_or(0) as f64 / 100_000.0;
    assert!((share(0) - 0.75).abs() < 0.01, "{hits:?}");
    assert!((share(1) - 0.25).abs() < 0.01, "{hits:?}");
    assert!(share(2) > 0.0, "{hits:?}");
    assert_eq!(share(3), 0.0, "{hits:?}");
    assert_eq!(upstream.endpoints()[0].to_string(), "a.example/10.0.0.0:80");
}

#[tokio::test(start_paused = true)]
async fn an_address_under_two_names_is_two_endpoints_and_twice_under_one_is_one() {
    let text =
        "endpoints = [\"a.example:80\", \"b.example:80\", \"10.0.0.1:80\", { file = \"x\" }]";
    let upstream = Upstream::new("app", settings(text));
    for source in upstream.sources() {
        upstream.replace_endpoints(&source, resolved([1]));
    }
    let all: Vec<String> = upstream
        .endpoints()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        all,
        [
            "a.example/10.0.0.1:80",
            "b.example/10.0.0.1:80",
            "10.0.0.1:80"
        ]
    );
}

#[test]
fn a_file_has_an_endpoint_a_line() {
    let text = "# ours\n10.0.0.1:80\n\n  [2001:db8::1]:80 weight=0 zone=a # far\n10.0.0.2:80 backup priority=3\n";
    let faults = Faults::new();
    let read = read_file(&Source::new("app.endpoints", text), &faults);
    assert!(faults.is_empty(), "{:?}", faults.into_vec());
    let expected = [
        Resolved::of(address(1)),
        Resolved {
            weight: Some(0),
            zone: Some("a".into()),
            ..Resolved::of("[2001:db8::1]:80".parse().expect("an address"))
        },
        Resolved {
            backup: true,
            priority: 3,
            ..Resolved::of(address(2))
        },
    ];
    assert_eq!(read, expected);
    for (text, told) in [
        (
            "app.internal:80",
            "x:1:1: \"app.internal:80\" is not an address and port",
        ),
        (
            "\n10.0.0.1:0",
            "x:2:1: \"10.0.0.1:0\" is not an address and port",
        ),
        (
            "10.0.0.1:80 wieght=1",
            "x:1:13: \"wieght=1\" says nothing about an endpoint",
        ),
        (
            "10.0.0.1:80 weight=1001",
            "x:1:13: \"weight=1001\" says nothing",
        ),
        (
            "10.0.0.1:80\n10.0.0.1:80",
            "x:2:1: 10.0.0.1:80 is there twice",
        ),
    ] {
        let faults = Faults::new();
        read_file(&Source::new("x", text), &faults);
        let shown: Vec<String> = faults.into_vec().iter().map(ToString::to_string).collect();
        assert!(
            shown.len() == 1 && shown[0].starts_with(told),
            "{text:?}: {shown:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_until_an_endpoint_is_known_or_all_sources_were_asked() {
    let text = "endpoints = [\"app.internal:80\", { srv = \"_http._tcp.app.internal\" }]";
    let begun = Instant::now();
    // Which have some, in this order; and whether that is enough.
    for asked in [
        &[(0, true, true)][..],
        &[(1, true, true)],
        &[(0, false, false), (1, true, true)],
        &[(1, false, false), (0, false, true)],
    ] {
        let upstream = Upstream::new("app", settings(text));
        let sources = upstream.sources();
        let mut entering = pin!(upstream.enter(0));
        assert!(poll!(&mut entering).is_pending());
        for (source, has_some, is_enough) in asked {
            let source = &sources[*source];
            if *has_some {
                upstream.replace_endpoints(source, resolved([1]));
            } else {
                upstream.source_failed(source, "the name does not exist");
            }
            assert_eq!(poll!(&mut entering).is_ready(), *is_enough, "{asked:?}");
        }
        assert!(upstream.enter(0).await.is_ok(), "nobody waits again");
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
    // Nobody answers.
    let upstream = Upstream::new("app", settings(text));
    assert!(upstream.enter(0).await.is_ok());
    assert_eq!(begun.elapsed().as_secs(), 2);
}
