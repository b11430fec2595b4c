use bytes::Bytes;
use http::HeaderName;
use proptest::prelude::*;

use super::*;

const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
const MOMENT: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

type Lines<'a> = &'a [(&'a str, &'a str)];

fn fields(lines: Lines<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let name: HeaderName = name.parse().unwrap();
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

fn received() -> Timestamp {
    Timestamp::from_second(784_111_777).unwrap()
}

fn want(request: Lines<'_>, stored: Lines<'_>, total: u64) -> Wanted {
    let (method, status) = (Method::GET, StatusCode::OK);
    wanted(
        &method,
        &fields(request),
        status,
        &fields(stored),
        total,
        received(),
    )
}

#[test]
fn a_range_is_held_against_the_length_9110_14_1_2() {
    let one = Wanted::One;
    for (range, total, expected) in [
        ("bytes=0-1", 11, one(0..2)),
        ("bytes=1-", 11, one(1..11)),
        ("bytes=-1", 11, one(10..11)),
        ("bytes=-20", 11, one(0..11)),
        ("bytes=5-500", 11, one(5..11)),
        ("bytes=10-10", 11, one(10..11)),
        ("BYTES= 0-1 , ", 11, one(0..2)),
        ("bytes=0-18446744073709551615", 11, one(0..11)),
        ("bytes=0-99999999999999999999999", 11, one(0..11)),
        ("bytes=-99999999999999999999999", 11, one(0..11)),
        ("bytes=11-", 11, Wanted::Unsatisfiable(11)),
        ("bytes=11-12", 11, Wanted::Unsatisfiable(11)),
        ("bytes=-0", 11, Wanted::Unsatisfiable(11)),
        (
            "bytes=99999999999999999999999-",
            11,
            Wanted::Unsatisfiable(11),
        ),
        ("bytes=0-", 0, Wanted::Unsatisfiable(0)),
        ("bytes=-5", 0, Wanted::Whole),
        // Several that are one; those that can not be satisfied do not count.
        ("bytes=0-1,2-3", 11, one(0..4)),
        ("bytes=2-3,0-1,1-2", 11, one(0..4)),
        ("bytes=0-1,20-30", 11, one(0..2)),
        ("bytes=20-30,40-", 11, Wanted::Unsatisfiable(11)),
        ("bytes=0-1,3-4", 11, Wanted::Whole),
        // What is not understood is ignored.
        ("bytes=2-1", 11, Wanted::Whole),
        ("bytes=0-1,2-1", 11, Wanted::Whole),
        ("bytes=a-b", 11, Wanted::Whole),
        ("bytes=+1-2", 11, Wanted::Whole),
        ("bytes=1 - 2", 11, Wanted::Whole),
        ("bytes=-", 11, Wanted::Whole),
        ("bytes=1", 11, Wanted::Whole),
        ("bytes=--1", 11, Wanted::Whole),
        ("bytes=", 11, Wanted::Whole),
        ("bytes=,", 11, Wanted::Whole),
        ("bytes 0-1", 11, Wanted::Whole),
        ("lines=0-1", 11, Wanted::Whole),
        ("", 11, Wanted::Whole),
        (&format!("bytes={}", ["0-1"; 16].join(",")), 11, one(0..2)),
        (
            &format!("bytes={}", ["0-1"; 17].join(",")),
            11,
            Wanted::Whole,
        ),
    ] {
        assert_eq!(want(&[("range", range)], &[], total), expected, "{range}");
    }
    let twice = [("range", "bytes=0-1"), ("range", "bytes=0-1")];
    assert_eq!(want(&twice, &[], 11), Wanted::Whole);
}

#[test]
fn only_get_of_a_success_has_ranges_9110_14_2() {
    let (request, stored) = (fields(&[("range", "bytes=0-1")]), HeaderMap::new());
    for (method, status, expected) in [
        (Method::GET, 200, Wanted::One(0..2)),
        (Method::HEAD, 200, Wanted::Whole),
        (Method::POST, 200, Wanted::Whole),
        (Method::GET, 404, Wanted::Whole),
    ] {
        let status = StatusCode::from_u16(status).unwrap();
        let wanted = wanted(&method, &request, status, &stored, 11, received());
        assert_eq!(wanted, expected, "{method} {status}");
    }
}

#[test]
fn if_range_holds_by_a_strong_validator_only_9110_13_1_5() {
    let dated: Lines<'_> = &[("last-modified", MOMENT), ("date", LATER)];
    for (if_range, stored, holds) in [
        ("\"a\"", &[("etag", "\"a\"")][..], true),
        ("\"a\"", &[("etag", "\"b\"")], false),
        ("W/\"a\"", &[("etag", "W/\"a\"")], false),
        ("\"a\"", &[("etag", "W/\"a\"")], false),
        ("\"a\", \"b\"", &[("etag", "\"a\"")], false),
        ("a", &[("etag", "a")], false),
        ("\"a\"", &[], false),
        (MOMENT, dated, true),
        ("Sun Nov  6 08:49:37 1994", dated, true),
        // Exactly, and not merely no earlier.
        (LATER, dated, false),
        // In the same second there may have been another; without a Date nobody knows.
        (
            MOMENT,
            &[("last-modified", MOMENT), ("date", MOMENT)],
            false,
        ),
        (MOMENT, &[("last-modified", MOMENT)], false),
        ("", dated, false),
    ] {
        let wanted = want(
            &[("range", "bytes=0-1"), ("if-range", if_range)],
            stored,
            11,
        );
        let expected = if holds {
            Wanted::One(0..2)
        } else {
            Wanted::Whole
        };
        assert_eq!(wanted, expected, "{if_range} of {stored:?}");
    }
    assert_eq!(
        want(&[("if-range", "\"a\"")], &[("etag", "\"a\"")], 11),
        Wanted::Whole
    );
    let twice = [
        ("range", "bytes=0-1"),
        ("if-range", "\"a\""),
        ("if-range", "\"a\""),
    ];
    assert_eq!(want(&twice, &[("etag", "\"a\"")], 11), Wanted::Whole);
}

#[test]
fn a_206_says_which_bytes_it_has_and_a_416_how_many_there_are_9110_15_3_7() {
    let stored = fields(&[("a", "1"), ("content-length", "11"), ("etag", "\"a\"")]);
    let partial = partial_fields(&stored, &(2..5), 11);
    let expected = [
        ("a", "1"),
        ("content-length", "3"),
        ("etag", "\"a\""),
        ("content-range", "bytes 2-4/11"),
    ];
    assert_eq!(partial, fields(&expected));
    assert_eq!(unsatisfiable_fields(11)[CONTENT_RANGE], "bytes */11");
}

#[test]
fn a_content_range_says_something_that_can_be_or_nothing_9110_14_4() {
    let bytes = |range, total| Some(ContentRange::Bytes(range, total));
    for (text, expected) in [
        ("bytes 0-4/10", bytes(0..5, Some(10))),
        ("Bytes 4-9/10", bytes(4..10, Some(10))),
        ("bytes 4-9/*", bytes(4..10, None)),
        ("bytes */10", Some(ContentRange::Unsatisfied(10))),
        (
            "bytes 0-18446744073709551614/18446744073709551615",
            bytes(0..u64::MAX, Some(u64::MAX)),
        ),
        ("bytes 0-18446744073709551615/*", None),
        ("bytes 0-18446744073709551616/*", None),
        ("bytes 5-4/10", None),
        ("bytes 4-10/10", None),
        ("bytes 4-/10", None),
        ("bytes -4/10", None),
        ("bytes 4-9", None),
        ("bytes */*", None),
        ("bytes=4-9/10", None),
        ("bytes  4-9/10", None),
        ("bytes +4-9/10", None),
        ("lines 4-9/10", None),
        ("", None),
    ] {
        let read = ContentRange::of(&fields(&[("content-range", text)]));
        assert_eq!(read, expected, "{text}");
    }
    let twice = [
        ("content-range", "bytes 0-4/10"),
        ("content-range", "bytes 0-4/10"),
    ];
    assert_eq!(ContentRange::of(&fields(&twice)), None);
}

#[test]
fn a_206_is_stored_if_it_is_one_part_of_a_known_whole_9111_3_3() {
    for (status, headers, stored) in [
        (206, &[("content-range", "bytes 0-4/10")][..], true),
        (
            206,
            &[("content-range", "bytes 0-4/10"), ("content-length", "5")],
            true,
        ),
        (
            206,
            &[("content-range", "bytes 0-4/10"), ("content-length", "6")],
            false,
        ),
        (
            206,
            &[
                ("content-range", "bytes 0-4/10"),
                ("content-length", "5, 5"),
            ],
            false,
        ),
        (206, &[("content-range", "bytes 0-4/*")], false),
        (206, &[("content-range", "bytes */10")], false),
        (
            206,
            &[("content-type", "Multipart/ByteRanges; boundary=a")],
            false,
        ),
        (
            206,
            &[
                ("content-range", "bytes 0-4/10"),
                ("content-type", "multipart/byteranges"),
            ],
            false,
        ),
        (206, &[], false),
        (200, &[("content-range", "bytes 0-4/10")], false),
    ] {
        let part = part_of(StatusCode::from_u16(status).unwrap(), &fields(headers));
        let expected = Part {
            range: 0..5,
            total: 10,
        };
        assert_eq!(part, stored.then_some(expected), "{status} {headers:?}");
    }
}

#[test]
fn parts_are_put_together_by_the_same_strong_validator_only_9111_3_4() {
    let dated: Lines<'_> = &[("last-modified", MOMENT), ("date", LATER)];
    for (stored, partial, combined) in [
        (&[("etag", "\"a\"")][..], &[("etag", "\"a\"")][..], true),
        (&[("etag", "\"a\"")], &[("etag", "\"b\"")], false),
        (&[("etag", "W/\"a\"")], &[("etag", "W/\"a\"")], false),
        (&[("etag", "\"a\"")], &[], false),
        (&[], &[("etag", "\"a\"")], false),
        (&[], &[], false),
        (dated, dated, true),
        (dated, &[("last-modified", MOMENT), ("date", MOMENT)], false),
        (
            dated,
            &[
                ("last-modified", MOMENT),
                ("date", LATER),
                ("etag", "\"a\""),
            ],
            false,
        ),
        (
            &[("etag", "\"a\"")],
            &[("etag", "\"a\""), ("content-encoding", "gzip")],
            false,
        ),
        (
            &[("etag", "\"a\""), ("content-encoding", "gzip")],
            &[("etag", "\"a\"")],
            true,
        ),
    ] {
        let may = may_combine(&fields(stored), &fields(partial), received());
        assert_eq!(may, combined, "{stored:?} {partial:?}");
    }
}

#[test]
fn fields_of_a_part_are_stored_as_those_of_the_whole_9111_3_4() {
    let partial = fields(&[
        ("content-length", "5"),
        ("content-range", "bytes 0-4/10"),
        ("a", "2"),
    ]);
    let first = whole_fields(None, &partial, 10);
    assert_eq!(first, fields(&[("content-length", "10"), ("a", "2")]));
    let stored = fields(&[("content-length", "10"), ("a", "1"), ("b", "1")]);
    let next = whole_fields(Some(&stored), &partial, 10);
    assert_eq!(
        next,
        fields(&[("content-length", "10"), ("a", "2"), ("b", "1")])
    );
}

fn parts(total: u64, pieces: &[Range<u64>]) -> Parts {
    let mut parts = Parts::new(total);
    for range in pieces {
        let bytes: Vec<u8> = range
            .clone()
            .map(|at| u8::try_from(at % 251).unwrap())
            .collect();
        parts = parts.with(range.start, bytes.into()).unwrap();
    }
    parts
}

/// `2..5` as a range.
fn span(text: &str) -> Range<u64> {
    let (start, end) = text.split_once("..").unwrap();
    start.parse().unwrap()..end.parse().unwrap()
}

#[test]
fn what_is_missing_is_asked_for_in_one_range_with_if_range_9111_3_4() {
    let strong: Lines<'_> = &[
        ("etag", "\"a\""),
        ("last-modified", MOMENT),
        ("date", LATER),
    ];
    let dated: Lines<'_> = &[("last-modified", MOMENT), ("date", LATER)];
    for (pieces, wanted, stored, expected) in [
        ("0..5", 0..10, strong, Some(("bytes=5-", "\"a\""))),
        ("0..5", 0..10, dated, Some(("bytes=5-", MOMENT))),
        ("5..10", 0..10, strong, Some(("bytes=0-4", "\"a\""))),
        ("0..2 8..10", 0..10, strong, Some(("bytes=2-7", "\"a\""))),
        ("0..5", 2..7, strong, Some(("bytes=5-6", "\"a\""))),
        ("0..5", 1..4, strong, None),
        ("2..4", 0..10, strong, None),
        ("0..5", 0..11, strong, None),
        (
            "0..5",
            0..10,
            &[
                ("etag", "W/\"a\""),
                ("last-modified", MOMENT),
                ("date", LATER),
            ],
            None,
        ),
        ("0..5", 0..10, &[("last-modified", MOMENT)], None),
        ("0..5", 0..10, &[], None),
    ] {
        let pieces: Vec<_> = pieces.split(' ').map(span).collect();
        let ask = Ask::of(&parts(10, &pieces), &wanted, &fields(stored), received());
        let mut request = fields(&[("range", "bytes=0-0"), ("if-range", "\"x\"")]);
        if let Some(ask) = &ask {
            ask.apply(&mut request);
        }
        let asked = ask.map(|_| {
            (
                request[RANGE].to_str().unwrap(),
                request[IF_RANGE].to_str().unwrap(),
            )
        });
        assert_eq!(asked, expected, "{pieces:?} {wanted:?}");
    }
}

