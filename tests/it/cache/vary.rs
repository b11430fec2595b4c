//! Which of several stored answers is meant: `Vary`, and what of a request's fields counts as alike. RFC 9111 §4.1.
//! Not validation of several at once, which is `validation`.

use super::table::{Row, Step, get, row, run};

const FRESH: &str = "Cache-Control: max-age=600";

/// An answer that depends on these fields, to a request with these lines.
fn varied(vary: &str, lines: &str, body: &str) -> Step {
    let step = get().answer(200, format!("{FRESH}\n{vary}")).carrying(body);
    if lines.is_empty() {
        step
    } else {
        step.with(lines)
    }
}

/// Whether a second request finds what a first one brought.
fn alike(name: &str, vary: &str, first: &str, second: &str) -> Row {
    row(
        name,
        "§4.1",
        [varied(vary, first, "one"), get().with(second).body("one")],
    )
}

fn unlike(name: &str, vary: &str, first: &str, second: &str) -> Row {
    row(
        name,
        "§4.1",
        [
            varied(vary, first, "one"),
            varied(vary, second, "two").body("two"),
        ],
    )
}

#[test]
fn a_request_is_answered_by_what_was_stored_for_its_like() {
    let many = "A: 1\nB: 2\nC: 3";
    run(vec![
        alike("the same value", "Vary: A", "A: 1", "A: 1"),
        alike("the name in another case", "Vary: a", "A: 1", "a: 1"),
        alike(
            "a field that is not named",
            "Vary: A",
            "A: 1\nB: 1",
            "A: 1\nB: 2",
        ),
        alike("absent in both", "Vary: A", "B: 1", "B: 2"),
        alike(
            "three fields, all alike",
            "Vary: A, B, C",
            many,
            "C: 3\nB: 2\nA: 1",
        ),
        alike(
            "three fields in three lines",
            "Vary: A\nVary: B\nVary: C",
            many,
            many,
        ),
        alike("two lines and one list", "Vary: A", "A: 1\nA: 2", "A: 1, 2"),
        alike(
            "space about the members of a list",
            "Vary: A",
            "A: 1,2",
            "A:  1 ,  2",
        ),
        alike(
            "empty members of a list of fields",
            "Vary: , A, ,",
            "A: 1",
            "A: 1",
        ),
        alike("a field that is named twice", "Vary: A, A", "A: 1", "A: 1"),
        unlike("another value", "Vary: A", "A: 1", "A: 2"),
        unlike("absent in the first", "Vary: A", "B: 1", "A: 1"),
        unlike("absent in the second", "Vary: A", "A: 1", "B: 1"),
        unlike(
            "the last of three differs",
            "Vary: A, B, C",
            many,
            "A: 1\nB: 2\nC: 4",
        ),
        unlike(
            "the field of the second line differs",
            "Vary: A\nVary: B",
            "A: 1\nB: 2",
            "A: 1\nB: 3",
        ),
        unlike("a list in another order", "Vary: A", "A: 1, 2", "A: 2, 1"),
        unlike("a value in another case", "Vary: A", "A: x", "A: X"),
        unlike("a member more", "Vary: A", "A: 1", "A: 1, 2"),
        unlike(
            "two members that are one with a comma in quotes",
            "Vary: A",
            "A: \"1,2\"",
            "A: \"1 ,2\"",
        ),
        unlike(
            "two fields whose values change places",
            "Vary: A, B",
            "A: 1\nB: 2",
            "A: 2\nB: 1",
        ),
        unlike("no request is like another", "Vary: *", "A: 1", "A: 1"),
        unlike(
            "no request is like another, whatever else is named",
            "Vary: A, *",
            "A: 1",
            "A: 1",
        ),
        unlike(
            "no request is like another, in a second line",
            "Vary: A\nVary: *",
            "A: 1",
            "A: 1",
        ),
    ]);
}

