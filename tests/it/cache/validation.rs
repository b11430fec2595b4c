//! Asking the origin whether a stored answer still stands, and answering a client's own question from it. RFC 9111 §3.2, §4.3.
//! Not when it must be asked, which is `freshness` and `directives`.

use super::table::{Row, Step, get, head, row, run};

const TAG: &str = "ETag: \"a\"";
const OLD: &str = "Last-Modified: {now-864000}";
/// Stale from the start.
const SPENT: &str = "Cache-Control: max-age=0";
const FRESH: &str = "Cache-Control: max-age=600";

fn said(lines: &[&str]) -> String {
    lines.join("\n")
}

/// Stored, and stale.
fn stored(lines: &[&str]) -> Step {
    let lines = [&[SPENT], lines].concat();
    get().answer(200, said(&lines)).carrying("one")
}

/// The origin confirms, with these lines.
fn confirmed(lines: &[&str]) -> Step {
    get().answer(304, said(lines)).status(200).body("one")
}

#[test]
fn the_origin_is_asked_with_the_validators_that_it_gave() {
    let weak = "ETag: W/\"a\"";
    let asks = |name: &str, lines: &[&str], sent: &str, unsent: &str| {
        row(
            name,
            "§4.3.1",
            [stored(lines), confirmed(lines).sent(sent).unsent(unsent)],
        )
    };
    run(vec![
        asks(
            "a strong tag",
            &[TAG],
            "If-None-Match: \"a\"",
            "If-Modified-Since",
        ),
        asks(
            "a weak tag",
            &[weak],
            "If-None-Match: W/\"a\"",
            "If-Modified-Since",
        ),
        asks(
            "a tag that is empty",
            &["ETag: \"\""],
            "If-None-Match: \"\"",
            "If-Modified-Since",
        ),
        asks(
            "a tag with a comma",
            &["ETag: \"a,b\""],
            "If-None-Match: \"a,b\"",
            "If-Modified-Since",
        ),
        asks(
            "a date",
            &[OLD],
            "If-Modified-Since: {now-864000}",
            "If-None-Match",
        ),
        asks(
            "both",
            &[TAG, OLD],
            "If-None-Match: \"a\"\nIf-Modified-Since: {now-864000}",
            "If-Range",
        ),
        row(
            "neither",
            "§4.3.1",
            [
                stored(&[]),
                get()
                    .answer(200, SPENT)
                    .unsent("If-None-Match\nIf-Modified-Since"),
            ],
        ),
        row(
            "what is fresh and must not be used unasked",
            "§5.2.2.4",
            [
                get()
                    .answer(200, said(&["Cache-Control: no-cache, max-age=600", TAG]))
                    .carrying("one"),
                confirmed(&[TAG]).sent("If-None-Match: \"a\""),
            ],
        ),
        row(
            "the fields that it was selected by go with it",
            "§4.3.1",
            [
                stored(&[TAG, "Vary: A"]).with("A: 1"),
                confirmed(&[TAG])
                    .with("A: 1")
                    .sent("If-None-Match: \"a\"\nA: 1"),
            ],
        ),
    ]);
}

