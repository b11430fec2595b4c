//! Each directive, in a request and in an answer, and the fields beside them. RFC 9111 §5; RFC 8246.
//! Not whether an answer is stored, which is `storing`.

use super::table::{Row, Step, get, row, run};

const FRESH: &str = "Cache-Control: max-age=600";

/// Stored, this old when it came.
fn aged(age: u64) -> Step {
    get()
        .answer(200, format!("{FRESH}\nAge: {age}"))
        .carrying("one")
}

/// A request with this directive, to what came so old: the cache answers.
fn served(directive: &str, age: u64, clause: &'static str) -> Row {
    let name = format!("{directive} of what is {age} s old and lives 600 s");
    let second = get()
        .with(format!("Cache-Control: {directive}"))
        .body("one");
    row(name, clause, [aged(age), second])
}

fn asked(directive: &str, age: u64, clause: &'static str) -> Row {
    let name = format!("{directive} of what is {age} s old and lives 600 s");
    let second = get().with(format!("Cache-Control: {directive}"));
    row(
        name,
        clause,
        [
            aged(age),
            second.answer(200, FRESH).carrying("two").body("two"),
        ],
    )
}

#[test]
fn a_request_may_ask_for_more_or_less() {
    run(vec![
        served("max-age=1000", 100, "§5.2.1.1"),
        asked("max-age=50", 100, "§5.2.1.1"),
        asked("max-age=0", 0, "§5.2.1.1"),
        asked("MAX-AGE=50", 100, "§5.2.1.1"),
        asked("max-age=\"50\"", 100, "§5.2.1.1"),
        served("max-age=99999999999999999999", 100, "§5.2.1.1"),
        served("max-stale=200", 700, "§5.2.1.2"),
        served("max-stale", 700, "§5.2.1.2"),
        asked("max-stale=50", 700, "§5.2.1.2"),
        served("max-stale=50", 100, "§5.2.1.2"),
        served("max-age=50, max-stale=200", 100, "§5.2.1.2"),
        asked("max-age=50, max-stale=20", 100, "§5.2.1.2"),
        served("min-fresh=100", 100, "§5.2.1.3"),
        asked("min-fresh=550", 100, "§5.2.1.3"),
        asked("no-cache", 0, "§5.2.1.4"),
        asked("NO-CACHE", 0, "§5.2.1.4"),
        asked("x, no-cache", 0, "§5.2.1.4"),
        served("x=\"no-cache\"", 0, "§5.2.1.4"),
        served("no-transform", 0, "§5.2.1.6"),
        served("only-if-cached", 0, "§5.2.1.7"),
        served("s-maxage=0", 100, "§5.2.1"),
        served("private", 100, "§5.2.1"),
        served("unheard-of=1", 100, "§5.2.3"),
    ]);
}

#[test]
fn only_what_is_cached_is_asked_for() {
    let only = || get().with("Cache-Control: only-if-cached").status(504);
    run(vec![
        row("nothing is", "§5.2.1.7", [only()]),
        row("what is stale", "§5.2.1.7", [aged(700), only()]),
        row(
            "what is stale, but stale will do",
            "§5.2.1.7",
            [
                aged(700),
                get()
                    .with("Cache-Control: only-if-cached, max-stale=200")
                    .body("one"),
            ],
        ),
        row(
            "what is younger than that",
            "§5.2.1.7",
            [
                aged(100),
                get()
                    .with("Cache-Control: only-if-cached, max-age=50")
                    .status(504),
            ],
        ),
        row(
            "what was stored for another value",
            "§4.1",
            [
                get().with("A: 1").answer(200, format!("{FRESH}\nVary: A")),
                only().with("A: 2"),
                get().with("A: 1\nCache-Control: only-if-cached"),
            ],
        ),
        row(
            "what must be confirmed",
            "§5.2.2.4",
            [
                get().answer(200, "Cache-Control: no-cache, max-age=600\nETag: \"a\""),
                only(),
            ],
        ),
    ]);
}

#[test]
fn a_request_that_is_not_to_be_stored_leaves_what_is() {
    run(vec![row(
        "no-store of a request",
        "§5.2.1.5",
        [
            get().answer(200, FRESH).carrying("one"),
            get()
                .with("Cache-Control: no-store")
                .answer(200, FRESH)
                .maybe(),
            get().body("one"),
        ],
    )]);
}

#[test]
fn an_answer_that_must_be_confirmed_is_never_used_stale() {
    let stale = |more: &str| {
        let lines = format!("Cache-Control: {more}\nAge: 700\nETag: \"a\"");
        get().answer(200, lines).carrying("first")
    };
    let mut rows = Vec::new();
    for (more, clause) in [
        ("max-age=600, must-revalidate", "§5.2.2.2"),
        ("max-age=600, proxy-revalidate", "§5.2.2.8"),
        ("s-maxage=600", "§5.2.2.10"),
        ("max-age=600, MUST-REVALIDATE", "§5.2.2.2"),
        ("no-cache", "§5.2.2.4"),
    ] {
        let willing = || get().with("Cache-Control: max-stale=1000");
        rows.push(row(
            format!("{more}, where the client would take it stale"),
            clause,
            [
                stale(more),
                willing().answer(200, FRESH).carrying("two").body("two"),
            ],
        ));
        rows.push(row(
            format!("{more}, where the origin is silent"),
            clause,
            [
                stale(more),
                get().unanswered().status_in(&[502, 504]).never("first"),
            ],
        ));
    }
    run(rows);
}

