//! What is stored: methods, statuses, directives, fields, and content that did not come whole. RFC 9111 §3.
//! Not how long it is used, which is `freshness`.

use super::table::{Row, Step, get, head, method, row, run, run_with};
use crate::support::Config;

const FRESH: &str = "Cache-Control: max-age=600";

/// The origin's answer to a GET, then whether it is used for another.
fn kept(name: &str, clause: &'static str, first: Step) -> Row {
    row(name, clause, [first.carrying("one"), get().body("one")])
}

fn not_kept(name: &str, clause: &'static str, first: Step) -> Row {
    let second = get().answer(200, FRESH).carrying("two").body("two");
    row(name, clause, [first.carrying("one"), second])
}

#[test]
fn an_answer_is_kept_where_it_says_so() {
    let get_fresh = || get().answer(200, FRESH);
    run(vec![
        kept("an answer with a lifetime", "§3", get_fresh()),
        kept("one that came in chunks", "§3", get_fresh().chunked()),
        row(
            "one that ends with its connection, which may have been cut",
            "9112 §8",
            [
                get_fresh().closed().carrying("one").body("one"),
                get_fresh().carrying("one").maybe().body("one"),
            ],
        ),
        kept(
            "one with Expires alone",
            "§3",
            get().answer(200, "Date: {now}\nExpires: {now+600}"),
        ),
        kept(
            "one with s-maxage alone",
            "§3",
            get().answer(200, "Cache-Control: s-maxage=600"),
        ),
        kept(
            "a request of another version's spelling of fields",
            "§3",
            get_fresh().with("ACCEPT: */*"),
        ),
        not_kept(
            "an answer that says nothing",
            "§3",
            get().answer(200, "X-A: b"),
        ),
        not_kept(
            "no-store",
            "§5.2.2.5",
            get().answer(200, "Cache-Control: no-store, max-age=600"),
        ),
        not_kept(
            "no-store in a second line",
            "§5.2.2.5",
            get().answer(200, "Cache-Control: max-age=600\nCache-Control: no-store"),
        ),
        not_kept(
            "no-store in capitals",
            "§5.2",
            get().answer(200, "Cache-Control: MAX-AGE=600, NO-STORE"),
        ),
        not_kept(
            "no-store beside what nobody knows",
            "§5.2.3",
            get().answer(200, "Cache-Control: x=\"a, b\", no-store, y, max-age=600"),
        ),
        not_kept(
            "private",
            "§5.2.2.7",
            get().answer(200, "Cache-Control: private, max-age=600"),
        ),
        not_kept(
            "private with a lifetime for shared caches",
            "§5.2.2.7",
            get().answer(200, "Cache-Control: private, s-maxage=600"),
        ),
        not_kept(
            "a request that forbids it",
            "§5.2.1.5",
            get_fresh().with("Cache-Control: no-store"),
        ),
        kept(
            "a word that only stands in quotes",
            "§5.2",
            get().answer(200, "Cache-Control: x=\"no-store, private\", max-age=600"),
        ),
        kept(
            "a directive whose name begins alike",
            "§5.2",
            get().answer(200, "Cache-Control: no-stores, max-age=600"),
        ),
    ]);
}

#[test]
fn only_what_get_fetched_is_kept_for_get() {
    let rows = ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "FROB", "get"].map(|word| {
        row(
            format!("what {word} fetched"),
            "§3",
            [
                method(word).answer(200, FRESH),
                method(word).answer(200, FRESH),
                get().answer(200, FRESH),
            ],
        )
    });
    run(rows.into());
    run(vec![
        row(
            "a HEAD brings no content for GET",
            "§3",
            [
                head().answer(200, FRESH),
                get().answer(200, FRESH).carrying("one").body("one"),
            ],
        ),
        row(
            "a GET answers a HEAD",
            "§4",
            [
                get()
                    .answer(200, format!("{FRESH}\nContent-Type: a/b"))
                    .carrying("one"),
                head().body("").has("Content-Type: a/b\nContent-Length: 3"),
            ],
        ),
        row(
            "a GET with content is for the origin alone, and leaves nothing",
            "9110 §9.3.1",
            [
                get().content("who").answer(200, FRESH).carrying("one"),
                get().answer(200, FRESH).carrying("two").body("two"),
            ],
        ),
        row(
            "a GET with content is not answered from what is kept",
            "9110 §9.3.1",
            [
                get().answer(200, FRESH),
                get()
                    .content("who")
                    .answer(200, FRESH)
                    .carrying("two")
                    .body("two"),
            ],
        ),
    ]);
}

