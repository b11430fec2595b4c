use super::*;
use http::HeaderValue;

const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
const MOMENT: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";

fn fields(lines: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let name: HeaderName = name.parse().unwrap();
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

fn received() -> Timestamp {
    // The moment of MOMENT.
    Timestamp::from_second(784_111_777).unwrap()
}

fn judge(request: &[(&str, &str)], response: &[(&str, &str)]) -> Outcome {
    let (request, response) = (fields(request), fields(response));
    let (method, status) = (Method::GET, StatusCode::OK);
    evaluate(&method, &request, status, &response, received())
}

#[test]
fn an_entity_tag_that_the_client_names_makes_a_304_by_weak_comparison_9110_13_1_2() {
    use Outcome::{NotModified, Send};
    for (etag, none_match, expected) in [
        ("\"a\"", "\"a\"", NotModified),
        ("\"a\"", "W/\"a\"", NotModified),
        ("W/\"a\"", "\"a\"", NotModified),
        ("\"a\"", "\"b\"", Send),
        ("\"a\"", "\"A\"", Send),
        ("\"a\"", "\"x\", \"a\", \"y\"", NotModified),
        ("\"a\"", "\"x\",W/\"y\" , W/\"a\"", NotModified),
        ("\"a\"", ",,\"a\",", NotModified),
        ("\"a\"", "*", NotModified),
        ("\"a\"", "*, \"b\"", Send),
        // A comma may stand in an entity-tag, and must not split it.
        ("\"b\"", "\"a,\"b\",c\"", Send),
        ("\"a, b\"", "\"a, b\"", NotModified),
        ("\"a,b\"", "\"x\", \"a,b\"", NotModified),
        ("\"\"", "\"\"", NotModified),
        ("\"\u{fc}\"", "\"\u{fc}\"", NotModified),
        // What is no entity-tag matches none.
        ("\"a\"", "a", Send),
        ("\"a\"", "w/\"a\"", Send),
        ("\"a\"", "W\"a\"", Send),
        ("\"a\"", "\"a\"b", Send),
        ("\"a\"", "\"a", Send),
        ("\"a\"", "\"a\" \"a\"", Send),
        ("\"a\"", "", Send),
        ("a", "\"a\"", Send),
        // But what came, and comes back byte for byte, is the same.
        ("a", "a", NotModified),
        ("w/\"a\"", "w/\"a\"", NotModified),
        ("W\\\"a\"", "W\\\"a\"", NotModified),
        ("", "", Send),
    ] {
        let outcome = judge(&[("if-none-match", none_match)], &[("etag", etag)]);
        assert_eq!(outcome, expected, "{none_match} of {etag}");
    }
}

#[test]
fn lines_of_if_none_match_are_one_list_9110_5_3() {
    let request = [("if-none-match", "\"x\""), ("if-none-match", "\"a\"")];
    assert_eq!(judge(&request, &[("etag", "\"a\"")]), Outcome::NotModified);
    let twice = [("etag", "\"a\""), ("etag", "\"x\"")];
    assert_eq!(judge(&request, &twice), Outcome::Send);
}

#[test]
fn a_date_is_held_against_the_best_date_that_there_is_9111_4_3_2() {
    use Outcome::{NotModified, Send};
    for (since, response, expected) in [
        (MOMENT, &[("last-modified", MOMENT)][..], NotModified),
        (LATER, &[("last-modified", MOMENT)], NotModified),
        (EARLIER, &[("last-modified", MOMENT)], Send),
        (
            "Sunday, 06-Nov-94 08:49:37 GMT",
            &[("last-modified", MOMENT)],
            NotModified,
        ),
        (
            "Sun Nov  6 08:49:37 1994",
            &[("last-modified", MOMENT)],
            NotModified,
        ),
        // Without a date of modification, Date; without that, the time of arrival.
        (MOMENT, &[("date", MOMENT)], NotModified),
        (EARLIER, &[("date", MOMENT)], Send),
        (
            EARLIER,
            &[("date", EARLIER), ("last-modified", "yesterday")],
            NotModified,
        ),
        (MOMENT, &[], NotModified),
        (EARLIER, &[], Send),
        // What is no date is not there.
        ("yesterday", &[("last-modified", MOMENT)], Send),
        ("", &[("last-modified", MOMENT)], Send),
        (
            "Sun, 06 Nov 1994 08:49:37 CET",
            &[("last-modified", MOMENT)],
            Send,
        ),
        ("784111777", &[("last-modified", MOMENT)], Send),
    ] {
        let outcome = judge(&[("if-modified-since", since)], response);
        assert_eq!(outcome, expected, "{since} of {response:?}");
    }
    let twice = [("if-modified-since", LATER), ("if-modified-since", LATER)];
    assert_eq!(judge(&twice, &[("last-modified", MOMENT)]), Send);
}

#[test]
fn a_date_is_not_looked_at_beside_an_entity_tag_9110_13_2_2() {
    let response = [("etag", "\"a\""), ("last-modified", MOMENT)];
    let agree = [("if-none-match", "\"a\""), ("if-modified-since", EARLIER)];
    assert_eq!(judge(&agree, &response), Outcome::NotModified);
    let differ = [("if-none-match", "\"b\""), ("if-modified-since", LATER)];
    assert_eq!(judge(&differ, &response), Outcome::Send);
    let garbage = [("if-none-match", "b"), ("if-modified-since", LATER)];
    assert_eq!(judge(&garbage, &response), Outcome::Send);
}

#[test]
fn preconditions_for_the_origin_are_forwarded_9111_4_3_2() {
    for name in ["if-match", "if-unmodified-since"] {
        let request = [(name, "\"a\""), ("if-none-match", "\"a\"")];
        assert_eq!(judge(&request, &[("etag", "\"a\"")]), Outcome::Forward);
    }
}

#[test]
fn preconditions_are_about_successes_of_get_and_head_9110_13_2_1() {
    let (request, response) = (fields(&[("if-none-match", "*")]), HeaderMap::new());
    for (method, status, expected) in [
        (Method::GET, 200, Outcome::NotModified),
        (Method::HEAD, 200, Outcome::NotModified),
        (Method::GET, 206, Outcome::NotModified),
        (Method::POST, 200, Outcome::Send),
        (Method::GET, 404, Outcome::Send),
        (Method::GET, 301, Outcome::Send),
    ] {
        let status = StatusCode::from_u16(status).unwrap();
        let outcome = evaluate(&method, &request, status, &response, received());
        assert_eq!(outcome, expected, "{method} {status}");
    }
}

#[test]
fn a_304_has_what_guides_caches_and_nothing_of_the_content_9110_15_4_5() {
    let response = fields(&[
        ("cache-control", "max-age=1"),
        ("content-encoding", "gzip"),
        ("content-length", "5"),
        ("content-location", "/a"),
        ("content-type", "text/plain"),
        ("date", MOMENT),
        ("etag", "\"a\""),
        ("expires", LATER),
        ("last-modified", EARLIER),
        ("set-cookie", "a=b"),
        ("vary", "a"),
        ("vary", "b"),
        ("x-other", "c"),
    ]);
    let kept = not_modified(&response);
    let names: Vec<&str> = kept.keys().map(HeaderName::as_str).collect();
    let expected = [
        "cache-control",
        "content-location",
        "date",
        "etag",
        "expires",
        "vary",
    ];
    assert_eq!(names, expected);
    assert_eq!(kept.get_all("vary").iter().count(), 2);
    let dated = not_modified(&fields(&[("last-modified", EARLIER)]));
    assert!(dated.contains_key("last-modified"));
}
