//! The cache, before a table that counts its calls and under a clock that stands still.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use futures_util::future::join_all;
use tokio::sync::Notify;
use tokio::time::advance;

use super::*;

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
    let names: Vec<String> = (0..256).map(|n| format!("n{n}.example")).collect();
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
async fn half_of_the_look_ups_under_way_are_enough_for_one_client() {
    let (source, cache) = cached(&Settings::default(), "");
    let client = |text: &str| text.parse::<IpAddr>().expect("an address");
    let (one, other) = (client("2001:db8::1"), client("2001:db8:0:1::1"));
    let names: Vec<String> = (0..128).map(|n| format!("n{n}.example")).collect();
    let begin = |name| Box::pin(cache.resolve_for(name, one));
    let mut waiting: Vec<_> = names.iter().map(|name| begin(name)).collect();
    for wait in &mut waiting {
        assert!(futures_util::poll!(wait).is_pending());
    }
    for same in ["2001:db8::1", "2001:db8::2"] {
        let more = cache.resolve_for("more.example", client(same)).await;
        assert_eq!(more, Err(ResolveError::Busy), "{same}");
    }
    let mut joined = begin("n0.example");
    assert!(futures_util::poll!(&mut joined).is_pending());
    source.set("more.example", answer("192.0.2.1", 60));
    let found = cache.resolve_for("more.example", other).await;
    assert_eq!(found, answer("192.0.2.1", 60));
    waiting.pop();
    source.set("last.example", answer("192.0.2.1", 60));
    let found = cache.resolve_for("last.example", one).await;
    assert_eq!(found, answer("192.0.2.1", 60), "a place is free again");
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