#[test]
fn what_means_the_same_in_a_known_field_is_the_same() {
    run(vec![
        alike(
            "codings in another case",
            "Vary: Accept-Encoding",
            "Accept-Encoding: GZIP",
            "Accept-Encoding: gzip",
        ),
        alike(
            "space about codings",
            "Vary: Accept-Encoding",
            "Accept-Encoding: gzip,br",
            "Accept-Encoding: gzip , br",
        ),
        alike(
            "languages in another case",
            "Vary: Accept-Language",
            "Accept-Language: de-AT",
            "Accept-Language: DE-at",
        ),
        alike(
            "space about languages",
            "Vary: Accept-Language",
            "Accept-Language: de, en",
            "Accept-Language: de,en",
        ),
        unlike(
            "other codings",
            "Vary: Accept-Encoding",
            "Accept-Encoding: gzip",
            "Accept-Encoding: br",
        ),
        unlike(
            "other languages",
            "Vary: Accept-Language",
            "Accept-Language: de",
            "Accept-Language: en",
        ),
        unlike(
            "a coding that is refused",
            "Vary: Accept-Encoding",
            "Accept-Encoding: gzip",
            "Accept-Encoding: gzip;q=0",
        ),
        unlike(
            "a coding or none",
            "Vary: Accept-Encoding",
            "Accept-Encoding: gzip",
            "Accept: */*",
        ),
    ]);
}

#[test]
fn several_answers_stand_side_by_side() {
    run(vec![
        row(
            "each is found again",
            "§4.1",
            [
                varied("Vary: A", "A: 1", "one"),
                varied("Vary: A", "A: 2", "two"),
                varied("Vary: A", "A: 3", "three"),
                get().with("A: 1").body("one"),
                get().with("A: 2").body("two"),
                get().with("A: 3").body("three"),
            ],
        ),
        row(
            "another that depends on other fields",
            "§4.1",
            [
                varied("Vary: A", "A: 1\nB: 1", "one"),
                varied("Vary: A, B", "A: 2\nB: 1", "two"),
                get().with("A: 2\nB: 1").body("two"),
                varied("Vary: A, B", "A: 2\nB: 2", "three").body("three"),
            ],
        ),
        row(
            "the one that says more about itself is not lost by one that depends on nothing",
            "§4.1",
            [
                varied("Vary: A", "A: 1", "one"),
                varied("X-A: b", "A: 2", "two"),
                get().with("A: 2").body("two"),
                get().with("A: 3").body("two"),
            ],
        ),
        row(
            "a reload of one leaves the other",
            "§4.1",
            [
                varied("Vary: A", "A: 1", "one"),
                varied("Vary: A", "A: 2", "two"),
                varied("Vary: A", "A: 1\nCache-Control: no-cache", "newer"),
                get().with("A: 1").body("newer"),
                get().with("A: 2").body("two"),
            ],
        ),
        row(
            "credentials may be what an answer depends on",
            "§4.1",
            [
                get()
                    .with("Authorization: a")
                    .answer(
                        200,
                        "Cache-Control: public, max-age=600\nVary: Authorization",
                    )
                    .carrying("one"),
                get()
                    .answer(
                        200,
                        "Cache-Control: public, max-age=600\nVary: Authorization",
                    )
                    .carrying("two")
                    .body("two"),
                get().with("Authorization: a").body("one"),
            ],
        ),
    ]);
}

#[test]
fn what_is_in_use_stays_however_many_variants_a_client_makes() {
    let hot = || get().body("hot");
    let mut steps = vec![get().answer(200, FRESH).carrying("hot"), hot()];
    for n in 0..200 {
        let lines = format!("X-Forwarded-Host: {n}.example");
        steps.push(get().with(lines).answer(200, FRESH));
        if n % 40 == 39 {
            steps.push(hot());
        }
    }
    run(vec![row("variants without end", "§4.1", steps)]);
}
