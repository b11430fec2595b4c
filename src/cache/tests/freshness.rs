use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;
use crate::message::date;

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

/// When all responses here are received.
fn received() -> Timestamp {
    at("2026-11-25T12:00:00Z")
}

fn ahead(seconds: i64) -> Timestamp {
    received() + SignedDuration::from_secs(seconds)
}

/// Lines of `name: value`; `{-60}` stands for the date so many seconds from when the response is received.
fn fields(lines: &str) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for line in lines.lines().filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").expect("a line");
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        let offset = value
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'));
        let value = match offset {
            Some(offset) => date::render(ahead(offset.parse().expect("seconds"))).expect("a date"),
            None => HeaderValue::from_str(value).expect("a value"),
        };
        fields.append(name, value);
    }
    fields
}

/// The freshness of a response with these lines, which came at once.
fn of(status: u16, request: &str, lines: &str, control: &Control) -> Freshness {
    let (request, headers) = (fields(request), fields(lines));
    let came = Came {
        request: &request,
        requested: received(),
        status: StatusCode::from_u16(status).expect("a status"),
        headers: &headers,
        received: received(),
    };
    let targets = [HeaderName::from_static("cdn-cache-control")];
    let directives = ResponseDirectives::read(&headers, &targets);
    Freshness::of(came, &directives, control)
}

