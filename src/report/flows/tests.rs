//! Flows that live, are seen, are meant, and end.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Filter, FlowFacts, FlowGuard, FlowKind, FlowView, Flows};
use crate::addr::Authority;
use crate::report::RequestIds;

fn begin(
    flows: &Flows,
    ids: &RequestIds,
    user: &str,
    client: &str,
    authority: &str,
    kind: FlowKind,
    age: u64,
) -> FlowGuard {
    flows.begin(FlowFacts {
        id: ids.next(jiff::Timestamp::UNIX_EPOCH),
        kind,
        started: Instant::now() - Duration::from_secs(age),
        listener: "egress".into(),
        client: client.parse().expect("an address"),
        principal: Some(user.into()),
        groups: Some(Arc::from([Arc::from("ci")])),
        authority: Authority::parse(authority, None).expect("an authority"),
        rule: None,
    })
}

const MEANT: &[(&str, &str)] = &[
    ("user=alice", "ac"),
    ("user=ali", ""),
    ("group=ci", "abc"),
    ("client=10.0.0.2", "b"),
    ("client=10.0.0.0/8", "ab"),
    ("client=2001:db8::/32", "c"),
    ("host=example.com", "b"),
    ("host=*.example.com", "a"),
    ("host=192.0.2.9", "c"),
    ("host=*", "abc"),
    ("rule=\"partners, read only\"", "a"),
    ("listener=egress", "abc"),
    ("listener=other", ""),
    ("kind=tunnel", "ac"),
    ("age>10m", "a"),
    ("age<10m", "bc"),
    ("age > 1s , kind=exchange", "b"),
    ("user=alice,client=10.0.0.0/8", "a"),
    ("user=alice,kind=exchange", ""),
];

#[test]
fn a_filter_means_the_flows_for_which_all_its_conditions_hold() {
    let (flows, ids) = (Flows::new(), RequestIds::new(0));
    let a = begin(
        &flows,
        &ids,
        "alice",
        "10.0.0.1:1",
        "a.example.com:443",
        FlowKind::Tunnel,
        601,
    );
    let b = begin(
        &flows,
        &ids,
        "bob",
        "[::ffff:10.0.0.2]:1",
        "example.com:80",
        FlowKind::Exchange,
        5,
    );
    let c = begin(
        &flows,
        &ids,
        "alice",
        "[2001:db8::1]:1",
        "192.0.2.9:22",
        FlowKind::Tunnel,
        0,
    );
    a.flow().set_rule("partners, read only".into());
    let names = |views: Vec<FlowView>| -> String {
        let letter = |view: &FlowView| {
            let guards = [(&a, 'a'), (&b, 'b'), (&c, 'c')];
            guards
                .iter()
                .find(|(guard, _)| guard.flow().facts.id == view.id)
                .map(|(_, letter)| *letter)
        };
        views.iter().filter_map(letter).collect()
    };
    let id = format!("id={}", b.flow().facts.id);
    let cases = MEANT.iter().copied().chain([(id.as_str(), "b")]);
    for (filter, expected) in cases {
        let parsed = Filter::parse(filter).expect(filter);
        assert_eq!(names(flows.snapshot(Some(&parsed))), expected, "{filter}");
    }
    assert_eq!(names(flows.snapshot(None)), "abc");
}

#[test]
fn a_faulty_filter_says_what_is_meant() {
    for (filter, expected) in [
        (
            "",
            "the filter is empty; write a condition such as user=alice; host=* means every flow",
        ),
        (
            " , ",
            "the filter is empty; write a condition such as user=alice; host=* means every flow",
        ),
        (
            "usr=alice",
            "unknown key \"usr\"; Did you mean \"user\"? (known: user, group, client, host, rule, listener, id, kind, age)",
        ),
        ("user=", "\"user=\" has no value; write user= and a value"),
        (
            "user>alice",
            "\"user>alice\": user is not compared with >; write user=alice",
        ),
        (
            "age=10m",
            "\"age=10m\": age is not compared with =; write age>10m or age<5s",
        ),
        (
            "age>10",
            "age>10: \"10\" has no unit of time (ms, s, m, h, d); write a duration such as 90s, 10m or 1h30m",
        ),
        (
            "kind=tunel",
            "kind=tunel: not a kind of flow; Did you mean \"tunnel\"? (known: tunnel, exchange)",
        ),
        (
            "client=10.0.0",
            "client=10.0.0: not an address; write an address or a network such as 10.0.0.0/8",
        ),
        (
            "id=7",
            "id=7: an id has 20 letters and digits, such as 01k6x3v9q2r8t4m0c5hb; copy the id from a record, an answer, or `egret flows`",
        ),
        (
            "rule=\"a",
            "a quote is not closed in rule=\"a; close it with \"",
        ),
    ] {
        let fault = Filter::parse(filter).expect_err(filter);
        assert_eq!(format!("{fault}; {}", fault.remedy), expected, "{filter}");
    }
    assert!(
        Filter::parse("user=alice,bob").is_err(),
        "a word alone is no condition"
    );
    assert!(Filter::parse("host=0x7f.1").is_err());
}