#[test]
fn a_part_never_stands_for_the_whole_9111_3_3() {
    let some = parts(10, &[0..4, 6..10]);
    assert!(!some.is_whole());
    assert_eq!((some.bytes(), some.total()), (8, 10));
    for range in [0..10, 3..5, 5..6, 4..5, 0..11, 10..12] {
        assert_eq!(some.slice(&range), None, "{range:?}");
    }
    for range in [0..4, 1..3, 7..10, 4..4] {
        let bytes = some.slice(&range).unwrap().concat();
        let expected: Vec<u8> = range.map(|at| u8::try_from(at).unwrap()).collect();
        assert_eq!(bytes, expected);
    }
    assert!(parts(0, &[]).is_whole());
}

#[test]
fn what_is_there_is_shared_and_not_copied() {
    let (one, two) = (Bytes::from(vec![1; 10]), Bytes::from(vec![2; 10]));
    let parts = Parts::new(20)
        .with(0, one.clone())
        .unwrap()
        .with(10, two.clone())
        .unwrap();
    let slices = parts.slice(&(5..15)).unwrap();
    assert_eq!(slices[0].as_ptr(), one[5..].as_ptr());
    assert_eq!(slices[1].as_ptr(), two.as_ptr());
}

#[test]
fn pieces_are_bounded_in_place_and_number() {
    let byte = || Bytes::from_static(b"x");
    assert_eq!(Parts::new(1).with(1, byte()), None);
    assert_eq!(Parts::new(u64::MAX).with(u64::MAX, byte()), None);
    let mut parts = Parts::new(1000);
    for at in 0..64 {
        parts = parts.with(at * 3, byte()).unwrap();
    }
    assert_eq!(parts.with(900, byte()), None);
    // One that joins two makes room.
    let parts = parts.with(1, Bytes::from_static(b"xx")).unwrap();
    assert!(parts.with(900, byte()).is_some());
    // Single bytes of one run cost no piece each.
    let run = std::iter::repeat_n(byte(), 1_000_000);
    let parts = Parts::new(1_000_000).with_run(0, run).unwrap();
    assert!(parts.is_whole());
    assert!(parts.slice(&(0..1_000_000)).unwrap().len() <= 1_000_000 / 4096 + 1);
}

