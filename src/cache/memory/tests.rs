use std::collections::HashSet;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG, VARY};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use jiff::Timestamp;

use super::super::{Contents, Freshness, Key, Vary};
use super::*;

#[test]
fn variants_of_a_uri_stand_together_newest_first() {
    let memory = Memory::new(1 << 20);
    let variants = [("", 1), ("", 2), ("a", 1)].map(|(extras, vary)| stored("/", extras, vary));
    for variant in &variants {
        assert!(insert(&memory, variant, 0).displaced.is_empty());
    }
    let [first, second, third] = &variants;
    assert!(same(&memory.all("/"), &[third, second, first]));
    let found = memory.find("/", |set| {
        set.iter().position(|one| one.key.extras().is_empty())
    });
    assert!(Arc::ptr_eq(&found.unwrap(), second));
    assert!(memory.find("/", |_| None).is_none());
    assert!(memory.find("/", |set| Some(set.len())).is_none());
    assert!(
        memory
            .find("/other", |_| panic!("nothing is stored"))
            .is_none()
    );
    assert_eq!(memory.remove_uri("/"), 3);
    assert!(memory.all("/").is_empty());
    assert_eq!(memory.stats().entries, 0);
    check(&memory);
}

#[test]
fn a_response_takes_the_place_of_one_with_the_same_key_and_vary() {
    let memory = Memory::new(1 << 20);
    let (old, new, other) = (stored("/", "", 1), stored("/", "", 1), stored("/", "", 2));
    let place = insert(&memory, &old, 100).place.unwrap();
    insert(&memory, &other, 0);
    let before = memory.stats().bytes;
    let inserted = insert(&memory, &new, 40);
    assert!(same(&inserted.displaced, &[&old]));
    assert_eq!(memory.stats().bytes, before - 60);
    assert!(same(&memory.all("/"), &[&new, &other]));
    assert!(!memory.grow(&place, 1), "the one that was there has gone");
    assert!(memory.grow(&inserted.place.unwrap(), 1));
    assert!(!memory.remove(&old));
    assert!(memory.remove(&new));
    assert!(!memory.remove(&new));
    check(&memory);
}

#[test]
fn a_uri_has_at_most_64_variants() {
    let memory = Memory::new(1 << 20);
    let all: Vec<_> = (0..70).map(|n| stored("/", "", n)).collect();
    for (n, variant) in all.iter().enumerate() {
        let displaced = insert(&memory, variant, 0).displaced;
        let oldest: Vec<_> = n.checked_sub(64).map(|n| &all[n]).into_iter().collect();
        assert!(same(&displaced, &oldest), "{n}");
    }
    assert_eq!(memory.stats().entries, 64);
    check(&memory);
}

#[test]
fn a_head_is_replaced_only_while_it_is_there_and_keeps_its_content_and_place() {
    let memory = Memory::new(1 << 20);
    let (old, new, other) = (stored("/", "", 1), stored("/", "", 1), stored("/", "", 2));
    let place = insert(&memory, &old, 1000).place.unwrap();
    insert(&memory, &other, 0);
    let before = memory.stats().bytes;
    assert!(memory.replace(&old, new.clone()));
    assert!(!memory.replace(&old, stored("/", "", 1)));
    assert!(!memory.replace(&new, stored("/elsewhere", "", 1)));
    assert_eq!(memory.stats().bytes, before);
    assert!(same(&memory.all("/"), &[&new, &other]));
    assert!(memory.grow(&place, 24));
    assert_eq!(memory.stats().bytes, before + 24);
    assert!(memory.settle(&place, 0));
    assert_eq!(memory.stats().bytes, before - 1000);
    // It says now that it varies as the other one does.
    assert!(memory.replace(&new, stored("/", "", 2)));
    assert_eq!(memory.all("/").len(), 1);
    check(&memory);
}

#[test]
fn what_is_too_large_is_not_taken_and_does_not_leave_what_is_out_of_date() {
    let memory = Memory::new(1 << 20);
    let (old, new) = (stored("/", "", 1), stored("/", "", 1));
    insert(&memory, &old, 0);
    let inserted = insert(&memory, &new, 1 << 17);
    assert!(inserted.place.is_none());
    assert!(same(&inserted.displaced, &[&old]));
    let place = insert(&memory, &new, 0).place.unwrap();
    assert!(memory.grow(&place, 1 << 16));
    assert!(!memory.grow(&place, 1 << 16), "it has become too large");
    assert!(memory.all("/").is_empty());
    assert_eq!((memory.stats().rejected, memory.stats().entries), (2, 0));
    let none = Memory::new(0);
    assert!(insert(&none, &old, 0).place.is_none());
    check(&memory);
}

