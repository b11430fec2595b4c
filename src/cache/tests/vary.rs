use super::*;
use http::HeaderValue;
use proptest::prelude::*;

fn fields(lines: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let name: HeaderName = name.parse().unwrap();
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

fn of(vary: &[&str], request: &[(&str, &str)]) -> Option<Vary> {
    let lines: Vec<_> = vary.iter().map(|value| ("vary", *value)).collect();
    Vary::of(&fields(&lines), &fields(request))
}

#[test]
fn names_are_read_from_all_lines_sorted_and_each_once_9110_12_5_5() {
    for (vary, names) in [
        (&[][..], &[][..]),
        (&[""], &[]),
        (&["Foo"], &["foo"]),
        (&["foo, BAR", "Baz ,foo,,"], &["bar", "baz", "foo"]),
    ] {
        let vary = of(vary, &[]).unwrap();
        let read: Vec<_> = vary.names.iter().map(HeaderName::as_str).collect();
        assert_eq!(read, names);
    }
}

#[test]
fn a_star_or_what_can_not_be_read_matches_nothing_9111_4_1() {
    let many: Vec<String> = (0..33).map(|at| format!("n{at}")).collect();
    let many = many.join(",");
    for vary in [
        &["*"][..],
        &["*, *"],
        &["*", "*"],
        &[", *"],
        &["", "*"],
        &["*, foo"],
        &["foo, *"],
        &["foo bar"],
        &["foo;bar"],
        &["\u{fc}"],
        &[many.as_str()],
    ] {
        assert_eq!(of(vary, &[]), None, "{vary:?}");
    }
}

type Lines<'a> = &'a [(&'a str, &'a str)];

fn check(cases: &[(&str, Lines<'_>, Lines<'_>, bool)]) {
    for (vary, one, other, expected) in cases {
        let vary = of(&[vary], one).unwrap();
        assert_eq!(vary.matches(&fields(other)), *expected, "{one:?} {other:?}");
    }
}

#[test]
fn requests_match_whose_named_fields_are_the_same_9111_4_1() {
    let both = [("foo", "1"), ("bar", "2")];
    check(&[
        ("foo", &[("foo", "1")], &[("foo", "1")], true),
        ("foo", &[("foo", "1")], &[("foo", "2")], false),
        ("foo", &[("foo", "a")], &[("foo", "A")], false),
        ("foo", &both, &[("foo", "1"), ("bar", "3")], true),
        ("foo, bar", &both, &[("bar", "2"), ("foo", "1")], true),
        ("foo, bar", &both, &[("foo", "2"), ("bar", "1")], false),
        ("foo, bar", &[("foo", "1")], &[("foo", "1")], true),
        // Absent is not empty.
        ("foo", &[], &[("foo", "1")], false),
        ("foo", &[("foo", "1")], &[], false),
        ("foo", &[("foo", "")], &[], false),
        ("foo", &[("foo", "-")], &[], false),
        ("accept", &[("accept", "")], &[], false),
    ]);
}

#[test]
fn lines_are_one_list_and_space_around_commas_is_nothing_9111_4_1() {
    let auth = "authorization";
    check(&[
        (
            "foo",
            &[("foo", "1, 2")],
            &[("foo", "1"), ("foo", "2")],
            true,
        ),
        ("foo", &[("foo", "1,2")], &[("foo", " 1 , 2 ")], true),
        ("foo", &[("foo", "1,2")], &[("foo", "2,1")], false),
        ("foo", &[("foo", "12")], &[("foo", "1 2")], false),
        // But within quotes.
        ("foo", &[("foo", "\"1, 2\"")], &[("foo", "\"1,2\"")], false),
        (
            "foo",
            &[("foo", "\"\\\", 2\"")],
            &[("foo", "\"\\\",2\"")],
            false,
        ),
        // Nor where nobody knows what is quoted.
        ("foo", &[("foo", "\"1, 2")], &[("foo", "\"1,2")], false),
        // And where a comma does not separate.
        (
            "cookie",
            &[("cookie", "a; b")],
            &[("cookie", "a"), ("cookie", "b")],
            true,
        ),
        (
            "cookie",
            &[("cookie", "a=1, 2")],
            &[("cookie", "a=1,2")],
            false,
        ),
        (auth, &[(auth, "A b, c")], &[(auth, "A b,c")], false),
    ]);
}

#[test]
fn preferences_match_that_mean_the_same_9111_4_1() {
    for (name, one, other, expected) in [
        ("accept-encoding", "gzip, br", "br,gzip", true),
        ("accept-encoding", "gzip, br", "GZIP;q=1.0 , br;Q=1", true),
        ("accept-encoding", "gzip, gzip", "gzip", true),
        ("accept-encoding", "gzip;q=0.5, br", "br, gzip;q=0.50", true),
        ("accept-encoding", "gzip;q=0.5, br", "br;q=0.5, gzip", false),
        ("accept-encoding", "gzip;q=0, br", "br", false),
        ("accept-encoding", "gzip", "gzip, br", false),
        ("accept-encoding", "gzip", "identity", false),
        ("accept-encoding", "gzip;q=2", "gzip", false),
        ("accept-encoding", "gzip;q=.5", "gzip;q=0.5", false),
        ("accept-encoding", "a, a;q=0", "a;q=0, a", false),
        ("accept-language", "en, de", "dE, En", true),
        ("accept-language", "en, de", " en ,   de", true),
        ("accept-language", "en, de", "fr;q=0.5, de;q=1.0", false),
        ("accept-language", "de;q=0.1", "de;q=0.100", true),
        ("accept-language", "de;q=0.1", "de;q=0.01", false),
        ("accept-charset", "utf-8, *;q=0.1", "*;q=0.1, UTF-8", true),
        (
            "accept",
            "text/html, */*;q=0.1",
            "*/*;q=0.1,TEXT/html",
            true,
        ),
        (
            "accept",
            "text/html;Level=1;q=0.3",
            "text/html;level=1;q=0.300",
            true,
        ),
        ("accept", "a/b;c=D", "a/b;c=d", false),
        ("accept", "a/b;c=\"x, y\"", "a/b;c=\"x,y\"", false),
        ("accept", "a/b;c=\"x,y/z\"", "a/b;c=\"x, y/z\"", false),
        ("accept", "a/b;c=\"x, d/e", "d/e, a/b;c=\"x", false),
        ("accept", "a/b;q=0.5;ext=1", "a/b;q=0.5", false),
        ("x-accept", "a, b", "b, a", false),
    ] {
        let vary = of(&[name], &[(name, one)]).unwrap();
        let matches = vary.matches(&fields(&[(name, other)]));
        assert_eq!(matches, expected, "{name}: {one} / {other}");
    }
}

#[test]
fn a_list_that_is_too_long_is_compared_as_it_is_written() {
    let long: Vec<String> = (0..100).map(|at| format!("c{at}")).collect();
    let turned: Vec<&str> = long.iter().rev().map(String::as_str).collect();
    let (long, turned) = (long.join(","), turned.join(","));
    let vary = of(&["accept-encoding"], &[("accept-encoding", &long)]).unwrap();
    assert!(vary.matches(&fields(&[("accept-encoding", &long)])));
    assert!(!vary.matches(&fields(&[("accept-encoding", &turned)])));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_and_a_request_matches_itself(
        vary in "[ -~]{0,40}", value in prop::collection::vec(0x20_u8..=0x7e, 0..60), name in 0..4_usize,
    ) {
        let name = ["accept", "accept-encoding", "cookie", "foo"][name];
        let mut request = HeaderMap::new();
        request.insert(name, HeaderValue::from_bytes(&value).unwrap());
        let _ = Vary::of(&fields(&[("vary", &vary)]), &request);
        let vary = Vary::of(&fields(&[("vary", name)]), &request).unwrap();
        prop_assert!(vary.matches(&request));
    }

    #[test]
    fn the_order_of_preferences_is_nothing_and_their_weights_are_all(
        names in prop::collection::btree_map("[a-z]{1,6}", 0_u16..=10, 1..8), seed in any::<u64>(),
    ) {
        let mut members: Vec<String> = names.iter().map(|(name, q)| format!("{name};q={}.{}", q / 10, q % 10)).collect();
        let one = members.join(", ");
        let length = members.len();
        members.rotate_left(usize::try_from(seed % 8).unwrap() % length);
        members.reverse();
        let vary = of(&["accept-encoding"], &[("accept-encoding", &one)]).unwrap();
        prop_assert!(vary.matches(&fields(&[("accept-encoding", &members.join(","))])));
        let (name, q) = names.iter().next().unwrap();
        let changed = one.replacen(&format!("{name};q={}.{}", q / 10, q % 10), &format!("{name};q=0.99"), 1);
        prop_assert!(!vary.matches(&fields(&[("accept-encoding", &changed)])));
    }
}