#[test]
fn what_the_origin_says_then_stands() {
    run(vec![
        row(
            "confirmed, it is fresh again",
            "§4.3.4",
            [
                stored(&[TAG]),
                confirmed(&[TAG, FRESH]),
                get().body("one").age(0..=5),
            ],
        ),
        row(
            "confirmed without a lifetime, it keeps the one it had",
            "§3.2",
            [
                get()
                    .answer(200, said(&["Cache-Control: max-age=600\nAge: 700", TAG]))
                    .carrying("one"),
                confirmed(&[TAG]),
                get().body("one").age(0..=5),
            ],
        ),
        row(
            "confirmed by date",
            "§4.3.4",
            [stored(&[OLD]), confirmed(&[FRESH]), get().body("one")],
        ),
        row(
            "another comes in its place",
            "§4.3.3",
            [
                stored(&[TAG]),
                get()
                    .answer(200, said(&["ETag: \"b\"", FRESH]))
                    .carrying("two")
                    .body("two"),
                get().body("two"),
            ],
        ),
        row(
            "another, which may not be kept",
            "§4.3.3",
            [
                stored(&[TAG]),
                get()
                    .answer(200, "Cache-Control: no-store")
                    .carrying("two")
                    .body("two"),
                get().answer(200, SPENT).carrying("three").body("three"),
            ],
        ),
        row(
            "it is gone",
            "§4.3.3",
            [
                stored(&[TAG]),
                get().answer(404, SPENT).carrying("two").body("two"),
            ],
        ),
        row(
            "a failure is passed on where nothing permits the stale answer",
            "§4.3.3",
            [
                get()
                    .answer(
                        200,
                        said(&["Cache-Control: max-age=0, must-revalidate", TAG]),
                    )
                    .carrying("one"),
                get().answer(500, SPENT).carrying("two").body("two"),
                confirmed(&[TAG]),
            ],
        ),
        row(
            "a confirmation of what is not stored confirms nothing",
            "§4.3.4",
            [
                stored(&[TAG]),
                get()
                    .answer(304, "ETag: \"other\"\nX-New: new")
                    .maybe()
                    .status_in(&[200, 304, 502]),
                get()
                    .answer(200, said(&[SPENT, TAG]))
                    .carrying("one")
                    .honest()
                    .body("one")
                    .lacks("X-New"),
            ],
        ),
    ]);
}

#[test]
fn a_confirmation_changes_the_fields_and_not_the_content() {
    let update = |name: &str, clause: &'static str, before: &str, after: &str, then: &str| {
        row(
            name,
            clause,
            [
                stored(&[TAG, before]),
                confirmed(&[TAG, FRESH, after]).has(then),
                get().body("one").has(then),
            ],
        )
    };
    run(vec![
        update(
            "a field is replaced",
            "§3.2",
            "X-A: old",
            "X-A: new",
            "X-A: new",
        ),
        update(
            "all its lines are",
            "§3.2",
            "X-A: old\nX-A: older",
            "X-A: new",
            "X-A: new",
        ),
        update(
            "a field is added",
            "§3.2",
            "X-B: b",
            "X-A: new",
            "X-A: new\nX-B: b",
        ),
        update(
            "a field that is not named stays",
            "§3.2",
            "X-A: old",
            "X-B: b",
            "X-A: old",
        ),
        update(
            "the type",
            "§3.2",
            "Content-Type: text/a",
            "Content-Type: text/b",
            "Content-Type: text/b",
        ),
        update(
            "not the length",
            "§3.2",
            "X-A: b",
            "Content-Length: 3",
            "Content-Length: 3",
        ),
        update(
            "a policy",
            "§3.2",
            "Content-Security-Policy: a",
            "Content-Security-Policy: b",
            "Content-Security-Policy: b",
        ),
        update(
            "the date of change",
            "§3.2",
            OLD,
            "Last-Modified: {now-10}",
            "Last-Modified: {now-10}",
        ),
        update(
            "the date",
            "§3.2",
            "Date: {now-100}",
            "Date: {now-1}",
            "Date: {now-1}",
        ),
        row(
            "another length is not believed",
            "§3.2",
            [
                stored(&[TAG]),
                confirmed(&[TAG, FRESH, "Content-Length: 99"]).has("Content-Length: 3"),
                get().body("one").has("Content-Length: 3"),
            ],
        ),
        row(
            "what a hop says changes nothing",
            "§3.1",
            [
                stored(&[TAG, "X-Hop: old"]),
                confirmed(&[
                    TAG,
                    FRESH,
                    "Connection: X-Hop\nX-Hop: hop\nKeep-Alive: timeout=5",
                ]),
                get().body("one").has("X-Hop: old").lacks("Keep-Alive"),
            ],
        ),
        row(
            "a lifetime that ended is over at once",
            "§3.2",
            [
                get()
                    .answer(200, said(&["Cache-Control: no-cache, max-age=600", TAG]))
                    .carrying("one"),
                confirmed(&[TAG, SPENT]),
                confirmed(&[TAG]).sent("If-None-Match: \"a\""),
            ],
        ),
    ]);
}

