//! What each answer says of its way through the cache: `Cache-Status`. RFC 9211.
//! Not whether it is right, which the other tables show.

use super::table::{Row, Step, get, head, method, row, run, run_with};
use crate::support::Config;

const FRESH: &str = "Cache-Control: max-age=600";

fn stored(lines: &str) -> Step {
    get()
        .answer(200, format!("{FRESH}\n{lines}"))
        .carrying("one")
}

fn says(name: &str, steps: impl IntoIterator<Item = Step>) -> Row {
    row(name, "9211 §2", steps)
}

#[test]
fn each_answer_says_where_it_comes_from() {
    let tagged = || stored("Age: 700\nETag: \"a\"");
    run(vec![
        says(
            "the first",
            [stored("X-A: b").says("fwd=uri-miss stored !hit")],
        ),
        says(
            "one that is not stored",
            [get()
                .answer(200, "Cache-Control: no-store")
                .says("fwd=uri-miss !stored !hit")],
        ),
        says(
            "the second",
            [stored("X-A: b"), get().says("hit ttl !fwd !stored")],
        ),
        says(
            "a HEAD of what is stored",
            [stored("X-A: b"), head().says("hit")],
        ),
        says(
            "a part of what is stored",
            [
                stored("ETag: \"a\""),
                get()
                    .with("Range: bytes=0-1")
                    .status(206)
                    .body("on")
                    .says("hit"),
            ],
        ),
        says(
            "a client's question answered",
            [
                stored("ETag: \"a\""),
                get().with("If-None-Match: \"a\"").status(304).says("hit"),
            ],
        ),
        says(
            "another value of what it depends on",
            [
                stored("Vary: A").with("A: 1"),
                stored("Vary: A").with("A: 2").says("fwd=vary-miss stored"),
            ],
        ),
        says(
            "stale, and confirmed",
            [
                tagged(),
                get()
                    .answer(304, "ETag: \"a\"")
                    .status(200)
                    .says("fwd=stale fwd-status=304 !hit"),
            ],
        ),
        says(
            "stale, and replaced",
            [tagged(), stored("ETag: \"b\"").says("fwd=stale stored")],
        ),
        says(
            "the client insists",
            [
                stored("X-A: b"),
                stored("X-A: b")
                    .with("Cache-Control: no-cache")
                    .says("fwd=request"),
            ],
        ),
        says(
            "the client wants it younger",
            [
                stored("Age: 50"),
                stored("X-A: b")
                    .with("Cache-Control: max-age=10")
                    .says("fwd=request"),
            ],
        ),
        says(
            "a method that is not cached",
            [method("POST").answer(200, FRESH).says("fwd=method !hit")],
        ),
        says(
            "nothing cached, and only that was asked for",
            [get()
                .with("Cache-Control: only-if-cached")
                .status(504)
                .says("!hit")],
        ),
        says(
            "stale, while the origin is asked",
            [
                get().answer(
                    200,
                    "Cache-Control: max-age=600, stale-while-revalidate=900\nAge: 700",
                ),
                get().answer(200, FRESH).behind().says("hit"),
            ],
        ),
    ]);
}

#[test]
fn a_hit_says_how_long_it_is_fresh() {
    run(vec![
        says("fresh", [stored("X-A: b"), get().says("hit ttl !ttl=0")]),
        says(
            "stale by a hundred seconds",
            [
                stored("Age: 700"),
                get()
                    .with("Cache-Control: max-stale")
                    .says("hit ttl !ttl=0 !ttl=500"),
            ],
        ),
    ]);
}

#[test]
fn what_caches_before_said_is_kept() {
    run(vec![says(
        "a list",
        [
            stored("Cache-Status: behind; hit")
                .has("Cache-Status")
                .says("fwd=uri-miss stored"),
            get().says("hit"),
        ],
    )]);
}

#[test]
fn a_rule_without_a_cache_says_so_or_nothing() {
    let off = Config::closed()
        .rule("name = \"loopback\"\nallow = { cache = false }\naddress = \"127.0.0.0/8\"")
        .cache();
    run_with(
        &off,
        vec![says(
            "never stored",
            [
                stored("X-A: b").says("!hit !stored").maybe(),
                stored("X-A: b"),
            ],
        )],
    );
}