fn plain(lines: &str) -> Freshness {
    of(200, "", lines, &Control::default())
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const DAY: u64 = 24 * 60 * 60;

#[test]
fn the_lifetime_is_what_the_first_source_says_9111_4_2_1() {
    for (lines, lifetime) in [
        ("cache-control: s-maxage=1, max-age=2\nexpires: {3}", 1),
        ("cache-control: max-age=2\nexpires: {3}", 2),
        ("date: {0}\nexpires: {3}", 3),
        ("expires: {3}", 3),
        ("date: {-10}\nexpires: {3}", 13),
        ("date: {10}\nexpires: {3}", 0),
        ("date: none\nexpires: {3}", 3),
        // Several dates are none, and Date is not.
        ("expires: {3}\nexpires: {4}", 0),
        ("date: {0}\ndate: {-10}\nexpires: {3}", 3),
        // §5.3: what is no date is past.
        ("expires: 0", 0),
        ("expires: ", 0),
        ("cache-control: max-age=x\nexpires: {3}", 0),
        ("cache-control: s-maxage=x, max-age=2", 0),
        ("cache-control: max-age=99999999999", 1 << 31),
        ("expires: Fri, 31 Dec 9999 23:59:59 GMT", 1 << 31),
        ("", 0),
        // RFC 9213 §2.2: Expires says nothing beside a targeted field, nor does Cache-Control.
        (
            "cdn-cache-control: max-age=5\ncache-control: max-age=2\nexpires: {3}",
            5,
        ),
        (
            "cdn-cache-control: public\ncache-control: max-age=2\nexpires: {3}",
            0,
        ),
    ] {
        let freshness = plain(lines);
        assert_eq!(
            (freshness.lifetime, freshness.lifetime.is_zero()),
            (seconds(lifetime), lifetime == 0),
            "{lines}"
        );
    }
}

#[test]
fn a_guess_is_a_tenth_of_the_age_of_what_may_be_guessed_at_9111_4_2_2() {
    let old = "last-modified: {-1000}";
    for (status, request, lines, lifetime) in [
        (200, "", old, 100),
        (200, "", "last-modified: {-1009}", 100),
        (200, "", "last-modified: {-9}", 0),
        (200, "", "date: {-500}\nlast-modified: {-1000}", 50),
        (200, "", "date: {500}\nlast-modified: {-1000}", 150),
        (200, "", "last-modified: {1000}", 0),
        (200, "", "last-modified: {-100000000}", DAY),
        (200, "", "last-modified: long ago", 0),
        (200, "", "last-modified: {-1000}\nlast-modified: {-2000}", 0),
        (404, "", old, 100),
        (302, "", old, 0),
        (500, "", old, 0),
        (
            302,
            "",
            "cache-control: public\nlast-modified: {-1000}",
            100,
        ),
        (
            200,
            "",
            "cache-control: max-age=0\nlast-modified: {-1000}",
            0,
        ),
        (200, "", "expires: 0\nlast-modified: {-1000}", 0),
        (
            200,
            "",
            "cdn-cache-control: public\nlast-modified: {-1000}",
            0,
        ),
        // What may be somebody's own is not guessed at.
        (200, "cookie: a=b", old, 0),
        (200, "authorization: Basic eDp5", old, 0),
        (
            200,
            "cookie: a=b",
            "cache-control: public\nlast-modified: {-1000}",
            100,
        ),
    ] {
        let freshness = of(status, request, lines, &Control::default());
        assert_eq!(
            freshness.lifetime,
            seconds(lifetime),
            "{status} {request} {lines}"
        );
        let explicit = lines.contains("max-age") || lines.contains("expires");
        assert_eq!(freshness.heuristic, !explicit, "{lines}");
    }
}

#[test]
fn the_age_on_arrival_is_the_greater_of_two_9111_4_2_3() {
    for (lines, delay, age) in [
        ("", 0, 0),
        ("", 3, 3),
        ("age: 10", 0, 10),
        ("age: 10", 3, 13),
        ("date: {-20}", 3, 20),
        ("date: {-20}\nage: 10", 3, 20),
        ("date: {-20}\nage: 30", 3, 33),
        ("date: {20}", 0, 0),
        ("date: {20}\nage: 10", 0, 10),
        ("date: none", 0, 0),
        // §5.1: of several the first; what is no number is not there; what is too large is 2^31.
        ("age: 10, 20", 0, 10),
        ("age: 10; 20", 0, 10),
        ("age: 10\nage: 20", 0, 10),
        ("age: x, 20", 0, 0),
        ("age: -10", 0, 0),
        ("age: 1.5", 0, 0),
        ("age: ", 0, 0),
        ("age: 0010", 0, 10),
        ("age: 2147483648", 0, 1 << 31),
        ("age: 99999999999999999999", 0, 1 << 31),
    ] {
        let (request, headers) = (HeaderMap::new(), fields(lines));
        let came = Came {
            request: &request,
            requested: ahead(-delay),
            status: StatusCode::OK,
            headers: &headers,
            received: received(),
        };
        assert_eq!(initial_age(came), seconds(age), "{lines} after {delay}");
    }
}

#[test]
fn a_rule_may_say_it_in_the_origins_place() {
    let minute = Control {
        ttl: Some(seconds(60)),
        ..Control::default()
    };
    let errors = Control {
        errors: Some(seconds(10)),
        ..Control::default()
    };
    let stale = Control {
        stale_while_revalidate: Some(seconds(7)),
        stale_if_error: Some(seconds(8)),
        ..Control::default()
    };
    for (status, lines, control, lifetime, no_cache) in [
        (200, "cache-control: max-age=5", &minute, 60, false),
        (200, "cache-control: no-cache", &minute, 60, false),
        (301, "", &minute, 60, false),
        (404, "cache-control: no-cache, max-age=5", &minute, 5, true),
        (302, "", &minute, 0, false),
        (404, "", &errors, 10, false),
        (503, "", &errors, 10, false),
        (404, "cache-control: max-age=5", &errors, 5, false),
        (403, "", &errors, 0, false),
        (400, "", &errors, 0, false),
        (200, "", &errors, 0, false),
    ] {
        let freshness = of(status, "", lines, control);
        assert_eq!(
            (freshness.lifetime, freshness.no_cache),
            (seconds(lifetime), no_cache),
            "{status} {lines}"
        );
    }
    let both = |freshness: Freshness| (freshness.stale_while_revalidate, freshness.stale_if_error);
    assert_eq!(both(of(200, "", "", &stale)), (seconds(7), seconds(8)));
    let said = "cache-control: stale-while-revalidate=1, stale-if-error=0";
    assert_eq!(
        both(of(200, "", said, &stale)),
        (seconds(1), seconds(0)),
        "the origin knows better"
    );
}

#[test]
fn what_forbids_stale_use_forbids_it_9111_5_2_2() {
    for (line, strict) in [
        ("max-age=1", false),
        ("must-revalidate", true),
        ("proxy-revalidate", true),
        // §5.2.2.10: it says what proxy-revalidate says.
        ("s-maxage=1", true),
        ("s-maxage=x", true),
        ("immutable", false),
    ] {
        let freshness = plain(&format!("cache-control: {line}"));
        assert_eq!(freshness.must_revalidate, strict, "{line}");
        assert_eq!(freshness.immutable, line == "immutable");
    }
}

/// Any freshness whose numbers are whole milliseconds, as they are written down.
fn any_freshness() -> impl Strategy<Value = Freshness> {
    let time = -1_000_000_000_000_i64..4_000_000_000_000;
    let span = || prop_oneof![0..100_000_u64, 0..=u64::from(u32::MAX) * 1000];
    let spans = (span(), span(), span(), span());
    let flags = any::<[bool; 4]>();
    (time, 0..100_000_i64, spans, flags).prop_map(|(time, delay, spans, flags)| {
        let time_of = |millis| Timestamp::from_millisecond(millis).expect("within bounds");
        let [heuristic, no_cache, must_revalidate, immutable] = flags;
        let millis = Duration::from_millis;
        Freshness {
            requested: time_of(time),
            received: time_of(time + delay),
            initial_age: millis(spans.0),
            lifetime: millis(spans.1),
            heuristic,
            no_cache,
            must_revalidate,
            immutable,
            stale_while_revalidate: millis(spans.2),
            stale_if_error: millis(spans.3),
        }
    })
}

proptest! {
    /// A response that is written down and read again is as fresh as it was.
    #[test]
    fn what_is_written_is_read_again(freshness in any_freshness()) {
        prop_assert_eq!(Freshness::from_words(freshness.to_words()), Some(freshness));
    }

    /// No numbers of a disk's break anything.
    #[test]
    fn any_words_are_read_or_refused(words in any::<[u64; WORDS]>(), now in any::<i32>()) {
        if let Some(freshness) = Freshness::from_words(words) {
            let now = Timestamp::from_second(i64::from(now)).expect("within bounds");
            let _ = (freshness.age(now), freshness.ttl(now), freshness.staleness(now));
            prop_assert!(freshness.is_fresh(now) == (freshness.lifetime > freshness.age(now)));
        }
    }

    /// §4.2.3: age never falls, grows as the clock does, and is never less than on arrival.
    #[test]
    fn age_grows_with_the_clock(freshness in any_freshness(), first in -1_000_000_i64..1_000_000, more in 0..1_000_000_i64) {
        let now = freshness.received + SignedDuration::from_secs(first);
        let later = now + SignedDuration::from_secs(more);
        let (age, older) = (freshness.age(now), freshness.age(later));
        prop_assert!(age >= freshness.initial_age && older >= age);
        prop_assert!(older - age <= seconds(more.unsigned_abs()));
        if first >= 0 {
            prop_assert_eq!(older - age, seconds(more.unsigned_abs()));
        }
    }

    /// §4.2: a response is fresh, or it is stale for some time or none, and never both.
    #[test]
    fn it_is_fresh_or_stale(freshness in any_freshness(), offset in -1_000_000_i64..10_000_000) {
        let now = freshness.received + SignedDuration::from_secs(offset);
        let (age, fresh) = (freshness.age(now), freshness.is_fresh(now));
        prop_assert_eq!(fresh, freshness.lifetime > age);
        prop_assert_eq!(freshness.staleness(now), age.saturating_sub(freshness.lifetime));
        prop_assert!(!fresh || freshness.staleness(now).is_zero());
        prop_assert!(fresh || freshness.ttl(now) <= 0);
        // Once stale, for ever.
        let later = now + SignedDuration::from_secs(1);
        prop_assert!(fresh || !freshness.is_fresh(later));
    }

    /// §4.2.3: a response that says that it is older, by Age or by Date, is never taken for younger.
    #[test]
    fn what_says_that_it_is_older_is_not_younger(age in 0_u64..1 << 33, more in 0_u64..1 << 33, date in 0_i64..1 << 33, earlier in 0_i64..1 << 33) {
        let age_of = |age: u64, date: i64| plain(&format!("age: {age}\ndate: {{{}}}", -date)).initial_age;
        let known = age_of(age, date);
        prop_assert!(known >= seconds(age.min(1 << 31)));
        prop_assert!(known >= seconds(date.unsigned_abs()));
        prop_assert!(age_of(age + more, date) >= known);
        prop_assert!(age_of(age, date + earlier) >= known);
    }

    /// §1.2.2: no lifetime is longer than 2^31 seconds, whatever is said.
    #[test]
    fn no_lifetime_is_longer_than_can_be_said(number in "[0-9]{1,40}", directive in "(max-age|s-maxage|stale-while-revalidate|stale-if-error)") {
        let freshness = plain(&format!("cache-control: {directive}={number}"));
        for span in [freshness.lifetime, freshness.stale_while_revalidate, freshness.stale_if_error] {
            prop_assert!(span <= LONGEST);
        }
    }
}