#[test]
fn several_stored_answers_are_asked_about_at_once() {
    let varied = |a: &str, tag: &str| {
        get()
            .with(format!("A: {a}"))
            .answer(200, format!("{FRESH}\nVary: A\nETag: \"{tag}\""))
    };
    run(vec![row(
        "the one that the origin names is used",
        "§4.3.1, §4.3.4",
        [
            varied("1", "a").carrying("one"),
            varied("2", "b").carrying("two"),
            get()
                .with("A: 3")
                .answer(304, format!("{FRESH}\nVary: A\nETag: \"b\""))
                .status(200)
                .body("two"),
        ],
    )]);
}

/// A fresh stored answer with a tag and a date, then a client's condition.
fn question(name: &str, clause: &'static str, condition: &str, status: u16) -> Row {
    let body = if status == 304 { "" } else { "one" };
    row(
        name,
        clause,
        [
            get()
                .answer(
                    200,
                    said(&[FRESH, TAG, OLD, "Vary: B", "Content-Type: a/b"]),
                )
                .carrying("one"),
            get().with(condition).status(status).body(body),
        ],
    )
}

#[test]
fn a_client_that_asks_is_answered_from_what_is_fresh() {
    run(vec![
        question("its tag", "§4.3.2", "If-None-Match: \"a\"", 304),
        question("its tag, called weak", "9110 §13.1.2", "If-None-Match: W/\"a\"", 304),
        question("its tag among others", "9110 §13.1.2", "If-None-Match: \"x\", \"y, z\", \"a\"", 304),
        question("its tag in a second line", "9110 §13.1.2", "If-None-Match: \"x\"\nIf-None-Match: \"a\"", 304),
        question("anything", "9110 §13.1.2", "If-None-Match: *", 304),
        question("another tag", "§4.3.2", "If-None-Match: \"b\"", 200),
        question("a tag with it inside", "9110 §13.1.2", "If-None-Match: \"b, \\\"a\\\"\"", 200),
        question("the tag in another case", "9110 §8.8.3", "If-None-Match: \"A\"", 200),
        question("the day of change", "§4.3.2", "If-Modified-Since: {now-864000}", 304),
        question("later", "§4.3.2", "If-Modified-Since: {now-1000}", 304),
        question("earlier", "§4.3.2", "If-Modified-Since: {now-864001}", 200),
        question("a date that is none", "9110 §13.1.3", "If-Modified-Since: once", 200),
        question("another tag, and a later date", "9110 §13.2.2", "If-None-Match: \"b\"\nIf-Modified-Since: {now-1000}", 200),
        question("its tag, and an earlier date", "9110 §13.2.2", "If-None-Match: \"a\"\nIf-Modified-Since: {now-865000}", 304),
        row(
            "what 304 must tell",
            "9110 §15.4.5",
            [
                get().answer(200, said(&[FRESH, TAG, OLD, "Vary: B", "Content-Location: /c", "Date: {now-5}"])),
                get().with("If-None-Match: \"a\"").status(304).has("ETag: \"a\"\nVary: B\nContent-Location: /c\nCache-Control: max-age=600\nDate: {now-5}"),
            ],
        ),
        row(
            "HEAD asks as well",
            "§4.3.2",
            [
                get().answer(200, said(&[FRESH, TAG])),
                head().with("If-None-Match: \"a\"").status(304),
            ],
        ),
        row(
            "a date where none was given, the answer's own",
            "§4.3.2",
            [
                get().answer(200, said(&[FRESH, "Date: {now-50}"])),
                get().with("If-Modified-Since: {now-20}").maybe().status_in(&[200, 304]),
            ],
        ),
        row(
            "weak and stored as weak",
            "§4.3.2",
            [
                get().answer(200, said(&[FRESH, "ETag: W/\"a\""])),
                get().with("If-None-Match: \"a\"").status(304),
            ],
        ),
        row(
            "what is no 200 is not turned into 304",
            "9110 §13.2.1",
            [
                get().answer(404, said(&[FRESH, TAG])),
                get().with("If-None-Match: \"a\"").status(404),
            ],
        ),
    ]);
}

