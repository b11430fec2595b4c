//! When a stale answer may still be given: while the origin is asked, and where it fails. RFC 5861; RFC 9111 §4.2.4.
//! Not what a client asks for, which is `directives`.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use super::table::{Row, Step, caching, get, method, row, run};
use crate::support::{Egret, Origin, until};

const FRESH: &str = "Cache-Control: max-age=600";

/// Stored, and stale for 100 s.
fn stored(more: &str) -> Step {
    get()
        .answer(
            200,
            format!("Cache-Control: max-age=600{more}\nAge: 700\nETag: \"a\""),
        )
        .carrying("first")
}

/// The origin is asked behind the answer.
fn behind(step: Step) -> Step {
    step.behind().body("first")
}

#[test]
fn while_the_origin_is_asked_a_stale_answer_may_do() {
    let newer = || get().answer(200, FRESH).carrying("two");
    run(vec![
        row(
            "within the time that the answer gave",
            "5861 §3",
            [
                stored(", stale-while-revalidate=200"),
                behind(newer()),
                get().body("two"),
            ],
        ),
        row(
            "the origin confirms it",
            "5861 §3",
            [
                stored(", stale-while-revalidate=200"),
                behind(get().answer(304, format!("{FRESH}\nETag: \"a\"")))
                    .sent("If-None-Match: \"a\""),
                get().body("first").age(0..=5),
            ],
        ),
        row(
            "the origin fails: it is as stale as it was",
            "5861 §3",
            [
                stored(", stale-while-revalidate=200"),
                behind(get().answer(500, "X-A: b")),
                behind(newer()),
                get().body("two"),
            ],
        ),
        row(
            "beyond that time",
            "5861 §3",
            [stored(", stale-while-revalidate=50"), newer().body("two")],
        ),
        row(
            "a time that is none",
            "5861 §3",
            [stored(", stale-while-revalidate=soon"), newer().body("two")],
        ),
        row(
            "what must be confirmed is not used",
            "§5.2.2.2",
            [
                stored(", stale-while-revalidate=200, must-revalidate"),
                newer().body("two"),
            ],
        ),
        row(
            "what must be confirmed by a proxy is not used",
            "§5.2.2.8",
            [
                stored(", stale-while-revalidate=200, proxy-revalidate"),
                newer().body("two"),
            ],
        ),
        row(
            "no-cache",
            "§5.2.2.4",
            [
                stored(", stale-while-revalidate=200, no-cache"),
                newer().body("two"),
            ],
        ),
        row(
            "the client insists",
            "§5.2.1.4",
            [
                stored(", stale-while-revalidate=200"),
                newer().with("Cache-Control: no-cache").body("two"),
            ],
        ),
        row(
            "the client wants it younger",
            "§5.2.1.1",
            [
                stored(", stale-while-revalidate=200"),
                newer().with("Cache-Control: max-age=10").body("two"),
            ],
        ),
    ]);
}

/// The origin answers with this error, or not at all.
fn failing(status: Option<u16>) -> Step {
    match status {
        Some(status) => get().answer(status, "X-Failed: yes").carrying("failed"),
        None => get().unanswered(),
    }
}

fn kept(name: &str, more: &str, status: Option<u16>) -> Row {
    let failing = failing(status).status(200).body("first").lacks("X-Failed");
    row(
        format!("{name}, {status:?}"),
        "5861 §4",
        [stored(more), failing],
    )
}

fn told(name: &str, more: &str, status: Option<u16>) -> Row {
    let failing = failing(status).never("first");
    let failing = match status {
        Some(status) => failing.status(status),
        None => failing.status_in(&[502, 504]),
    };
    row(
        format!("{name}, {status:?}"),
        "5861 §4",
        [stored(more), failing],
    )
}

