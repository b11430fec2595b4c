use std::collections::HashSet;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{ACCEPT, CONTENT_TYPE, ETAG, VARY};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use jiff::Timestamp;

use super::super::contents::Limits;
use super::super::{Contents, Freshness, Key, Vary};
use super::*;

#[test]
fn variants_of_a_uri_stand_together_newest_first() {
    let memory = Memory::new(1 << 20);
    let variants = [("", 1), ("", 2), ("a", 1)].map(|(extras, vary)| stored("/", extras, vary, 0));
    for variant in &variants {
        assert!(memory.insert(variant.clone()));
    }
    let [first, second, third] = &variants;
    assert!(same(&memory.all("/"), &[third, second, first]));
    for (extras, vary, all, selected) in [
        ("", 1, &[second, first][..], Some(first)),
        ("", 2, &[second, first], Some(second)),
        ("", 3, &[second, first], None),
        ("a", 1, &[third], Some(third)),
        ("b", 1, &[], None),
    ] {
        let found = memory.candidates(&Key::new("/", extras), &request(vary));
        assert!(same(found.all(), all), "{extras:?} {vary}");
        let pair = (found.selected(), selected);
        assert!(matches!(pair, (None, None)) || Arc::ptr_eq(pair.0.unwrap(), pair.1.unwrap()));
    }
    assert!(
        memory
            .candidates(&Key::new("/b", ""), &request(1))
            .all()
            .is_empty()
    );
    assert_eq!(memory.remove_uri("/"), 3);
    assert!(memory.all("/").is_empty());
    check(&memory);
}

#[test]
fn a_response_takes_the_place_of_one_with_the_same_key_and_vary() {
    let memory = Memory::new(1 << 20);
    let (old, new, other) = (
        stored("/", "", 1, 100),
        stored("/", "", 1, 40),
        stored("/", "", 2, 0),
    );
    assert!(memory.insert(old.clone()) && memory.insert(other.clone()));
    let before = memory.stats().bytes;
    assert!(!memory.insert_if_absent(new.clone()));
    assert!(memory.holds(&old) && !memory.holds(&new));
    assert!(memory.insert(new.clone()));
    assert_eq!(memory.stats().bytes, before - 60);
    assert!(same(&memory.all("/"), &[&new, &other]));
    assert!(!memory.grow(&old), "it has gone");
    assert!(memory.grow(&new));
    assert!(!memory.remove(&old) && memory.remove(&new) && !memory.remove(&new));
    assert!(memory.insert_if_absent(new.clone()));
    assert!(same(&memory.all("/"), &[&new, &other]));
    check(&memory);
}

#[test]
fn a_uri_has_at_most_64_variants() {
    let memory = Memory::new(1 << 20);
    let all: Vec<_> = (0..70).map(|n| stored("/", "", n, 0)).collect();
    for variant in &all {
        assert!(memory.insert(variant.clone()));
    }
    let newest: Vec<_> = all.iter().skip(6).rev().collect();
    assert!(same(&memory.all("/"), &newest));
    assert_eq!(memory.stats().entries, 64);
    check(&memory);
}

#[test]
fn a_variant_in_use_is_not_driven_out_by_others_that_are_not() {
    let memory = Memory::new(1 << 20);
    let variant = |n: usize| stored("/", &n.to_string(), 0, 0);
    let used = variant(0);
    assert!(memory.insert(used.clone()));
    let is_there = || {
        let found = memory.candidates(&used.key, &request(0));
        let selected = found.selected();
        selected.is_some_and(|selected| Arc::ptr_eq(selected, &used))
    };
    for n in 1..1000 {
        // Nobody asks for these again.
        assert!(memory.insert(variant(n)));
        assert!(n % 50 != 0 || is_there(), "after {n}");
    }
    // It is not in use any more.
    for n in 1000..2000 {
        assert!(memory.insert(variant(n)));
    }
    assert!(!memory.holds(&used));
    assert_eq!(memory.stats().entries, 64);
    check(&memory);
}

#[test]
fn a_response_is_updated_only_while_it_is_there() {
    let memory = Memory::new(1 << 20);
    let (old, new, other) = (
        stored("/", "", 1, 100),
        stored("/", "", 1, 80),
        stored("/", "", 2, 0),
    );
    assert!(memory.insert(old.clone()) && memory.insert(other.clone()));
    let before = memory.stats().bytes;
    assert!(memory.replace(&old, new.clone()));
    assert!(!memory.replace(&old, stored("/", "", 1, 0)));
    assert!(!memory.replace(&new, stored("/elsewhere", "", 1, 0)));
    assert_eq!(memory.stats().bytes, before - 20);
    assert!(same(&memory.all("/"), &[&new, &other]));
    // It says now that it varies as the other one does.
    assert!(memory.replace(&new, stored("/", "", 2, 0)));
    assert_eq!(memory.all("/").len(), 1);
    check(&memory);
}