#[test]
fn a_client_that_asks_of_what_is_stale_hears_what_the_origin_says() {
    let again = |lines: &[&str]| {
        let lines = [&[FRESH], lines].concat();
        get().answer(200, said(&lines)).carrying("two").honest()
    };
    run(vec![
        row(
            "the client has what the cache has",
            "§4.3.2",
            [
                stored(&[TAG]),
                again(&[TAG])
                    .with("If-None-Match: \"a\"")
                    .status(304)
                    .body(""),
                get().body("one"),
            ],
        ),
        row(
            "the client has something else, the cache what the origin has",
            "§4.3.2",
            [
                stored(&[TAG]),
                again(&[TAG]).with("If-None-Match: \"b\"").status(200),
                get(),
            ],
        ),
        row(
            "the client has what the origin has, the cache something else",
            "§4.3.2",
            [
                stored(&[TAG]),
                again(&["ETag: \"b\""])
                    .with("If-None-Match: \"b\"")
                    .status_in(&[200, 304])
                    .never("one"),
            ],
        ),
        row(
            "the client asks of what is not stored",
            "§4.3.3",
            [
                get()
                    .with("If-None-Match: \"a\"")
                    .answer(304, said(&[FRESH, TAG]))
                    .status(304),
                get().answer(200, FRESH).carrying("one").body("one"),
            ],
        ),
        row(
            "a date that the client has",
            "§4.3.2",
            [
                stored(&[OLD]),
                again(&[OLD])
                    .with("If-Modified-Since: {now-864000}")
                    .status(304),
            ],
        ),
        row(
            "what the client did not ask with, it is not told",
            "§4.3.3",
            [stored(&[TAG]), again(&[TAG]).status(200).body("one")],
        ),
    ]);
}

#[test]
fn a_head_tells_of_the_get_that_is_stored() {
    let kept = |lines: &[&str]| {
        let lines = [&[FRESH], lines].concat();
        get().answer(200, said(&lines)).carrying("one")
    };
    let asked = |lines: &[&str]| {
        head()
            .with("Cache-Control: no-cache")
            .answer(200, said(lines))
            .carrying("one")
    };
    run(vec![
        row(
            "the same tag and length bring the fields up to date",
            "§4.3.5",
            [
                kept(&[TAG, "X-A: old"]),
                asked(&[TAG, FRESH, "X-A: new"]),
                get().body("one").has("X-A: new"),
            ],
        ),
        row(
            "another length shows that it is another",
            "§4.3.5",
            [
                kept(&[]),
                asked(&[FRESH, "Content-Length: 9"]),
                get().answer(200, FRESH).carrying("two").body("two"),
            ],
        ),
        row(
            "another tag shows that it is another",
            "§4.3.5",
            [
                kept(&[TAG]),
                asked(&[FRESH, "ETag: \"b\""]),
                get().answer(200, FRESH).carrying("two").body("two"),
            ],
        ),
        row(
            "another date shows that it is another",
            "§4.3.5",
            [
                kept(&[OLD]),
                asked(&[FRESH, "Last-Modified: {now-10}"]),
                get().answer(200, FRESH).carrying("two").body("two"),
            ],
        ),
        row(
            "an error says nothing of it",
            "§4.3.5",
            [
                get().answer(200, said(&[FRESH, TAG])).carrying("one"),
                head()
                    .with("Cache-Control: no-cache")
                    .answer(500, "Content-Length: 9"),
                get().body("one"),
            ],
        ),
    ]);
}