#[test]
fn a_response_may_take_an_eighth_of_all_however_many_shards_there_are() {
    let memory = Memory::new(16 << 20);
    for n in 0..40 {
        let large = stored(&format!("/{n}"), "", 0);
        assert!(insert(&memory, &large, 2_000_000).place.is_some());
        assert_eq!(memory.all(&format!("/{n}")).len(), 1);
        assert!(memory.stats().bytes <= 16 << 20);
    }
    assert_eq!(memory.stats().entries, 8);
    check(&memory);
}

#[test]
fn a_lower_bound_holds_at_once() {
    let memory = Memory::new(64 << 20);
    for n in 0..5000 {
        insert(&memory, &stored(&format!("/{n}"), "", 0), 1000);
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
        insert(&memory, &stored(&format!("/{n}"), "", 0), 1000);
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
    assert!(memory.all("/0").is_empty(), "evicted by the others");
    ask(&memory, "/0", 4000);
    fill(300, 200);
    assert_eq!(memory.all("/0").len(), 1, "it is in the main queue now");
}

#[test]
fn what_a_purge_is_for_goes_and_nothing_else() {
    let memory = Memory::new(64 << 20);
    for n in 0..3000 {
        insert(&memory, &stored(&format!("/{}/{n}", n % 3), "", 0), 0);
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
        let mark = queues.admit((7, 7), 100, 0).unwrap();
        shard.put(stored(uri, "", 0), mark)
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
            insert(&self.0, &stored("/", "", 0), 0);
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }
    let memory = Arc::new(Memory::new(1 << 18));
    let dropped = Arc::new(AtomicUsize::new(0));
    for n in 0..500 {
        let mut asks = (*stored(&format!("/{}", n % 250), "", n / 2)).clone();
        let value = Bytes::from_owner(Asks(memory.clone(), dropped.clone()));
        let value = HeaderValue::from_maybe_shared(value).unwrap();
        asks.headers.insert("x-asks", value);
        memory.insert(Arc::new(asks), 1000);
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
    let mut places: Vec<Place> = Vec::new();
    for _ in 0..rounds {
        let uri = format!("/{}", random.below(2000).min(random.below(2000)));
        match random.below(16) {
            0..8 => drop(ask(memory, &uri, random.below(8000) as u64)),
            8..11 => {
                let new = stored(&uri, "", random.below(3));
                places.extend(memory.insert(new, random.below(20_000) as u64).place);
            }
            11..13 => {
                let at = random.below(places.len().max(1));
                if places
                    .get(at)
                    .is_some_and(|place| !memory.grow(place, 3000))
                {
                    places.swap_remove(at);
                }
            }
            13 => {
                if let Some(old) = memory.all(&uri).first() {
                    memory.replace(old, stored(&uri, "", random.below(3)));
                }
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
        let place = memory.place(stored).expect("it is there");
        let mut queues = memory.queues();
        weights += queues.reweigh(&place.0, |_| ()).expect("it is in a queue");
        entries += 1;
        drop(queues);
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

/// Whether it was a hit; it is there afterwards.
fn ask(memory: &Memory, uri: &str, content: u64) -> bool {
    let hit = memory.find(uri, |_| Some(0)).is_some();
    if !hit {
        insert(memory, &stored(uri, "", 0), content);
    }
    hit
}

fn insert(memory: &Memory, stored: &Arc<Stored>, content: u64) -> Inserted {
    memory.insert(stored.clone(), content)
}

fn same(some: &[Arc<Stored>], others: &[&Arc<Stored>]) -> bool {
    let pairs = || some.iter().zip(others);
    some.len() == others.len() && pairs().all(|(one, other)| Arc::ptr_eq(one, other))
}

fn stored(uri: &str, extras: &str, vary: usize) -> Arc<Stored> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert(ETAG, HeaderValue::from_static("\"1\""));
    headers.insert(VARY, HeaderValue::from_static("accept"));
    let values = (vary as u128).to_be_bytes();
    Arc::new(Stored {
        key: Key::new(uri, extras),
        vary: Vary {
            names: Arc::new([http::header::ACCEPT]),
            values,
        },
        status: StatusCode::OK,
        headers,
        freshness: Freshness {
            requested: Timestamp::UNIX_EPOCH,
            received: Timestamp::UNIX_EPOCH,
            initial_age: Duration::ZERO,
            lifetime: Duration::from_secs(60),
        },
        contents: Contents::whole(Bytes::new()),
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