#[test]
fn what_the_origin_has_against_one_client_ends_nothing_that_is_for_all() {
    let newer = || get().answer(200, FRESH).carrying("two");
    let shared = || stored(", stale-while-revalidate=200");
    let mut rows = Vec::new();
    for status in [401, 403, 407] {
        for lines in ["X-A: b", "Cache-Control: max-age=600"] {
            rows.push(row(
                format!("{status}, {lines}"),
                "5861 §3",
                [
                    shared(),
                    behind(get().answer(status, lines).carrying("refused")),
                    behind(newer()),
                    get().body("two"),
                ],
            ));
        }
        rows.push(row(
            format!("{status} is told to a client that asks for itself"),
            "§4.3.3",
            [
                shared(),
                get()
                    .with("Cache-Control: no-cache")
                    .answer(status, "X-A: b")
                    .status(status),
            ],
        ));
    }
    let credentials = "Authorization: Basic eDp5";
    rows.push(row(
        "the client's credentials go with what is asked in its name",
        "§4.3",
        [
            shared(),
            behind(newer()).with(credentials).sent(credentials),
        ],
    ));
    rows.push(row(
        "what they brought is not for all, and ends nothing",
        "§3.5",
        [
            shared(),
            behind(get().answer(304, format!("{FRESH}\nETag: \"a\""))).with(credentials),
            behind(newer()),
            get().body("two"),
        ],
    ));
    rows.push(row(
        "what they brought is for all where it says so",
        "§3.5",
        [
            shared(),
            behind(
                get()
                    .with(credentials)
                    .answer(200, format!("{FRESH}, public"))
                    .carrying("two"),
            ),
            get().body("two"),
        ],
    ));
    run(rows);
}

#[test]
fn where_the_origin_fails_a_stale_answer_may_do() {
    let mut rows = Vec::new();
    for status in [Some(500), Some(502), Some(503), Some(504), None] {
        rows.push(kept(
            "within the time that the answer gave",
            ", stale-if-error=200",
            status,
        ));
        rows.push(told("beyond that time", ", stale-if-error=50", status));
        rows.push(told(
            "what must be confirmed",
            ", stale-if-error=200, must-revalidate",
            status,
        ));
        rows.push(told(
            "what must be confirmed by a proxy",
            ", stale-if-error=200, proxy-revalidate",
            status,
        ));
        rows.push(told("no-cache", ", stale-if-error=200, no-cache", status));
    }
    for status in [400, 403, 404, 410, 429, 501] {
        rows.push(told(
            "an answer that is no such failure",
            ", stale-if-error=200",
            Some(status),
        ));
    }
    run(rows);
}

#[test]
fn a_stale_answer_is_not_given_where_nothing_permits_it() {
    let newer = || get().answer(200, FRESH).carrying("two").body("two");
    run(vec![
        row("nothing said", "§4.2.4", [stored(""), newer()]),
        row(
            "an error of the origin, nothing said",
            "§4.2.4",
            [stored(""), failing(Some(500)).status(500).body("failed")],
        ),
        row(
            "a change is never answered so",
            "§4",
            [
                stored(", stale-if-error=200, stale-while-revalidate=200"),
                method("POST")
                    .answer(500, "X-A: b")
                    .carrying("failed")
                    .body("failed"),
            ],
        ),
        row(
            "fresh, it needs no permission though the origin is gone",
            "§4.2",
            [
                get().answer(200, FRESH).carrying("first"),
                get().unanswered().status(200).body("first"),
            ],
        ),
    ]);
}

#[test]
fn one_request_at_a_time_refreshes_however_many_are_answered_meanwhile() {
    // What is never fresh is each one's own to ask for, but whoever is answered by it stale waits for nothing.
    let (go, goes) = mpsc::channel::<()>();
    let (goes, asked) = (Mutex::new(goes), AtomicUsize::new(0));
    let origin = Origin::http(move |_| {
        let (said, body) = match asked.fetch_add(1, Ordering::SeqCst) {
            0 => ("max-age=0, stale-while-revalidate=600", "first"),
            _ => {
                let _ = goes.lock().unwrap().recv();
                ("max-age=600", "second")
            }
        };
        let length = body.len();
        format!(
            "HTTP/1.1 200 OK\r\nCache-Control: {said}\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    });
    let egret = Egret::start(&caching());
    let request = crate::support::get(&origin.url("/a"), "");
    let ask = || egret.ask(&request).text();
    for _ in 0..20 {
        assert_eq!(ask(), "first");
    }
    // Whoever asks now is let go.
    drop(go);
    until("what was fetched behind them", || ask() == "second");
    assert_eq!(origin.requests().len(), 2);
}
