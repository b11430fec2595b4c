//! What a rule says of caching, each key of `cache = { … }` as clients see it.
//! Not how it is written and what is wrong with it, which is `cache_control`.

use super::table::{Row, Step, get, method, row, run_with};
use crate::support::Config;

const FRESH: &str = "Cache-Control: max-age=600";
const OWN: &str = "README, The cache";

/// A rule for all that is at loopback, with these words.
fn ruled(cache: &str) -> Config {
    Config::closed()
        .rule(&format!(
            "name = \"ruled\"\naddress = \"127.0.0.0/8\"\nallow = {{ cache = {{ {cache} }} }}"
        ))
        .cache()
}

fn first() -> Step {
    get().answer(200, FRESH).carrying("first")
}

fn anew(step: Step) -> Step {
    step.answer(200, FRESH).carrying("second").body("second")
}

/// What is stored for the first request is for the second one too.
fn one(name: &str, of_first: impl Fn(Step) -> Step, of_second: impl Fn(Step) -> Step) -> Row {
    let second = of_second(get()).body("first");
    row(name, OWN, [of_first(first()), second])
}

/// It is not; each has its own.
fn two(name: &str, of_first: impl Fn(Step) -> Step, of_second: impl Fn(Step) -> Step) -> Row {
    let again = [
        of_first(get()).body("first"),
        of_second(get()).body("second"),
    ];
    let both = [of_first(first()), anew(of_second(get()))];
    row(name, OWN, both.into_iter().chain(again))
}

#[test]
fn min_uses_stores_what_is_asked_for_again() {
    let third = |step: Step| step.answer(200, FRESH).carrying("third").body("third");
    run_with(
        &ruled("min-uses = 3"),
        vec![
            row(
                "at the third time",
                OWN,
                [first(), anew(get()), third(get()), get().body("third")],
            ),
            row(
                "each URI is counted for itself",
                OWN,
                [
                    first(),
                    anew(get().at("?a")),
                    anew(get()),
                    anew(get().at("?a")),
                    third(get()),
                    get().body("third"),
                ],
            ),
        ],
    );
}

#[test]
fn errors_are_kept_where_a_rule_says_how_long_and_they_are_not_the_clients() {
    let failed = |status, lines: &str| get().answer(status, lines).carrying("failed");
    let mut rows = Vec::new();
    for status in [404, 405, 410, 414, 451, 500, 501, 502, 503, 504] {
        rows.push(row(
            format!("{status}"),
            OWN,
            [
                failed(status, "X-A: b"),
                get().status(status).body("failed"),
            ],
        ));
        rows.push(row(
            format!("{status}, which says that it is not"),
            "§5.2.2.5",
            [failed(status, "Cache-Control: no-store"), anew(get())],
        ));
    }
    for status in [400, 401, 403, 429] {
        rows.push(row(
            format!("{status}, which another would not get"),
            OWN,
            [failed(status, "X-A: b"), anew(get())],
        ));
    }
    rows.push(row(
        "an answer that is none is as it was",
        "§3",
        [get().answer(200, "X-A: b").carrying("one"), anew(get())],
    ));
    run_with(&ruled("errors = \"10m\""), rows);
    let untold = vec![row(
        "without the rule a failure is not kept",
        "§3",
        [failed(503, "X-A: b"), anew(get())],
    )];
    run_with(&ruled("min-uses = 1"), untold);
}

#[test]
fn largest_keeps_what_is_no_longer() {
    let of = |length: usize| -> &'static str { "x".repeat(length).leak() };
    let asked = |length| get().answer(200, FRESH).carrying(of(length));
    run_with(
        &ruled("largest = \"1KiB\""),
        vec![
            row("as long", OWN, [asked(1024), get().body(of(1024))]),
            row("longer", OWN, [asked(1025).body(of(1025)), anew(get())]),
            row(
                "longer, which was not known before",
                OWN,
                [
                    asked(1025).chunked().body(of(1025)),
                    get().answer(200, FRESH).carrying("second").body("second"),
                ],
            ),
            row(
                "as long, which was not known before",
                OWN,
                [asked(1024).chunked(), get().body(of(1024))],
            ),
        ],
    );
}

#[test]
fn fields_and_cookies_that_a_rule_names_part_what_is_stored_and_others_do_not() {
    let key = "key = { headers = [\"X-Tenant\"], cookies = [\"lang\"] }";
    let with = |lines: &'static str| move |step: Step| step.with(lines);
    run_with(
        &ruled(key),
        vec![
            two(
                "another value of the field",
                with("X-Tenant: a"),
                with("X-Tenant: b"),
            ),
            two("none of the field", with("X-Tenant: a"), |step| step),
            two(
                "two values are not one",
                with("X-Tenant: a\nX-Tenant: b"),
                with("X-Tenant: a, b"),
            ),
            one(
                "the same value",
                with("X-Tenant: a\nX-Other: c"),
                with("X-Other: d\nx-tenant: a"),
            ),
            two(
                "another value of the cookie",
                with("Cookie: lang=en"),
                with("Cookie: lang=de"),
            ),
            two("none of the cookie", with("Cookie: lang=en"), |step| step),
            one(
                "other cookies beside it",
                with("Cookie: session=1; lang=en"),
                with("Cookie: lang=en; session=2"),
            ),
            two(
                "a field of the cookie's name",
                with("Cookie: lang=en"),
                with("lang: en"),
            ),
            row(
                "a change ends them all",
                "§4.4",
                [
                    first().with("X-Tenant: a"),
                    first().with("X-Tenant: b"),
                    method("PUT").with("X-Tenant: c").answer(204, "X-A: b"),
                    anew(get().with("X-Tenant: a")),
                    anew(get().with("X-Tenant: b")),
                ],
            ),
        ],
    );
}

#[test]
fn parameters_that_a_rule_ignores_part_nothing_and_the_origin_gets_them_all_the_same() {
    let at = |suffix: &'static str| move |step: Step| step.at(suffix);
    let names = ruled("ignore-query = [\"utm_*\", \"ref\"]");
    run_with(
        &names,
        vec![
            one("another value", at("?utm_source=a"), at("?utm_source=b")),
            one("none at all", at("?utm_source=a&ref=b"), at("")),
            one("before what counts", at("?ref=a&id=1"), at("?id=1")),
            one("behind what counts", at("?id=1"), at("?id=1&utm_medium=a")),
            two("what counts", at("?id=1&ref=a"), at("?id=2&ref=a")),
            two("a name that only begins so", at("?ref=a"), at("?refs=a")),
            two(
                "one that some origins would read as two",
                at("?ref=a;id=1"),
                at("?ref=a;id=2"),
            ),
            two("another order", at("?a=1&b=2"), at("?b=2&a=1")),
            row(
                "a change ends what is stored without them",
                "§4.4",
                [
                    first().at("?utm_source=a"),
                    method("POST").at("?utm_source=b").answer(200, "X-A: b"),
                    anew(get()),
                ],
            ),
        ],
    );
    run_with(
        &ruled("ignore-query = true"),
        vec![
            one("whatever it is", at("?id=1"), at("?id=2&a")),
            one("none at all", at("?id=1"), at("")),
        ],
    );
}
