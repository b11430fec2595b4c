//! What a request that changes things does to what is stored. RFC 9111 §4.4.
//! Not what an operator removes, which is `safety`.

use super::table::{Row, Step, get, head, method, row, run};

const FRESH: &str = "Cache-Control: max-age=600";

fn stored() -> Step {
    get().answer(200, FRESH).carrying("one")
}

/// After this, what was stored is used no more.
fn ends(name: &str, step: Step) -> Row {
    let then = get().answer(200, FRESH).carrying("two").body("two");
    row(name, "§4.4", [stored(), step, then, get().body("two")])
}

/// After this, what was stored is used still.
fn leaves(name: &str, clause: &'static str, step: Step) -> Row {
    row(name, clause, [stored(), step, get().body("one")])
}

#[test]
fn a_change_that_was_no_error_ends_what_is_stored_of_its_place() {
    let mut rows = Vec::new();
    for word in ["POST", "PUT", "DELETE", "PATCH", "MKCOL", "FROB"] {
        rows.push(ends(word, method(word).answer(200, "X-A: b")));
        rows.push(leaves(
            &format!("{word} that failed"),
            "§4.4",
            method(word).answer(500, "X-A: b"),
        ));
        rows.push(leaves(
            &format!("{word} that was refused"),
            "§4.4",
            method(word).answer(403, "X-A: b"),
        ));
    }
    for status in [201, 202, 204, 303, 302] {
        rows.push(ends(
            &format!("PUT, {status}"),
            method("PUT").answer(status, "X-A: b"),
        ));
    }
    rows.push(ends(
        "PUT with content",
        method("PUT").content("new").answer(204, "X-A: b"),
    ));
    rows.push(ends(
        "a POST that may itself be stored",
        method("POST").answer(200, FRESH),
    ));
    rows.push(leaves(
        "OPTIONS changes nothing",
        "9110 §9.2.1",
        method("OPTIONS").answer(200, "X-A: b"),
    ));
    rows.push(leaves(
        "TRACE changes nothing",
        "9110 §9.2.1",
        method("TRACE").answer(200, "X-A: b").maybe(),
    ));
    rows.push(leaves("HEAD changes nothing", "9110 §9.2.1", head()));
    run(rows);
}

#[test]
fn all_that_is_stored_of_a_place_ends_at_once() {
    let varied = |a: &str| {
        get()
            .with(format!("A: {a}"))
            .answer(200, format!("{FRESH}\nVary: A"))
    };
    run(vec![
        row(
            "each that depends on the request's fields",
            "§4.4",
            [
                varied("1"),
                varied("2"),
                method("DELETE").with("A: 1").answer(204, "X-A: b"),
                varied("1"),
                varied("2"),
            ],
        ),
        row(
            "not that of another query",
            "§4.4",
            [
                get().at("?a").answer(200, FRESH).carrying("one"),
                method("DELETE").at("?b").answer(204, "X-A: b"),
                get().at("?a").body("one"),
            ],
        ),
    ]);
}

#[test]
fn the_places_that_an_answer_names_end_too() {
    let other = || get().at("/other").answer(200, FRESH).carrying("one");
    let again = || {
        get()
            .at("/other")
            .answer(200, FRESH)
            .carrying("two")
            .body("two")
    };
    let mut rows = Vec::new();
    for field in ["Location", "Content-Location"] {
        for (form, value) in [
            ("a path", "{path}/other"),
            ("a whole URI", "http://{here}{path}/other"),
            ("a whole URI in capitals", "HTTP://{here}{path}/other"),
            ("a relative path", "{path}/./other"),
            ("with a fragment", "{path}/other#part"),
        ] {
            rows.push(row(
                format!("{field}, {form}"),
                "§4.4",
                [
                    other(),
                    method("POST").answer(201, format!("{field}: {value}")),
                    again(),
                ],
            ));
        }
        rows.push(row(
            format!("{field} of an error"),
            "§4.4",
            [
                other(),
                method("POST").answer(409, format!("{field}: {{path}}/other")),
                get().at("/other").body("one"),
            ],
        ));
        rows.push(row(
            format!("{field} of a safe request"),
            "§4.4",
            [
                other(),
                get()
                    .at("/redirect")
                    .answer(302, format!("{field}: {{path}}/other")),
                get().at("/other").body("one"),
            ],
        ));
        rows.push(row(
            format!("{field} at another origin is none of its business"),
            "§4.4",
            [
                get()
                    .there()
                    .at("/other")
                    .answer(200, FRESH)
                    .carrying("one"),
                method("POST").answer(201, format!("{field}: http://{{there}}{{path}}/other")),
                get().there().at("/other").body("one"),
            ],
        ));
        rows.push(row(
            format!("{field} that is no place"),
            "§4.4",
            [
                other(),
                method("POST")
                    .answer(201, format!("{field}: http://[:x/"))
                    .status_in(&[201, 502]),
                get().at("/other").body("one"),
            ],
        ));
    }
    run(rows);
}