fn crossing<T: Send + Sync>(_: &T) {}

#[test]
fn parts_cross_workers() {
    crossing(&Parts::new(0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pieces_in_any_order_give_the_bytes_of_the_whole(
        total in 1_u64..200, cuts in prop::collection::vec((0_u64..200, 0_u64..60, 1_usize..9), 0..40), wanted in (0_u64..210, 0_u64..210),
    ) {
        let whole: Vec<u8> = (0..total).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let mut parts = Parts::new(total);
        let mut there = vec![false; whole.len()];
        for (start, length, chunk) in cuts {
            let range = usize::try_from(start.min(total)).unwrap()..usize::try_from((start + length).min(total)).unwrap();
            let run = whole[range.clone()].chunks(chunk).map(Bytes::copy_from_slice);
            if let Some(more) = parts.with_run(range.start as u64, run) {
                parts = more;
                there[range].fill(true);
            }
        }
        prop_assert_eq!(parts.bytes(), there.iter().filter(|is| **is).count() as u64);
        prop_assert_eq!(parts.is_whole(), there.iter().all(|is| *is));
        let (start, end) = wanted;
        let inside = start <= end && end <= total;
        let range = usize::try_from(start).unwrap()..usize::try_from(end).unwrap();
        let all = inside && there[range.clone()].iter().all(|is| *is);
        let slice = parts.slice(&(start..end));
        prop_assert_eq!(slice.is_some(), all);
        if let Some(slice) = slice {
            prop_assert_eq!(&slice.concat()[..], &whole[range]);
        }
        // The rest, hole by hole, makes it whole.
        while let Some(at) = there.iter().position(|is| !is) {
            let end = at + there[at..].iter().take_while(|is| !**is).count();
            parts = parts.with(at as u64, Bytes::copy_from_slice(&whole[at..end])).unwrap();
            there[at..end].fill(true);
        }
        prop_assert_eq!(parts.slice(&(0..total)).unwrap().concat(), whole);
    }

    #[test]
    fn any_range_is_read_and_lies_within_the_whole(
        range in "(bytes=)?[0-9,\\- ]{0,40}", content in "(bytes )?[0-9/*\\-]{0,40}", bytes in prop::collection::vec(any::<u8>(), 0..30), total in any::<u64>(),
    ) {
        let mut headers = fields(&[("range", &range), ("content-range", &content)]);
        if let Ok(value) = HeaderValue::from_bytes(&bytes) {
            headers.insert(IF_RANGE, value);
        }
        let _ = if_range_holds(&headers, &headers, received());
        headers.remove(IF_RANGE);
        match wanted(&Method::GET, &headers, StatusCode::OK, &HeaderMap::new(), total, received()) {
            Wanted::One(range) => prop_assert!(range.start < range.end && range.end <= total),
            Wanted::Unsatisfiable(of) => prop_assert_eq!(of, total),
            Wanted::Whole => {}
        }
        if let Some(part) = part_of(StatusCode::PARTIAL_CONTENT, &headers) {
            prop_assert!(part.range.start < part.range.end && part.range.end <= part.total);
        }
    }
}
