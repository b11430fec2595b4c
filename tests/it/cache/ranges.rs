//! Parts: of what is stored whole, of what is stored in parts, and what parts may become. RFC 9110 §14; RFC 9111 §3.3, §3.4.
//! Not content that broke off, which is `storing`.

use super::table::{Row, Step, get, head, method, row, run};

const FRESH: &str = "Cache-Control: max-age=600";
const TEXT: &str = "0123456789";

fn whole(lines: &str) -> Step {
    get()
        .answer(200, format!("{FRESH}\n{lines}"))
        .carrying(TEXT)
}

/// The origin gives a part.
fn part(range: &str, content_range: &str, body: &str, lines: &str) -> Step {
    get()
        .with(format!("Range: bytes={range}"))
        .answer(
            206,
            format!("{FRESH}\nContent-Range: bytes {content_range}\n{lines}"),
        )
        .carrying(body)
}

/// A part that the cache gives.
fn given(range: &str, content_range: &str, body: &str) -> Step {
    get()
        .with(format!("Range: {range}"))
        .status(206)
        .body(body)
        .has(&format!(
            "Content-Range: bytes {content_range}\nContent-Length: {}",
            body.len()
        ))
}

fn from_whole(range: &str, content_range: &str, body: &str) -> Row {
    row(
        format!("{range} of ten bytes"),
        "9110 §14.2",
        [whole("ETag: \"a\""), given(range, content_range, body)],
    )
}

/// A field that is to be passed over: the whole comes.
fn passed_over(name: &str, clause: &'static str, range: &str) -> Row {
    row(
        name,
        clause,
        [
            whole("ETag: \"a\""),
            get().with(range).body(TEXT).lacks("Content-Range"),
        ],
    )
}

#[test]
fn a_part_of_what_is_stored_whole_is_given_from_it() {
    run(vec![
        from_whole("bytes=0-0", "0-0/10", "0"),
        from_whole("bytes=0-3", "0-3/10", "0123"),
        from_whole("bytes=4-", "4-9/10", "456789"),
        from_whole("bytes=-3", "7-9/10", "789"),
        from_whole("bytes=-30", "0-9/10", TEXT),
        from_whole("bytes=8-99", "8-9/10", "89"),
        from_whole("bytes=0-", "0-9/10", TEXT),
        from_whole("bytes=8-99999999999999999999999", "8-9/10", "89"),
        from_whole("BYTES=0-3", "0-3/10", "0123"),
        passed_over("another unit", "9110 §14.2", "Range: lines=0-3"),
        passed_over("no unit", "9110 §14.2", "Range: 0-3"),
        passed_over("a last before a first", "9110 §14.1.1", "Range: bytes=3-0"),
        passed_over("letters", "9110 §14.1.1", "Range: bytes=a-b"),
        passed_over("nothing", "9110 §14.1.1", "Range: bytes="),
        passed_over("a dash", "9110 §14.1.1", "Range: bytes=-"),
        passed_over("signs", "9110 §14.1.1", "Range: bytes=+0-+3"),
        passed_over("less than nothing", "9110 §14.1.1", "Range: bytes=--3"),
        row(
            "the fields of the whole go with it",
            "9110 §15.3.7",
            [
                whole("ETag: \"a\"\nLast-Modified: {now-60}\nContent-Type: a/b\nVary: A\nX-A: b"),
                given("bytes=0-3", "0-3/10", "0123").has(
                    "ETag: \"a\"\nCache-Control: max-age=600\nVary: A\nContent-Type: a/b\nAge",
                ),
            ],
        ),
        row(
            "of what came in chunks",
            "9110 §14.2",
            [
                whole("ETag: \"a\"").chunked(),
                given("bytes=0-3", "0-3/10", "0123"),
            ],
        ),
        row(
            "HEAD has no parts",
            "9110 §14.2",
            [
                whole("ETag: \"a\""),
                head().with("Range: bytes=0-3").status(200),
            ],
        ),
        row(
            "of an error there are no parts",
            "9110 §14.2",
            [
                get().answer(404, FRESH).carrying(TEXT),
                get().with("Range: bytes=0-3").status(404).body(TEXT),
            ],
        ),
        row(
            "a condition comes first",
            "9110 §13.2.2",
            [
                whole("ETag: \"a\""),
                get()
                    .with("Range: bytes=0-3\nIf-None-Match: \"a\"")
                    .status(304),
            ],
        ),
    ]);
}

