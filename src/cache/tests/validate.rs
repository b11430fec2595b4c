use super::*;

const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
const MOMENT: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";

type Lines<'a> = &'a [(&'a str, &'a str)];

fn fields(lines: Lines<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let name: HeaderName = name.parse().unwrap();
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

fn received() -> Timestamp {
    Timestamp::from_second(784_111_777).unwrap()
}

/// A set of stored responses: status, fields of the request, fields of the response.
struct Set(Vec<(StatusCode, Vary, HeaderMap)>);

impl Set {
    fn of(stored: &[(u16, Lines<'_>, Lines<'_>)]) -> Self {
        let one = |(status, request, response): &(u16, Lines<'_>, Lines<'_>)| {
            let (request, response) = (fields(request), fields(response));
            let vary = Vary::of(&response, &request).unwrap();
            (StatusCode::from_u16(*status).unwrap(), vary, response)
        };
        Self(stored.iter().map(one).collect())
    }

    fn views(&self) -> Vec<View<'_>> {
        let mut views = Vec::new();
        for (status, vary, headers) in &self.0 {
            let (status, received) = (*status, received());
            views.push(View {
                vary,
                status,
                headers,
                received,
            });
        }
        views
    }

    fn conditions(&self, request: Lines<'_>) -> Option<Conditions> {
        let (views, request) = (self.views(), fields(request));
        let selected = select(&views, &request);
        Conditions::of(&views, selected, &request)
    }

    /// What is forwarded: If-None-Match and If-Modified-Since.
    fn sent(&self, request: Lines<'_>) -> (Option<String>, Option<String>) {
        let mut forwarded = fields(request);
        if let Some(conditions) = self.conditions(request) {
            conditions.apply(&mut forwarded);
        }
        let text = |name| {
            let value: Option<&HeaderValue> = forwarded.get(name);
            value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        (text(IF_NONE_MATCH), text(IF_MODIFIED_SINCE))
    }

    fn identified(&self, request: Lines<'_>, not_modified: Lines<'_>) -> Vec<usize> {
        let conditions = self.conditions(request).unwrap();
        identify(
            &self.views(),
            &conditions,
            &fields(request),
            &fields(not_modified),
        )
    }
}

#[test]
fn of_several_that_match_the_most_recent_by_date_is_selected_9111_4() {
    let set = Set::of(&[
        (200, &[], &[("date", EARLIER)]),
        (200, &[], &[("date", LATER)]),
        (200, &[], &[("date", MOMENT)]),
    ]);
    assert_eq!(select(&set.views(), &HeaderMap::new()), Some(1));
    assert_eq!(select(&[], &HeaderMap::new()), None);
}

#[test]
fn one_that_varies_is_selected_before_one_that_forgot_to_9111_4_1() {
    let set = Set::of(&[
        (200, &[], &[("date", LATER)]),
        (200, &[("a", "1")], &[("date", EARLIER), ("vary", "a")]),
    ]);
    assert_eq!(select(&set.views(), &fields(&[("a", "1")])), Some(1));
    assert_eq!(select(&set.views(), &fields(&[("a", "2")])), Some(0));
}

#[test]
fn validators_of_the_selected_response_are_sent_as_they_came_9111_4_3_1() {
    for (response, none_match, modified_since) in [
        (&[("etag", "\"a\"")][..], Some("\"a\""), None),
        (&[("etag", "W/\"a\"")], Some("W/\"a\""), None),
        (&[("last-modified", MOMENT)], None, Some(MOMENT)),
        (
            &[("etag", "\"a\""), ("last-modified", MOMENT)],
            Some("\"a\""),
            Some(MOMENT),
        ),
        // What is malformed is not sent on; a Date is no validator.
        (
            &[("etag", "a"), ("last-modified", MOMENT)],
            None,
            Some(MOMENT),
        ),
        (
            &[("etag", "a"), ("last-modified", "b"), ("date", MOMENT)],
            None,
            None,
        ),
        (&[("etag", "\"a\""), ("etag", "\"b\"")], None, None),
    ] {
        let set = Set::of(&[(200, &[], response)]);
        let expected = (
            none_match.map(str::to_owned),
            modified_since.map(str::to_owned),
        );
        assert_eq!(set.sent(&[]), expected, "{response:?}");
    }
}

#[test]
fn conditions_of_the_cache_stand_in_place_of_those_of_the_client_9111_4_3_2() {
    let client = [("if-none-match", "\"b\""), ("if-modified-since", LATER)];
    let set = Set::of(&[(200, &[], &[("etag", "\"a\"")])]);
    assert_eq!(set.sent(&client), (Some("\"a\"".to_owned()), None));
    // Without a stored validator they go on.
    let set = Set::of(&[(200, &[], &[])]);
    assert_eq!(
        set.sent(&client),
        (Some("\"b\"".to_owned()), Some(LATER.to_owned()))
    );
}

#[test]
fn only_a_success_is_confirmed_by_conditions_9110_13_2_1() {
    let set = Set::of(&[(404, &[], &[("etag", "\"a\""), ("last-modified", MOMENT)])]);
    assert_eq!(set.conditions(&[]), None);
}

#[test]
fn the_origin_may_choose_another_variant_that_is_stored_9111_4_1() {
    let tag = |tag: &'static str| [("etag", tag), ("vary", "abc"), ("last-modified", MOMENT)];
    let set = Set::of(&[
        (200, &[("abc", "1")], &tag("\"one\"")),
        (200, &[("abc", "2")], &tag("\"two\"")),
        (200, &[("abc", "3")], &tag("W/\"three\"")),
    ]);
    // The date is sent only where one response is asked about.
    assert_eq!(
        set.sent(&[("abc", "2")]),
        (Some("\"two\", \"one\"".to_owned()), None)
    );
    assert_eq!(
        set.sent(&[("abc", "4")]),
        (Some("\"one\", \"two\"".to_owned()), None)
    );
}

#[test]
fn a_variant_is_not_offered_that_the_client_could_not_read_or_that_is_personal() {
    let gzip = [
        ("etag", "\"a\""),
        ("vary", "accept-encoding"),
        ("content-encoding", "gzip"),
    ];
    let set = Set::of(&[(200, &[("accept-encoding", "gzip")], &gzip)]);
    for (accepted, offered) in [
        (&[][..], false),
        (&[("accept-encoding", "br")], false),
        (&[("accept-encoding", "gzip;q=0")], false),
        (&[("accept-encoding", "br, gzip")], true),
    ] {
        assert_eq!(set.conditions(accepted).is_some(), offered, "{accepted:?}");
    }
    let personal = [("etag", "\"a\""), ("vary", "cookie")];
    let set = Set::of(&[(200, &[("cookie", "a=1")], &personal)]);
    assert_eq!(set.conditions(&[("cookie", "a=2")]), None);
    assert!(set.conditions(&[("cookie", "a=1")]).is_some());
}

#[test]
fn entity_tags_that_are_sent_are_bounded_in_number_and_size() {
    let response = |at: usize, length: usize| {
        let tag = format!("\"{at}{}\"", "x".repeat(length));
        (StatusCode::OK, fields(&[("etag", &tag), ("vary", "a")]))
    };
    for (length, most) in [(0, 16), (1000, 4)] {
        let stored = (0..40).map(|at| {
            let (status, headers) = response(at, length);
            let vary = Vary::of(&headers, &fields(&[("a", &at.to_string())])).unwrap();
            (status, vary, headers)
        });
        let set = Set(stored.collect());
        let conditions = set.conditions(&[("a", "39")]).unwrap();
        assert_eq!(
            (conditions.asked().len(), conditions.asked()[0]),
            (most, 39)
        );
        let (sent, _) = set.sent(&[("a", "39")]);
        assert!(sent.unwrap().len() <= 4096);
    }
}

#[test]
fn a_304_is_about_what_its_validator_names_9111_4_3_4() {
    let stored = [
        ("etag", "\"a\""),
        ("last-modified", EARLIER),
        ("date", MOMENT),
    ];
    let set = Set::of(&[(200, &[], &stored)]);
    let weak = Set::of(&[(200, &[], &[("etag", "W/\"a\"")])]);
    for (set, not_modified, identified) in [
        (&set, &[("etag", "\"a\"")][..], true),
        // A strong validator that is not stored: it MUST NOT update anything.
        (&set, &[("etag", "\"b\"")], false),
        (
            &set,
            &[("etag", "\"b\""), ("last-modified", EARLIER)],
            false,
        ),
        (&weak, &[("etag", "\"a\"")], false),
        (&weak, &[("etag", "W/\"a\"")], true),
        (&set, &[("etag", "W/\"a\"")], true),
        (&set, &[("etag", "W/\"b\"")], false),
        (&set, &[("last-modified", EARLIER)], true),
        (&set, &[("last-modified", MOMENT)], false),
        (&set, &[("last-modified", "once")], false),
        (&set, &[("etag", "a")], false),
        // It leaves out what it must repeat; but one response was asked about.
        (&set, &[], true),
    ] {
        let found = set.identified(&[], not_modified);
        assert_eq!(found == [0], identified, "{not_modified:?}");
    }
}

#[test]
fn a_strong_validator_updates_all_that_have_it_and_a_weak_one_the_most_recent_9111_4_3_4() {
    let stored = |tag: &'static str, date| [("etag", tag), ("date", date), ("vary", "a")];
    let set = Set::of(&[
        (200, &[("a", "1")], &stored("\"x\"", EARLIER)),
        (200, &[("a", "1")], &stored("W/\"x\"", LATER)),
        (200, &[("a", "2")], &stored("\"x\"", LATER)),
        (200, &[("a", "1")], &stored("W/\"x\"", MOMENT)),
        (200, &[("a", "3")], &stored("W/\"x\"", MOMENT)),
    ]);
    let request = [("a", "1")];
    assert_eq!(set.identified(&request, &[("etag", "\"x\"")]), [0, 2]);
    assert_eq!(set.identified(&request, &[("etag", "W/\"x\"")]), [1]);
    // Nothing names one of several.
    assert!(set.identified(&request, &[]).is_empty());
}

#[test]
fn a_304_may_choose_a_variant_of_another_request_only_by_a_strong_entity_tag() {
    let stored = [
        ("etag", "\"x\""),
        ("vary", "a"),
        ("last-modified", EARLIER),
        ("date", MOMENT),
    ];
    let set = Set::of(&[(200, &[("a", "1")], &stored)]);
    let request = [("a", "2")];
    assert_eq!(set.identified(&request, &[("etag", "\"x\"")]), [0]);
    for unclear in [
        &[][..],
        &[("etag", "W/\"x\"")],
        &[("last-modified", EARLIER)],
    ] {
        assert!(set.identified(&request, unclear).is_empty(), "{unclear:?}");
    }
}

#[test]
fn fields_of_a_304_replace_those_that_are_stored_9111_3_2() {
    let stored = fields(&[
        ("a", "1"),
        ("a", "2"),
        ("b", "1"),
        ("content-length", "36"),
        ("content-type", "text/plain"),
        ("content-encoding", "x"),
        ("connection-like", "1"),
    ]);
    let received = fields(&[
        ("a", "3"),
        ("c", "4"),
        ("c", "5"),
        ("age", "9"),
        ("connection", "d"),
        ("content-encoding", "y"),
        ("content-length", "10"),
        ("content-range", "bytes 0-1/2"),
        ("content-type", "text/html"),
        ("d", "6"),
        ("keep-alive", "1"),
        ("transfer-encoding", "chunked"),
    ]);
    let expected = fields(&[
        ("a", "3"),
        ("b", "1"),
        ("c", "4"),
        ("c", "5"),
        ("content-length", "36"),
        // Stored as received: not decoded, not interpreted.
        ("content-type", "text/html"),
        ("content-encoding", "y"),
        ("connection-like", "1"),
    ]);
    assert_eq!(updated(&stored, &received), expected);
    let ranged = fields(&[("content-range", "a")]);
    assert_eq!(
        updated(&ranged, &fields(&[("content-range", "b")]))["content-range"],
        "b"
    );
}

#[test]
fn a_head_updates_what_it_agrees_with_and_makes_the_rest_stale_9111_4_3_5() {
    let stored: Lines<'_> = &[
        ("etag", "\"a\""),
        ("last-modified", MOMENT),
        ("content-length", "5"),
    ];
    for (status, stored, length, head, expected) in [
        (200, stored, Some(5), &[][..], "update"),
        (
            200,
            stored,
            Some(5),
            &[("etag", "\"a\""), ("content-length", "5")],
            "update",
        ),
        (200, stored, Some(5), &[("etag", "\"b\"")], "invalidate"),
        (200, stored, Some(5), &[("etag", "W/\"a\"")], "invalidate"),
        (
            200,
            stored,
            Some(5),
            &[("last-modified", LATER)],
            "invalidate",
        ),
        (
            200,
            stored,
            Some(5),
            &[("last-modified", "Sun Nov  6 08:49:37 1994")],
            "update",
        ),
        (
            200,
            stored,
            Some(5),
            &[("content-length", "6")],
            "invalidate",
        ),
        (200, stored, None, &[("content-length", "6")], "invalidate"),
        (
            200,
            stored,
            Some(5),
            &[("content-length", "five")],
            "invalidate",
        ),
        (200, &[], None, &[("content-length", "6")], "update"),
        (200, &[], Some(5), &[("etag", "\"a\"")], "invalidate"),
        (410, stored, Some(5), &[], "ignore"),
    ] {
        let set = Set::of(&[(200, &[], stored)]);
        let status = StatusCode::from_u16(status).unwrap();
        let update = head_update(&set.views()[0], length, status, &fields(head));
        let word = match &update {
            HeadUpdate::Update(_) => "update",
            HeadUpdate::Invalidate => "invalidate",
            HeadUpdate::Ignore => "ignore",
        };
        assert_eq!(word, expected, "{status} {head:?}");
    }
}

#[test]
fn a_head_brings_its_fields_into_what_is_stored_9111_4_3_5() {
    let set = Set::of(&[(200, &[], &[("a", "1"), ("b", "1")])]);
    let update = head_update(
        &set.views()[0],
        None,
        StatusCode::OK,
        &fields(&[("b", "2")]),
    );
    assert!(matches!(update, HeadUpdate::Update(new) if new == fields(&[("a", "1"), ("b", "2")])));
}
