//! Directives for this kind of cache alone: `CDN-Cache-Control`. RFC 9213.
//! Not the directives themselves, which are `directives`.

use super::table::{Row, get, row, run};

fn fresh(name: &str, clause: &'static str, lines: &str) -> Row {
    let lines = format!("{lines}\nETag: \"a\"");
    row(
        name,
        clause,
        [get().answer(200, lines).carrying("one"), get().body("one")],
    )
}

fn unused(name: &str, clause: &'static str, lines: &str) -> Row {
    let second = get()
        .answer(200, "Cache-Control: no-store")
        .carrying("two")
        .body("two");
    row(
        name,
        clause,
        [get().answer(200, lines).carrying("one"), second],
    )
}

#[test]
fn what_is_said_to_this_kind_of_cache_stands_before_what_is_said_to_all() {
    run(vec![
        fresh("a lifetime", "9213 §2.2", "CDN-Cache-Control: max-age=600"),
        fresh(
            "a lifetime, where others have none",
            "9213 §2.2",
            "CDN-Cache-Control: max-age=600\nCache-Control: max-age=0",
        ),
        fresh(
            "a lifetime, where others may not store",
            "9213 §2.2",
            "CDN-Cache-Control: max-age=600\nCache-Control: no-store",
        ),
        fresh(
            "a lifetime, where others must ask",
            "9213 §2.2",
            "CDN-Cache-Control: max-age=600\nCache-Control: no-cache",
        ),
        fresh(
            "a lifetime, where it has expired for others",
            "9213 §2.2",
            "CDN-Cache-Control: max-age=600\nExpires: {now-60}",
        ),
        fresh(
            "among others",
            "9213 §2.1",
            "CDN-Cache-Control: x=1, max-age=600, y;z=1",
        ),
        fresh(
            "in the second line",
            "9213 §2.1",
            "CDN-Cache-Control: public\nCDN-Cache-Control: max-age=600\nCache-Control: no-store",
        ),
        fresh(
            "the last of two counts",
            "8941 §4.2.2",
            "CDN-Cache-Control: max-age=0, max-age=600",
        ),
        unused(
            "no lifetime, where others have one",
            "9213 §2.2",
            "CDN-Cache-Control: max-age=0\nCache-Control: max-age=600",
        ),
        unused(
            "not to be stored, where others may",
            "9213 §2.2",
            "CDN-Cache-Control: no-store\nCache-Control: max-age=600",
        ),
        unused(
            "private, where it is public for others",
            "9213 §2.2",
            "CDN-Cache-Control: private\nCache-Control: public, max-age=600",
        ),
        unused(
            "older than its lifetime",
            "9213 §2.2",
            "CDN-Cache-Control: max-age=600\nCache-Control: max-age=3600\nAge: 700",
        ),
        row(
            "to be confirmed",
            "9213 §2.2",
            [
                get()
                    .answer(
                        200,
                        "CDN-Cache-Control: no-cache\nCache-Control: max-age=600\nETag: \"a\"",
                    )
                    .carrying("one"),
                get()
                    .answer(304, "ETag: \"a\"")
                    .status(200)
                    .body("one")
                    .sent("If-None-Match: \"a\""),
            ],
        ),
        row(
            "it is passed on, so that caches behind this one see it",
            "9213 §3",
            [
                get()
                    .answer(
                        200,
                        "CDN-Cache-Control: max-age=600\nCache-Control: no-store",
                    )
                    .has("CDN-Cache-Control: max-age=600\nCache-Control: no-store"),
                get().has("Cache-Control: no-store"),
            ],
        ),
    ]);
}

#[test]
fn what_cannot_be_read_is_as_if_not_said() {
    let others = |lines: &str| format!("{lines}\nCache-Control: max-age=600");
    run(vec![
        fresh("nothing", "9213 §2.2", &others("CDN-Cache-Control:")),
        fresh(
            "no dictionary",
            "9213 §2.2",
            &others("CDN-Cache-Control: max-age=0, &&&"),
        ),
        fresh(
            "a bare comma",
            "9213 §2.2",
            &others("CDN-Cache-Control: no-store,"),
        ),
        fresh(
            "capitals are no keys",
            "9213 §2.1",
            &others("CDN-Cache-Control: No-Store"),
        ),
        unused(
            "no dictionary, where others may not store",
            "9213 §2.2",
            "CDN-Cache-Control: max-age=600, &&&\nCache-Control: no-store",
        ),
        unused(
            "another kind of cache",
            "9213 §2.2",
            "Foo-Cache-Control: max-age=600\nCache-Control: no-store",
        ),
        unused(
            "a lifetime that is no whole number",
            "9213 §2.1",
            "CDN-Cache-Control: max-age=600.5\nCache-Control: max-age=0",
        ),
        unused(
            "a lifetime in quotes is no number",
            "9213 §2.1",
            "CDN-Cache-Control: max-age=\"600\"\nCache-Control: max-age=0",
        ),
        fresh(
            "what nobody knows",
            "9213 §2.1",
            "CDN-Cache-Control: foo=bar, max-age=600",
        ),
    ]);
}