#[test]
fn a_part_that_is_not_there_is_refused_with_what_is() {
    let refused = |range: &str| {
        row(
            format!("{range} of ten bytes"),
            "9110 §15.5.17",
            [
                whole("ETag: \"a\""),
                get()
                    .with(format!("Range: {range}"))
                    .status(416)
                    .has("Content-Range: bytes */10")
                    .never(TEXT),
                get().body(TEXT),
            ],
        )
    };
    run(vec![
        refused("bytes=10-"),
        refused("bytes=99-100"),
        refused("bytes=-0"),
        refused("bytes=99999999999999999999-"),
        row(
            "of nothing",
            "9110 §15.5.17",
            [
                get().answer(200, FRESH).carrying(""),
                get()
                    .with("Range: bytes=0-3")
                    .status_in(&[200, 416])
                    .body(""),
            ],
        ),
    ]);
}

#[test]
fn several_parts_are_given_apart_or_whole() {
    run(vec![
        row(
            "two parts",
            "9110 §14.2",
            [
                whole("ETag: \"a\""),
                get()
                    .with("Range: bytes=0-1,8-9")
                    .status_in(&[200, 206])
                    .maybe()
                    .has("ETag: \"a\""),
            ],
        ),
        row(
            "many overlapping parts are no way to make much of little",
            "9110 §14.2",
            [
                whole("ETag: \"a\""),
                get()
                    .with(format!("Range: bytes=0-{}", ",0-".repeat(200)))
                    .status_in(&[200, 416])
                    .maybe(),
            ],
        ),
        row(
            "one that is there and one that is not",
            "9110 §14.2",
            [
                whole("ETag: \"a\""),
                get()
                    .with("Range: bytes=0-1,90-91")
                    .status_in(&[200, 206])
                    .maybe(),
            ],
        ),
    ]);
}

#[test]
fn a_part_is_given_only_of_what_the_client_has_the_rest_of() {
    let if_range = |name: &str, lines: &str, condition: &str, is_part: bool| {
        let second = get().with(format!("Range: bytes=0-3\nIf-Range: {condition}"));
        let second = if is_part {
            second.status(206).body("0123")
        } else {
            second.status(200).body(TEXT)
        };
        row(name, "9110 §13.1.5", [whole(lines), second])
    };
    let old = "Date: {now}\nLast-Modified: {now-864000}";
    run(vec![
        if_range("the tag", "ETag: \"a\"", "\"a\"", true),
        if_range("another tag", "ETag: \"a\"", "\"b\"", false),
        if_range(
            "a weak tag is never the same",
            "ETag: W/\"a\"",
            "W/\"a\"",
            false,
        ),
        if_range(
            "a weak tag is not the strong",
            "ETag: \"a\"",
            "W/\"a\"",
            false,
        ),
        if_range("the date", old, "{now-864000}", true),
        if_range("an earlier date", old, "{now-864001}", false),
        if_range("a later date is another as well", old, "{now-60}", false),
        if_range(
            "a date where the answer has none",
            "ETag: \"a\"",
            "{now-60}",
            false,
        ),
        if_range("a word", "ETag: \"a\"", "a", false),
    ]);
}

#[test]
fn a_part_is_never_the_whole() {
    run(vec![
        row(
            "the whole is asked for after a part",
            "§3.3",
            [
                part("0-3", "0-3/10", "0123", "ETag: \"a\""),
                get()
                    .answer(200, format!("{FRESH}\nETag: \"a\""))
                    .carrying(TEXT)
                    .maybe()
                    .status(200)
                    .body(TEXT),
            ],
        ),
        row(
            "a part without a validator",
            "§3.4",
            [
                part("0-3", "0-3/10", "0123", "X-A: b"),
                whole("X-A: b").body(TEXT),
            ],
        ),
        row(
            "a part of what has another tag now",
            "§3.4",
            [
                part("0-4", "0-4/10", "01234", "ETag: \"a\""),
                part("5-9", "5-9/10", "56789", "ETag: \"b\""),
                whole("ETag: \"b\"")
                    .carrying("ABCDE56789")
                    .maybe()
                    .never("01234"),
            ],
        ),
        row(
            "parts with weak tags",
            "§3.4",
            [
                part("0-4", "0-4/10", "01234", "ETag: W/\"a\""),
                part("5-9", "5-9/10", "56789", "ETag: W/\"a\""),
                whole("ETag: W/\"a\"").body(TEXT),
            ],
        ),
        row(
            "a part that lies about itself",
            "9110 §15.3.7",
            [
                part("0-3", "0-9/10", "0123", "ETag: \"a\"").maybe(),
                whole("ETag: \"a\"").body(TEXT),
            ],
        ),
        row(
            "a part of a length that nobody knows",
            "§3.4",
            [
                part("0-3", "0-3/*", "0123", "ETag: \"a\""),
                whole("ETag: \"a\"").maybe().body(TEXT),
            ],
        ),
        row(
            "a part in answer to nothing",
            "9110 §15.3.7",
            [
                get()
                    .answer(206, format!("{FRESH}\nContent-Range: bytes 0-3/10"))
                    .carrying("0123")
                    .status_in(&[206, 502]),
                whole("X-A: b").body(TEXT),
            ],
        ),
        row(
            "several parts in one answer",
            "§3.4",
            [
                get()
                    .with("Range: bytes=0-1,8-9")
                    .answer(
                        206,
                        format!("{FRESH}\nContent-Type: multipart/byteranges; boundary=x"),
                    )
                    .carrying("--x\r\nContent-Range: bytes 0-1/10\r\n\r\n01\r\n--x--\r\n"),
                whole("X-A: b").body(TEXT),
            ],
        ),
        row(
            "another unit",
            "§3.3",
            [
                get()
                    .with("Range: lines=0-3")
                    .answer(
                        206,
                        format!("{FRESH}\nContent-Range: lines 0-3/10\nETag: \"a\""),
                    )
                    .carrying("0123"),
                whole("ETag: \"a\"").body(TEXT),
            ],
        ),
        row(
            "a HEAD after a part",
            "§3.3",
            [
                part("0-3", "0-3/10", "0123", "ETag: \"a\""),
                head()
                    .answer(200, FRESH)
                    .carrying(TEXT)
                    .maybe()
                    .status(200)
                    .lacks("Content-Range"),
            ],
        ),
    ]);
}