#[test]
fn an_answer_may_forbid_to_be_used_unasked() {
    let kept = |lines: &str| {
        get()
            .answer(200, format!("{lines}\nETag: \"a\""))
            .carrying("one")
    };
    let confirmed = || {
        get()
            .answer(304, "ETag: \"a\"")
            .status(200)
            .body("one")
            .sent("If-None-Match: \"a\"")
    };
    run(vec![
        row(
            "no-cache",
            "§5.2.2.4",
            [
                kept("Cache-Control: no-cache, max-age=600"),
                confirmed(),
                confirmed(),
            ],
        ),
        row(
            "no-cache in a second line",
            "§5.2.2.4",
            [
                kept("Cache-Control: max-age=600\nCache-Control: no-cache"),
                confirmed(),
            ],
        ),
        row(
            "No-Cache",
            "§5.2.2.4",
            [kept("Cache-Control: No-Cache, max-age=600"), confirmed()],
        ),
        row(
            "no-cache with an empty list is no list",
            "§5.2.2.4",
            [
                kept("Cache-Control: no-cache=\"\", max-age=600"),
                get()
                    .answer(304, "ETag: \"a\"")
                    .maybe()
                    .status(200)
                    .body("one"),
            ],
        ),
        row(
            "must-revalidate does not hinder what is fresh",
            "§5.2.2.2",
            [
                kept("Cache-Control: must-revalidate, max-age=600"),
                get().body("one"),
            ],
        ),
        row(
            "proxy-revalidate does not hinder what is fresh",
            "§5.2.2.8",
            [
                kept("Cache-Control: proxy-revalidate, max-age=600"),
                get().body("one"),
            ],
        ),
        row(
            "no-transform does not hinder",
            "§5.2.2.6",
            [
                kept("Cache-Control: no-transform, max-age=600"),
                get().body("one"),
            ],
        ),
        row(
            "only-if-cached means nothing here",
            "§5.2.1.7",
            [
                kept("Cache-Control: only-if-cached, max-age=600"),
                get().body("one"),
            ],
        ),
        row(
            "what nobody knows does not hinder",
            "§5.2.3",
            [
                kept("Cache-Control: x, y=1, z=\"a=b, c\", max-age=600"),
                get().body("one"),
            ],
        ),
        row(
            "what nobody can read does not hinder",
            "§5.2",
            [
                kept("Cache-Control: =;, ;x, max-age=600"),
                get().body("one"),
            ],
        ),
        row(
            "what cannot change is used while it is fresh",
            "8246 §2",
            [
                kept("Cache-Control: max-age=600, immutable"),
                get().body("one"),
            ],
        ),
        row(
            "what cannot change is confirmed when it is stale",
            "8246 §2",
            [
                kept("Cache-Control: max-age=600, immutable\nAge: 700"),
                confirmed(),
            ],
        ),
        row(
            "what cannot change but says no-cache is confirmed",
            "8246 §2",
            [
                kept("Cache-Control: max-age=600, immutable, no-cache"),
                confirmed(),
            ],
        ),
    ]);
}

#[test]
fn an_answer_tells_its_age() {
    run(vec![
        row(
            "made here and now, it has none or its own",
            "§5.1",
            [get().answer(200, FRESH).lacks("Age")],
        ),
        row(
            "from the cache",
            "§5.1",
            [get().answer(200, FRESH), get().age(0..=5)],
        ),
        row(
            "older than the cache has had it",
            "§5.1",
            [aged(100).age(100..=105), get().age(100..=105)],
        ),
        row(
            "by its date",
            "§5.1",
            [
                get().answer(200, format!("{FRESH}\nDate: {{now-200}}")),
                get().age(200..=206),
            ],
        ),
        row(
            "confirmed, it is young again",
            "§5.1",
            [
                get().answer(200, format!("{FRESH}\nAge: 700\nETag: \"a\"")),
                get().answer(304, "ETag: \"a\"").status(200),
                get().age(0..=5),
            ],
        ),
        row(
            "a reload is younger",
            "§5.1",
            [
                aged(100),
                get()
                    .with("Cache-Control: no-cache")
                    .answer(200, FRESH)
                    .lacks("Age"),
                get().age(0..=5),
            ],
        ),
        row(
            "on a HEAD",
            "§5.1",
            [aged(100), super::table::head().age(100..=105)],
        ),
        row(
            "on a 304",
            "§5.1",
            [
                get().answer(200, format!("{FRESH}\nAge: 100\nETag: \"a\"")),
                get()
                    .with("If-None-Match: \"a\"")
                    .status(304)
                    .age(100..=105),
            ],
        ),
        row(
            "too old to count, it is still a number",
            "§5.1",
            [
                get().answer(200, "Cache-Control: max-age=600\nAge: 99999999999999999999"),
                get()
                    .with("Cache-Control: max-stale")
                    .age(2_147_483_648..=u64::MAX),
            ],
        ),
    ]);
}

#[test]
fn pragma_is_of_another_time() {
    run(vec![
        row(
            "in an answer it means nothing",
            "§5.4",
            [
                get().answer(200, format!("{FRESH}\nPragma: no-cache")),
                get(),
            ],
        ),
        row(
            "in a request it yields to Cache-Control",
            "§5.4",
            [
                get().answer(200, FRESH).carrying("one"),
                get()
                    .with("Pragma: no-cache\nCache-Control: max-age=600")
                    .body("one"),
            ],
        ),
        row(
            "anything else in it means nothing",
            "§5.4",
            [get().answer(200, FRESH), get().with("Pragma: foo")],
        ),
        row(
            "it is passed on",
            "§5.4",
            [get()
                .with("Pragma: no-cache")
                .answer(200, FRESH)
                .sent("Pragma: no-cache")],
        ),
    ]);
}

#[test]
fn a_warning_is_not_made_up() {
    run(vec![row(
        "of what is stale",
        "§5.5",
        [
            aged(700),
            get().with("Cache-Control: max-stale").lacks("Warning"),
        ],
    )]);
}