#[test]
fn a_status_is_kept_with_a_lifetime_and_some_without() {
    // RFC 9110 §15.1: those that are cacheable unless they say otherwise.
    let by_default = [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501];
    let others = [
        201, 202, 299, 302, 303, 307, 400, 403, 409, 418, 451, 499, 500, 502, 503, 504, 599,
    ];
    let old = "Last-Modified: {now-864000}";
    let mut rows = Vec::new();
    for status in by_default.into_iter().chain(others) {
        rows.push(row(
            format!("{status} with a lifetime"),
            "§3",
            [get().answer(status, FRESH), get().status(status)],
        ));
        rows.push(row(
            format!("{status} that says public, of a certain age"),
            "§4.2.2",
            [
                get().answer(status, format!("Cache-Control: public\n{old}")),
                get().status(status),
            ],
        ));
    }
    for status in [428, 429, 431, 511] {
        rows.push(row(
            format!("{status}, whatever it says"),
            "6585 §3 to §6",
            [
                get().answer(status, "Cache-Control: public, max-age=600"),
                get().answer(200, FRESH).carrying("two").body("two"),
            ],
        ));
    }
    for status in by_default {
        rows.push(row(
            format!("{status} of a certain age"),
            "§4.2.2",
            [get().answer(status, old), get().status(status)],
        ));
    }
    for status in others {
        rows.push(row(
            format!("{status} of a certain age, without a word"),
            "§4.2.2",
            [get().answer(status, old), get().answer(status, old)],
        ));
    }
    run(rows);
}

#[test]
fn what_must_be_understood_is_kept_where_it_is() {
    let both = "Cache-Control: must-understand, no-store, max-age=600";
    run(vec![
        row(
            "a known status, despite no-store",
            "§5.2.2.3",
            [get().answer(200, both), get()],
        ),
        row(
            "an unknown status",
            "§5.2.2.3",
            [get().answer(299, both), get().answer(299, both)],
        ),
        row(
            "an unknown status with a lifetime alone",
            "§5.2.2.3",
            [
                get().answer(299, "Cache-Control: must-understand, max-age=600"),
                get().answer(299, FRESH),
            ],
        ),
    ]);
}

#[test]
fn an_answer_to_credentials_is_for_one() {
    let mine = || get().with("Authorization: Basic eDp5");
    let ask = |lines: &str| mine().answer(200, lines).carrying("mine");
    let shared = |name: &str, lines: &str| {
        row(
            name,
            "§3.5",
            [ask(lines), get().body("mine"), mine().body("mine")],
        )
    };
    let own = |name: &str, lines: &str| {
        row(
            name,
            "§3.5",
            [
                ask(lines),
                get().answer(200, FRESH).never("mine"),
                mine().maybe().never("mine"),
            ],
        )
    };
    run(vec![
        own("nothing said", FRESH),
        own("Expires", "Expires: {now+600}"),
        own("a certain age", "Last-Modified: {now-864000}"),
        shared("public", "Cache-Control: public, max-age=600"),
        shared("s-maxage", "Cache-Control: s-maxage=600"),
        shared(
            "must-revalidate",
            "Cache-Control: must-revalidate, max-age=600",
        ),
        own(
            "private beside public",
            "Cache-Control: public, private, max-age=600",
        ),
        own(
            "proxy-revalidate alone",
            "Cache-Control: proxy-revalidate, max-age=600",
        ),
    ]);
}

#[test]
fn a_cookie_is_given_to_one_alone() {
    let lines = "Cache-Control: max-age=600\nSet-Cookie: id=mine";
    run(vec![row(
        "an answer that sets a cookie",
        "§7.3",
        [
            get().answer(200, lines).has("Set-Cookie: id=mine"),
            get().answer(200, FRESH).lacks("Set-Cookie"),
        ],
    )]);
    let stripped = Config::closed()
        .rule("name = \"loopback\"\nallow = { cache = { set-cookie = \"strip\" } }\naddress = \"127.0.0.0/8\"\nhost = \"127.0.0.1\"")
        .cache();
    run_with(
        &stripped,
        vec![row(
            "a rule that strips it",
            "§7.3",
            [
                get().answer(200, lines).has("Set-Cookie: id=mine"),
                get().lacks("Set-Cookie"),
            ],
        )],
    );
    let stored = Config::closed()
        .rule("name = \"loopback\"\nallow = { cache = { set-cookie = \"store\" } }\naddress = \"127.0.0.0/8\"\nhost = \"127.0.0.1\"")
        .cache();
    run_with(
        &stored,
        vec![row(
            "a rule that keeps it",
            "§7.3",
            [get().answer(200, lines), get().has("Set-Cookie: id=mine")],
        )],
    );
}