#[test]
fn a_content_is_weighed_as_it_arrives_until_it_is_too_large() {
    let memory = Memory::new(1 << 20);
    let limits = Limits {
        in_memory: u64::MAX,
        largest: u64::MAX,
    };
    let (contents, mut filler) = Contents::filling(None, limits);
    let mut arriving = (*stored("/", "", 1, 0)).clone();
    arriving.contents = contents;
    let arriving = Arc::new(arriving);
    assert!(memory.insert(arriving.clone()));
    let mut before = memory.stats().bytes;
    for (size, stays) in [
        (0, true),
        (100_000, true),
        (100_000, true),
        (100_000, false),
    ] {
        if size > 0 {
            let pushed = filler.push(Bytes::from(vec![b'c'; size])).now_or_never();
            pushed.expect("memory is at hand").expect("it is stored");
        }
        assert_eq!(memory.grow(&arriving), stays);
        let after = memory.stats().bytes;
        assert!(
            !stays || (after - before).abs_diff(size as u64) < 5000,
            "{before} {after}"
        );
        before = after;
    }
    assert!(!memory.holds(&arriving));
    assert_eq!((memory.stats().rejected, memory.stats().entries), (1, 0));
    check(&memory);
}

#[test]
fn what_is_too_large_is_not_taken_and_does_not_leave_what_is_out_of_date() {
    let memory = Memory::new(1 << 20);
    let old = stored("/", "", 1, 0);
    assert!(memory.insert(old.clone()));
    assert!(!memory.insert_if_absent(stored("/", "", 1, 1 << 18)));
    assert!(memory.holds(&old));
    assert!(!memory.insert(stored("/", "", 1, 1 << 18)));
    assert!(memory.all("/").is_empty());
    assert_eq!((memory.stats().rejected, memory.stats().entries), (2, 0));
    assert!(memory.insert(stored("/", "", 1, memory.largest() as usize)));
    assert!(!Memory::new(0).insert(old));
    check(&memory);
}

#[test]
fn a_content_may_take_an_eighth_of_all_however_many_shards_there_are() {
    let memory = Memory::new(16 << 20);
    for n in 0..40 {
        let large = stored(&format!("/{n}"), "", 0, 2 << 20);
        assert!(memory.insert(large.clone()) && memory.holds(&large));
        assert!(memory.stats().bytes <= 16 << 20);
    }
    assert_eq!(memory.stats().entries, 7);
    check(&memory);
}

#[test]
fn a_lower_bound_holds_at_once() {
    let memory = Memory::new(64 << 20);
    for n in 0..5000 {
        assert!(memory.insert(stored(&format!("/{n}"), "", 0, 1000)));
    }
    assert_eq!(memory.stats().evictions, 0);
    for bound in [4 << 20, 1 << 20, 1 << 17, 0] {
        memory.set_bound(bound);
        let stats = memory.stats();
        assert!(stats.bytes <= bound || stats.entries == 0, "{stats:?}");
        check(&memory);
    }
    memory.set_bound(1 << 20);
    for n in 0..5000 {
        assert!(memory.insert(stored(&format!("/{n}"), "", 0, 1000)));
    }
    assert!(memory.stats().entries > 200, "{memory:?}");
    assert!(memory.stats().bytes <= 1 << 20);
}

#[test]
fn a_scan_passes_by_what_is_in_use() {
    let memory = Memory::new(8 << 20);
    let hot: Vec<_> = (0..1000).map(|n| format!("/hot/{n}")).collect();
    let (mut asked, mut hits) = (0, 0);
    for round in 0..4 {
        for uri in &hot {
            ask(&memory, uri, 4000);
        }
        assert!(memory.stats().evictions == 0, "it fits: {round}");
    }
    // Ten times the bound goes by, each once; of what is hot, one is asked for with each five of them.
    let scan = 10 * (8 << 20) / 4700;
    for n in 0..scan {
        ask(&memory, &format!("/scan/{n}"), 4000);
        if n % 5 == 0 {
            asked += 1;
            hits += usize::from(ask(&memory, &hot[n / 5 % hot.len()], 4000));
        }
        assert!(memory.stats().bytes <= 8 << 20);
    }
    assert!(hits * 100 >= asked * 95, "{hits} of {asked}");
    assert!(hot.iter().filter(|uri| !memory.all(uri).is_empty()).count() >= 950);
    check(&memory);
}