#[test]
fn a_part_is_used_for_what_it_has() {
    let stored = || part("0-4", "0-4/10", "01234", "ETag: \"a\"");
    run(vec![
        row(
            "the same part",
            "§3.3",
            [stored(), given("bytes=0-4", "0-4/10", "01234")],
        ),
        row(
            "less of it",
            "§3.3",
            [stored(), given("bytes=1-2", "1-2/10", "12")],
        ),
        row(
            "more than it",
            "§3.3",
            [
                stored(),
                get()
                    .with("Range: bytes=3-7")
                    .answer(
                        206,
                        format!("{FRESH}\nContent-Range: bytes 3-7/10\nETag: \"a\""),
                    )
                    .carrying("34567")
                    .maybe()
                    .status(206)
                    .never("nobody"),
            ],
        ),
        row(
            "the end of it, counted from the end of the whole",
            "§3.3",
            [
                part("5-9", "5-9/10", "56789", "ETag: \"a\""),
                given("bytes=-2", "8-9/10", "89"),
            ],
        ),
        row(
            "all of it that is left",
            "§3.3",
            [
                part("5-9", "5-9/10", "56789", "ETag: \"a\""),
                given("bytes=7-", "7-9/10", "789"),
            ],
        ),
        row(
            "stale, it is asked for again",
            "§4.2",
            [
                part("0-4", "0-4/10", "01234", "ETag: \"a\"\nAge: 700"),
                part("0-4", "0-4/10", "abcde", "ETag: \"b\"").body("abcde"),
            ],
        ),
        row(
            "two parts with one strong tag are one whole",
            "§3.4",
            [
                stored(),
                part("5-9", "5-9/10", "56789", "ETag: \"a\""),
                get()
                    .status(200)
                    .body(TEXT)
                    .lacks("Content-Range")
                    .has("Content-Length: 10"),
            ],
        ),
        row(
            "two parts that overlap",
            "§3.4",
            [
                part("0-6", "0-6/10", "0123456", "ETag: \"a\""),
                part("5-9", "5-9/10", "56789", "ETag: \"a\""),
                get().status(200).body(TEXT),
            ],
        ),
        row(
            "two parts with a gap between",
            "§3.4",
            [
                part("0-2", "0-2/10", "012", "ETag: \"a\""),
                part("7-9", "7-9/10", "789", "ETag: \"a\""),
                given("bytes=7-8", "7-8/10", "78"),
                given("bytes=0-1", "0-1/10", "01"),
            ],
        ),
        row(
            "the newer fields count",
            "§3.4",
            [
                part("0-4", "0-4/10", "01234", "ETag: \"a\"\nX-A: old"),
                part("5-9", "5-9/10", "56789", "ETag: \"a\"\nX-A: new"),
                get().status(200).body(TEXT).has("X-A: new"),
            ],
        ),
        row(
            "a part, where a whole is stored, does not spoil it",
            "§3.4",
            [
                whole("ETag: \"a\""),
                part("0-4", "0-4/10", "01234", "ETag: \"a\"")
                    .with("Cache-Control: no-cache")
                    .maybe()
                    .status(206),
                get().body(TEXT),
            ],
        ),
        row(
            "a refusal is not kept for other parts",
            "9110 §15.5.17",
            [
                get()
                    .with("Range: bytes=90-")
                    .answer(416, format!("{FRESH}\nContent-Range: bytes */10")),
                whole("ETag: \"a\"").body(TEXT),
            ],
        ),
        row(
            "a change ends it",
            "§4.4",
            [stored(), method("PUT").answer(204, "X-A: b"), stored()],
        ),
    ]);
}
