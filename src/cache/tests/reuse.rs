use proptest::prelude::*;

use super::*;
use crate::cache::directives::LONGEST;

fn received() -> Timestamp {
    "2026-11-25T00:00:00Z".parse().unwrap()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn asks(line: &str) -> RequestDirectives {
    let mut headers = http::HeaderMap::new();
    if !line.is_empty() {
        headers.insert("cache-control", line.parse().unwrap());
    }
    RequestDirectives::read(&headers)
}

/// A response with a lifetime of a minute, as it is after some seconds.
fn after(age: u64, change: impl FnOnce(&mut Freshness)) -> Freshness {
    let mut freshness = Freshness::plain(received(), seconds(age), seconds(60));
    change(&mut freshness);
    freshness
}

fn judged(age: u64, line: &str, change: impl FnOnce(&mut Freshness)) -> Use {
    judge(&after(age, change), &asks(line), received())
}

const STALE: Use = Use::Validate(Why::Stale);
const REQUEST: Use = Use::Validate(Why::Request);

#[test]
fn what_is_fresh_is_used_as_the_request_lets_it_9111_5_2_1() {
    for (age, line, expected) in [
        (0, "", Use::Fresh),
        (59, "", Use::Fresh),
        // §4.2: as old as the lifetime is stale.
        (60, "", STALE),
        // §5.2.1.1 max-age
        (10, "max-age=10", Use::Fresh),
        (11, "max-age=10", REQUEST),
        (0, "max-age=0", REQUEST),
        (10, "max-age=x", REQUEST),
        (60, "max-age=100", STALE),
        (61, "max-age=60", STALE),
        // §5.2.1.3 min-fresh
        (30, "min-fresh=30", Use::Fresh),
        (31, "min-fresh=30", REQUEST),
        (0, "min-fresh=x", REQUEST),
        (0, "min-fresh=99999999999999999999", REQUEST),
        // §5.2.1.4 no-cache
        (0, "no-cache", REQUEST),
        (0, "no-cache, max-stale", REQUEST),
        (60, "no-cache", REQUEST),
        // §5.2.1.5, §5.2.1.6 and §5.2.1.7 do not change what may be used.
        (0, "no-store", Use::Fresh),
        (0, "no-transform", Use::Fresh),
        (0, "only-if-cached", Use::Fresh),
        (60, "only-if-cached", STALE),
    ] {
        assert_eq!(judged(age, line, |_| ()), expected, "{age} {line}");
    }
}

#[test]
fn a_client_takes_what_is_stale_by_as_much_as_it_says_9111_5_2_1_2() {
    for (age, line, expected) in [
        (60, "max-stale=0", Use::Stale),
        (70, "max-stale=10", Use::Stale),
        (71, "max-stale=10", STALE),
        (1_000_000, "max-stale", Use::Stale),
        (61, "max-stale=x", STALE),
        (61, "max-stale=", STALE),
        (61, "max-stale=-1", STALE),
        (65, "max-stale=10, max-stale=1", STALE),
        // With max-age, the age that is wanted is older by so much.
        (15, "max-age=10, max-stale=5", Use::Fresh),
        (16, "max-age=10, max-stale=5", REQUEST),
        (65, "max-age=60, max-stale=5", Use::Stale),
        (66, "max-age=60, max-stale=5", STALE),
        (70, "max-age=100, max-stale=5", STALE),
        (5, "max-age=0, max-stale=5", Use::Fresh),
        // Who wants it fresh for some time more does not want it stale.
        (61, "min-fresh=1, max-stale", STALE),
        (61, "min-fresh=0, max-stale", STALE),
    ] {
        assert_eq!(judged(age, line, |_| ()), expected, "{age} {line}");
        // The order does not matter.
        let reversed: Vec<&str> = line.rsplit(", ").collect();
        assert_eq!(judged(age, &reversed.join(", "), |_| ()), expected);
    }
}

#[test]
fn what_must_be_validated_is_never_used_stale_9111_5_2_2_2() {
    let strict = |freshness: &mut Freshness| {
        freshness.must_revalidate = true;
        freshness.stale_while_revalidate = seconds(100);
        freshness.stale_if_error = seconds(100);
    };
    assert_eq!(judged(59, "max-stale", strict), Use::Fresh);
    assert_eq!(judged(60, "max-stale", strict), STALE);
    assert_eq!(judged(60, "", strict), STALE);
    let stale = after(60, strict);
    for line in ["", "max-stale", "stale-if-error=1000"] {
        assert!(!serves_error(&stale, &asks(line), received()));
        assert!(!serves_disconnected(&stale, &asks(line), received()));
    }
}

#[test]
fn what_is_not_to_be_cached_is_validated_each_time_9111_5_2_2_4() {
    let each_time = |freshness: &mut Freshness| {
        freshness.no_cache = true;
        freshness.stale_while_revalidate = seconds(100);
        freshness.stale_if_error = seconds(100);
    };
    for line in ["", "max-stale", "max-age=100", "only-if-cached"] {
        assert_eq!(judged(0, line, each_time), STALE, "{line}");
        let stored = after(0, each_time);
        assert!(!serves_error(&stored, &asks(line), received()));
        assert!(!serves_disconnected(&stored, &asks(line), received()));
    }
}

#[test]
fn an_immutable_response_is_still_validated_once_stale_8246_2() {
    let immutable = |freshness: &mut Freshness| freshness.immutable = true;
    assert_eq!(judged(59, "", immutable), Use::Fresh);
    assert_eq!(judged(60, "", immutable), STALE);
    assert_eq!(judged(0, "no-cache", immutable), REQUEST);
}

#[test]
fn a_stale_response_is_used_in_its_window_while_it_is_validated_5861_3() {
    let window = |freshness: &mut Freshness| freshness.stale_while_revalidate = seconds(30);
    for (age, line, expected) in [
        (59, "", Use::Fresh),
        (60, "", Use::StaleWhileRevalidate),
        (90, "", Use::StaleWhileRevalidate),
        (91, "", STALE),
        // A client that says what it takes is not given more.
        (61, "max-age=1000", STALE),
        (61, "min-fresh=1", STALE),
        (61, "no-cache", REQUEST),
        (70, "max-stale=10", Use::Stale),
        (71, "max-stale=10", STALE),
        (91, "max-stale", Use::Stale),
    ] {
        assert_eq!(judged(age, line, window), expected, "{age} {line}");
    }
    let none = |freshness: &mut Freshness| freshness.stale_while_revalidate = Duration::ZERO;
    assert_eq!(judged(60, "", none), STALE);
}

#[test]
fn a_stored_response_stands_in_for_an_error_in_its_window_5861_4() {
    for (age, window, line, expected) in [
        (60, 0, "", false),
        (90, 30, "", true),
        (91, 30, "", false),
        (60, 0, "stale-if-error=30", true),
        (90, 0, "stale-if-error=30", true),
        (91, 0, "stale-if-error=30", false),
        (60, 0, "stale-if-error=x", false),
        (80, 0, "stale-if-error=30, stale-if-error=10", false),
        (80, 30, "stale-if-error=10", true),
        (70, 30, "no-cache", true),
        // Fresh, it needs no permission; but not in place of what the client asked the origin for.
        (59, 0, "", true),
        (59, 0, "max-age=1", true),
        (59, 0, "no-cache", false),
        (59, 30, "no-cache", true),
    ] {
        let stored = after(age, |freshness| freshness.stale_if_error = seconds(window));
        let serves = serves_error(&stored, &asks(line), received());
        assert_eq!(serves, expected, "{age} {window} {line}");
    }
}

#[test]
fn without_an_origin_a_stored_response_is_used_for_a_day_9111_4_2_4() {
    let day = 24 * 60 * 60;
    for (age, line, expected) in [
        (59, "", true),
        (60 + day, "", true),
        (61 + day, "", false),
        (59, "no-cache", false),
        (61, "no-cache", false),
        (61 + day, "stale-if-error=100000", true),
    ] {
        let serves = serves_disconnected(&after(age, |_| ()), &asks(line), received());
        assert_eq!(serves, expected, "{age} {line}");
    }
}

prop_compose! {
    fn stored()(
        age in 0_u64..200,
        lifetime in 0_u64..200,
        (no_cache, must_revalidate, immutable) in any::<(bool, bool, bool)>(),
        swr in 0_u64..100,
        sie in 0_u64..100,
    ) -> Freshness {
        Freshness {
            no_cache,
            must_revalidate,
            immutable,
            stale_while_revalidate: seconds(swr),
            stale_if_error: seconds(sie),
            ..Freshness::plain(received(), seconds(age), seconds(lifetime))
        }
    }
}

prop_compose! {
    fn asked()(
        (max_age, max_stale) in any::<(Option<u8>, Option<u8>)>(),
        (min_fresh, sie) in any::<(Option<u8>, Option<u8>)>(),
        (no_cache, only_if_cached) in any::<(bool, bool)>(),
    ) -> RequestDirectives {
        let time = |time: Option<u8>| time.map(|time| seconds(time.into()));
        RequestDirectives {
            max_age: time(max_age),
            max_stale: time(max_stale),
            min_fresh: time(min_fresh),
            no_cache,
            no_store: false,
            only_if_cached,
            stale_if_error: time(sie),
        }
    }
}

proptest! {
    #[test]
    fn what_is_fresh_is_never_judged_stale_and_the_other_way(stored in stored(), asked in asked()) {
        let fresh = stored.is_fresh(received());
        match judge(&stored, &asked, received()) {
            Use::Fresh => prop_assert!(fresh && !stored.no_cache && !asked.no_cache),
            Use::Stale => {
                prop_assert!(!fresh && !stored.must_revalidate && !stored.no_cache);
                prop_assert!(asked.max_stale.is_some_and(|most| stored.staleness(received()) <= most));
            }
            Use::StaleWhileRevalidate => {
                prop_assert!(!fresh && !stored.must_revalidate && !stored.no_cache);
                prop_assert!(stored.staleness(received()) <= stored.stale_while_revalidate);
            }
            Use::Validate(Why::Stale) => prop_assert!(!fresh || stored.no_cache),
            Use::Validate(Why::Request) => prop_assert!(
                asked.no_cache || asked.max_age.is_some() || asked.min_fresh.is_some()
            ),
        }
        if asked == RequestDirectives::default() && !stored.no_cache {
            prop_assert_eq!(judge(&stored, &asked, received()) == Use::Fresh, fresh);
        }
    }

    #[test]
    fn what_must_be_validated_stands_in_for_no_error(stored in stored(), asked in asked()) {
        if serves_error(&stored, &asked, received()) {
            prop_assert!(!stored.must_revalidate && !stored.no_cache);
            prop_assert!(serves_disconnected(&stored, &asked, received()));
        }
        if serves_disconnected(&stored, &asked, received()) {
            prop_assert!(!stored.must_revalidate && !stored.no_cache);
        }
    }

    #[test]
    fn a_request_that_says_more_never_gets_a_fresh_response_that_one_without_words_does_not(
        stored in stored(),
        asked in asked(),
    ) {
        let plain = judge(&stored, &RequestDirectives::default(), received());
        if judge(&stored, &asked, received()) == Use::Fresh {
            prop_assert_eq!(plain, Use::Fresh);
        }
    }

    #[test]
    fn no_number_is_too_large(age: u64, lifetime: u64, line in "(max-age|max-stale|min-fresh)=[0-9]{1,25}") {
        let stored = Freshness::plain(received(), seconds(age), seconds(lifetime));
        let asked = asks(&line);
        judge(&stored, &asked, received());
        serves_disconnected(&stored, &asked, received());
        prop_assert!(asked.max_age.is_none_or(|most| most <= LONGEST));
    }
}