#[test]
fn what_comes_back_soon_after_it_was_evicted_stays() {
    let memory = Memory::new(1 << 20);
    let fill = |from: usize, count: usize| {
        for n in from..from + count {
            ask(&memory, &format!("/{n}"), 4000);
        }
    };
    fill(0, 300);
    let there = || (0..20).filter(|n| !memory.all(&format!("/{n}")).is_empty());
    assert_eq!(there().count(), 0, "evicted by the others");
    fill(0, 20);
    fill(300, 200);
    // In the main queue now, but for those whose name another one has taken the place of.
    assert!(there().count() > 10, "{} are there", there().count());
}

#[test]
fn what_a_purge_is_for_goes_and_nothing_else() {
    let memory = Memory::new(64 << 20);
    for n in 0..3000 {
        assert!(memory.insert(stored(&format!("/{}/{n}", n % 3), "", 0, 0)));
    }
    let mut seen = HashSet::new();
    memory.each(|stored| assert!(seen.insert(stored.key.uri().clone())));
    assert_eq!(seen.len(), 3000);
    let removed = memory.remove_where(|stored| stored.key.uri().starts_with("/1/"));
    assert_eq!(removed, 1000);
    assert_eq!(memory.stats().entries, 2000);
    assert!(memory.all("/1/1").is_empty() && !memory.all("/2/2").is_empty());
    check(&memory);
    assert_eq!(memory.remove_where(|_| true), 2000);
    check(&memory);
    assert!(
        memory.stats().bytes < 1 << 17,
        "tables are given back: {memory:?}"
    );
}

#[test]
fn two_uris_with_one_hash_are_not_taken_for_each_other() {
    let mut shard = Shard::default();
    let mut queues = Queues::new(1 << 20);
    let mut put = |shard: &mut Shard, uri| {
        let mark = queues.admit((7, 7), 100).unwrap();
        shard.put(stored(uri, "", 0, 0), mark)
    };
    assert!(put(&mut shard, "/a").is_empty());
    assert!(shard.group(7, "/b").is_none());
    assert!(shard.take_where(7, "/b", |_, _| true).is_empty());
    let taken = put(&mut shard, "/b");
    assert_eq!(&**taken[0].0.key.uri(), "/a");
    assert!(shard.group(7, "/a").is_none() && shard.group(7, "/b").is_some());
}