#[test]
fn what_broke_off_is_never_whole() {
    let whole = || {
        get()
            .answer(200, FRESH)
            .carrying("0123456789")
            .body("0123456789")
    };
    let cut = || get().answer(200, FRESH).carrying("0123456789").cut();
    let etag = format!("{FRESH}\nETag: \"a\"");
    run(vec![
        row(
            "less than Content-Length said",
            "§3.3",
            [cut(), whole(), get().body("0123456789")],
        ),
        row(
            "no last chunk",
            "§3.3",
            [
                get()
                    .answer(200, FRESH)
                    .carrying("0123456789")
                    .chunked()
                    .cut(),
                whole(),
                get().body("0123456789"),
            ],
        ),
        row(
            "less than Content-Length said, of what has a validator",
            "§3.3",
            [
                get().answer(200, &etag).carrying("0123456789").cut(),
                get()
                    .answer(200, &etag)
                    .carrying("0123456789")
                    .body("0123456789"),
            ],
        ),
        row(
            "part of it is asked for after it broke off",
            "§3.3",
            [
                cut(),
                get()
                    .with("Range: bytes=0-8")
                    .answer(200, FRESH)
                    .carrying("0123456789")
                    .status_in(&[200, 206])
                    .has("Cache-Control: max-age=600"),
                get().body("0123456789"),
            ],
        ),
        row(
            "an error that broke off, after a whole answer became stale",
            "§3.3",
            [
                get().answer(200, "Cache-Control: max-age=1\nAge: 10"),
                get().answer(404, FRESH).carrying("0123456789").cut(),
                whole(),
            ],
        ),
    ]);
}

#[test]
fn fields_of_one_hop_and_of_one_client_are_not_kept() {
    let lines = "Cache-Control: max-age=600\nConnection: X-Hop\nX-Hop: hop\nKeep-Alive: timeout=5\nProxy-Authenticate: Basic\n\
                 Proxy-Authentication-Info: a=b\nProxy-Connection: close\nTE: a\nUpgrade: x\nX-End: stays\nX-End: both";
    let gone = "X-Hop\nKeep-Alive\nProxy-Authenticate\nProxy-Authentication-Info\nProxy-Connection\nTE\nUpgrade";
    run(vec![
        row(
            "what a hop said, and what Connection names",
            "§3.1",
            [get().answer(200, lines), get().lacks(gone).has("X-End: stays, both")],
        ),
        row(
            "what is named by no-cache",
            "§3.1",
            [
                get().answer(200, "Cache-Control: max-age=600, no-cache=\"X-Mine\"\nX-Mine: mine\nX-End: stays"),
                get().maybe().lacks("X-Mine"),
            ],
        ),
        row(
            "what is named by private",
            "§3.1",
            [
                get().answer(200, "Cache-Control: max-age=600, private=\"x-mine, X-Other\"\nX-Mine: mine\nX-Other: mine"),
                get().maybe().lacks("X-Mine\nX-Other"),
            ],
        ),
        row(
            "what is named by private without quotes",
            "§5.2.2.7",
            [
                get().answer(200, "Cache-Control: max-age=600, private=X-Mine\nX-Mine: mine"),
                get().maybe().lacks("X-Mine"),
            ],
        ),
    ]);
    let kept = [
        "Content-Type: text/x",
        "Content-Language: de",
        "Content-Encoding: x-none",
        "Content-Location: /else",
        "Content-Disposition: inline",
        "ETag: \"a\"",
        "Last-Modified: {now-60}",
        "Link: </a>; rel=b",
        "Location: /c",
        "Strict-Transport-Security: max-age=1",
        "Access-Control-Allow-Origin: *",
        "Content-Security-Policy: default-src 'self'",
        "X-Own: a, b",
        "Server: s",
        "Retry-After: 9",
        "Allow: GET",
        "Age: 5",
    ];
    let rows = kept.map(|line| {
        let name = line.split(':').next().unwrap();
        row(
            format!("{name} is kept"),
            "§3.1",
            [
                get().answer(200, format!("{FRESH}\n{line}")),
                if name == "Age" {
                    get().age(5..=9)
                } else {
                    get().has(line)
                },
            ],
        )
    });
    run(rows.into());
}

#[test]
fn an_interim_answer_is_passed_on_and_never_kept() {
    let hints =
        "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nCache-Control: max-age=600\r\n\r\n";
    run(vec![
        row(
            "hints before an answer that is kept",
            "§3",
            [
                get()
                    .answer(200, FRESH)
                    .after_interim(hints)
                    .carrying("one"),
                get().body("one").lacks("Link"),
            ],
        ),
        row(
            "hints before an answer that is not",
            "§3",
            [
                get()
                    .answer(200, "Cache-Control: no-store")
                    .after_interim(hints),
                get().answer(200, FRESH).carrying("two").body("two"),
            ],
        ),
    ]);
}

#[test]
fn a_newer_answer_takes_the_place_of_an_older() {
    let reload = || get().with("Cache-Control: no-cache");
    run(vec![
        row(
            "one that may be kept",
            "§4",
            [
                get().answer(200, FRESH),
                reload().answer(200, FRESH).carrying("two"),
                get().body("two"),
            ],
        ),
        row(
            "one that may be kept, but no longer be used",
            "§4",
            [
                get().answer(200, FRESH).carrying("one"),
                reload()
                    .answer(200, "Cache-Control: max-age=0")
                    .carrying("two"),
                get().answer(200, FRESH).carrying("three").body("three"),
            ],
        ),
        row(
            "an error of the origin leaves what is fresh",
            "§4",
            [
                get().answer(200, FRESH).carrying("one"),
                reload().answer(500, "X-A: b").carrying("two"),
                get().body("one"),
            ],
        ),
    ]);
}