#[tokio::test]
async fn killing_wakes_who_carries_the_flow_and_says_why() {
    let (flows, ids) = (Flows::new(), RequestIds::new(0));
    let filter = Filter::parse("user=alice").expect("a filter");
    let reason: Arc<str> = "killed by the operator".into();
    let local = tokio::task::LocalSet::new();
    let ended: Rc<std::cell::RefCell<Vec<Arc<str>>>> = Rc::default();
    let bob = begin(
        &flows,
        &ids,
        "bob",
        "10.0.0.1:1",
        "a.example:1",
        FlowKind::Tunnel,
        0,
    );
    for _ in 0..3 {
        let guard = begin(
            &flows,
            &ids,
            "alice",
            "10.0.0.1:1",
            "a.example:1",
            FlowKind::Tunnel,
            0,
        );
        let ended = ended.clone();
        local.spawn_local(async move {
            // Two wait for the same flow, one of them in vain first.
            tokio::select! { biased; _ = guard.flow().killed() => {}, () = std::future::ready(()) => {} }
            let (reason, _) = tokio::join!(guard.flow().killed(), guard.flow().killed());
            ended.borrow_mut().push(reason);
        });
    }
    local.run_until(tokio::task::yield_now()).await;
    assert_eq!(flows.len(), 4);
    assert_eq!(flows.kill_where(&filter, &reason), 3);
    assert_eq!(
        flows.kill_where(&filter, &reason),
        0,
        "none is killed twice"
    );
    local.await;
    assert_eq!(*ended.borrow(), [reason.clone(), reason.clone(), reason]);
    assert_eq!(flows.len(), 1);
    assert!(bob.flow().kill("now".into()), "it was told before");
}

#[test]
fn a_view_tells_who_where_and_how_much() {
    let (flows, ids) = (Flows::new(), RequestIds::new(0));
    let guard = begin(
        &flows,
        &ids,
        "alice",
        "10.0.0.1:1",
        "a.example:443",
        FlowKind::Tunnel,
        2,
    );
    guard.flow().traffic.from_client.set(7);
    guard.flow().traffic.from_origin.set(9);
    guard.flow().state.set("relaying");
    guard.flow().set_rule("the web".into());
    guard
        .flow()
        .origin
        .set(Some("192.0.2.1:443".parse().expect("an address")));
    let mut views = flows.snapshot(None);
    for view in &mut views {
        assert!((2000..60_000).contains(&view.age_ms), "{view:?}");
        view.age_ms = 2000;
    }
    let text = serde_json::to_string(&views).expect("JSON");
    let id = guard.flow().facts.id;
    assert_eq!(
        text,
        format!(
            r#"[{{"id":"{id}","kind":"tunnel","state":"relaying","listener":"egress","client":"10.0.0.1:1","principal":"alice","groups":["ci"],"authority":"a.example:443","rule":"the web","origin":"192.0.2.1:443","bytes_in":7,"bytes_out":9,"age_ms":2000}}]"#
        )
    );
}

#[test]
fn a_place_is_used_again_once_its_flow_is_gone() {
    let (flows, ids) = (Flows::new(), RequestIds::new(0));
    for _ in 0..3 {
        let guards: Vec<_> = (0..5)
            .map(|_| {
                begin(
                    &flows,
                    &ids,
                    "u",
                    "10.0.0.1:1",
                    "a.example:1",
                    FlowKind::Exchange,
                    0,
                )
            })
            .collect();
        assert_eq!(flows.len(), 5);
        drop(guards);
        assert!(flows.is_empty());
    }
    assert_eq!(flows.0.borrow().places.len(), 5);
}