#[test]
fn what_is_evicted_is_dropped_without_a_lock() {
    /// Asks the cache for its state, and for itself, as it goes.
    struct Asks(Arc<Memory>, Arc<AtomicUsize>);
    impl AsRef<[u8]> for Asks {
        fn as_ref(&self) -> &[u8] {
            b"value"
        }
    }
    impl Drop for Asks {
        fn drop(&mut self) {
            assert!(self.0.stats().bound > 0);
            self.0.insert(stored("/", "", 0, 0));
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }
    let memory = Arc::new(Memory::new(1 << 18));
    let dropped = Arc::new(AtomicUsize::new(0));
    for n in 0..500 {
        let mut asks = (*stored(&format!("/{}", n % 250), "", n / 2, 1000)).clone();
        let value = Bytes::from_owner(Asks(memory.clone(), dropped.clone()));
        let value = HeaderValue::from_maybe_shared(value).unwrap();
        asks.headers.insert("x-asks", value);
        memory.insert(Arc::new(asks));
    }
    memory.remove_where(|_| true);
    assert_eq!(dropped.load(Ordering::Relaxed), 500);
}

#[test]
fn compact_fields_are_the_same_fields() {
    let head = Bytes::from(vec![b'v'; 60_000]);
    let mut fields = HeaderMap::new();
    for (name, length) in [("x-a", 5), ("etag", 0), ("x-a", 7), ("age", 1), ("x-a", 0)] {
        let value = HeaderValue::from_maybe_shared(head.slice(..length)).unwrap();
        fields.append(HeaderName::from_static(name), value);
    }
    fields.get_mut("age").unwrap().set_sensitive(true);
    drop(head);
    let own = compact(&fields);
    assert_eq!(own, fields);
    assert!(own["age"].is_sensitive() && !own["etag"].is_sensitive());
    assert_eq!(
        own.get_all("x-a")
            .iter()
            .map(HeaderValue::len)
            .collect::<Vec<_>>(),
        [5, 7, 0]
    );
    assert_eq!(compact(&HeaderMap::new()), HeaderMap::new());
}

#[test]
fn the_account_holds_while_threads_do_as_they_like() {
    let memory = Memory::new(2 << 20);
    std::thread::scope(|scope| {
        for seed in 1..=4 {
            let memory = &memory;
            scope.spawn(move || play(memory, &mut Random(seed * 0x9e37_79b9), 40_000));
        }
    });
    check(&memory);
    let stats = memory.stats();
    assert!(stats.bytes <= stats.bound, "{stats:?}");
    assert!(stats.entries > 100 && stats.evictions > 1000, "{stats:?}");
    memory.remove_where(|_| true);
    check(&memory);
    assert_eq!(memory.stats().entries, 0);
}

fn play(memory: &Memory, random: &mut Random, rounds: usize) {
    for _ in 0..rounds {
        let uri = format!("/{}", random.below(2000).min(random.below(2000)));
        let any = |random: &mut Random| stored(&uri, "", random.below(3), random.below(20_000));
        match random.below(16) {
            0..8 => drop(ask(memory, &uri, random.below(8000))),
            8..10 => drop(memory.insert(any(random))),
            10 => drop(memory.insert_if_absent(any(random))),
            11..13 => drop(memory.all(&uri).first().map(|stored| memory.grow(stored))),
            13 => {
                let old = memory.all(&uri).pop();
                let _ = old.map(|old| memory.replace(&old, any(random)));
            }
            14 => drop(memory.all(&uri).last().map(|stored| memory.remove(stored))),
            _ => match random.below(200) {
                0 => drop(memory.remove_where(|stored| stored.key.uri().ends_with('7'))),
                1 => memory.set_bound([1 << 20, 2 << 20][random.below(2)]),
                _ => drop(memory.remove_uri(&uri)),
            },
        }
        // Each of the four may be about to insert one more.
        let stats = memory.stats();
        assert!(stats.bytes <= (2 << 20) + 4 * 30_000, "{stats:?}");
    }
    memory.set_bound(2 << 20);
}

/// Whatever is there is found, and counted once; and nothing else is.
fn check(memory: &Memory) {
    let (mut weights, mut entries) = (0, 0);
    memory.each(|stored| {
        let hash = memory.hasher.hash_one(&**stored.key.uri());
        let mark = memory.read(hash).mark_of(hash, stored).cloned();
        let weight = memory.queues().weight(&mark.expect("it is in its shard"));
        weights += weight.expect("it is in a queue");
        entries += 1;
        let all = memory.all(stored.key.uri());
        assert!(all.iter().any(|other| Arc::ptr_eq(other, stored)));
    });
    let in_shards: u64 = memory
        .shards
        .iter()
        .map(|shard| shard.0.read().unwrap().bytes)
        .sum();
    let queues = memory.queues();
    assert_eq!(queues.entries(), entries);
    assert_eq!((queues.reserved, queues.tables), (0, in_shards));
    assert_eq!(queues.bytes(), weights + queues.overhead());
}

/// Whether it was a hit; it is stored if it was not.
fn ask(memory: &Memory, uri: &str, content: usize) -> bool {
    let found = memory.candidates(&Key::new(uri, ""), &request(0));
    let hit = found.selected().is_some();
    if !hit {
        assert!(memory.insert(stored(uri, "", 0, content)));
    }
    hit
}

fn same(some: &[Arc<Stored>], others: &[&Arc<Stored>]) -> bool {
    let pairs = || some.iter().zip(others);
    some.len() == others.len() && pairs().all(|(one, other)| Arc::ptr_eq(one, other))
}

fn request(accept: usize) -> HeaderMap {
    let accept = HeaderValue::from_str(&format!("text/{accept}")).unwrap();
    HeaderMap::from_iter([(ACCEPT, accept)])
}

fn stored(uri: &str, extras: &str, accept: usize, content: usize) -> Arc<Stored> {
    static CONTENT: [u8; 2 << 20] = [b'c'; 2 << 20];
    let headers = HeaderMap::from_iter([
        (CONTENT_TYPE, HeaderValue::from_static("text/plain")),
        (ETAG, HeaderValue::from_static("\"1\"")),
        (VARY, HeaderValue::from_static("accept")),
    ]);
    Arc::new(Stored {
        key: Key::new(uri, extras),
        vary: Vary::of(&headers, &request(accept)).unwrap(),
        status: StatusCode::OK,
        headers,
        freshness: Freshness::plain(
            Timestamp::UNIX_EPOCH,
            Duration::ZERO,
            Duration::from_secs(60),
        ),
        guarded: false,
        held: None,
        contents: Contents::whole(Bytes::from_static(&CONTENT[..content])),
    })
}

/// Xorshift: the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 32) as usize) % limit
    }
}
