use http::HeaderValue;

use super::*;

const NAME: HeaderName = HeaderName::from_static("cdn-cache-control");

/// The members as text, each with its argument; `None` where the field counts as absent.
fn members(lines: &[&str]) -> Option<Vec<String>> {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(
            NAME,
            HeaderValue::from_bytes(line.as_bytes()).expect("a value"),
        );
    }
    let members = read(&headers, &NAME)?;
    let text = |(name, argument): (String, Option<String>)| match argument {
        Some(argument) => format!("{name}={argument}"),
        None => name,
    };
    Some(members.into_iter().map(text).collect())
}

#[test]
fn a_dictionary_is_read_by_the_types_of_its_values_9213_2_1() {
    for (line, read) in [
        ("max-age=600", &["max-age=600"][..]),
        ("max-age=600, no-store", &["max-age=600", "no-store"]),
        ("max-age=600,no-store", &["max-age=600", "no-store"]),
        (
            "  max-age=600  ,\t no-store  ",
            &["max-age=600", "no-store"],
        ),
        (
            "max-age=600;x=1; y, s-maxage=1;a=\"b\"",
            &["max-age=600", "s-maxage=1"],
        ),
        ("no-store=?1", &["no-store"]),
        ("no-store=?0, max-age=1", &["max-age=1"]),
        (
            "private=\"a, b\", no-cache=\"c\"",
            &["private=a, b", "no-cache=c"],
        ),
        ("private=\"a\\\"b\"", &["private=a\"b"]),
        // The last of one name counts (RFC 9651 §4.2.2).
        ("max-age=1, max-age=2", &["max-age=2"]),
        ("max-age=1, max-age=x", &[]),
        // A value of another type is no use of the directive, but one that forbids has forbidden.
        ("max-age=\"600\", max-age2=1", &[]),
        ("max-age=600.0", &[]),
        (
            "max-age=x, s-maxage=(1 2), stale-if-error",
            &["stale-if-error"],
        ),
        (
            "no-store=1, private=(a b), no-cache=:YQ==:",
            &["no-store", "private", "no-cache"],
        ),
        (
            "must-revalidate=@1, proxy-revalidate=%\"a%c3%bc\"",
            &["must-revalidate", "proxy-revalidate"],
        ),
        ("public=\"x\", immutable=1", &[]),
        ("max-age=-600", &["max-age=-600"]),
        ("*x=1, a_b-c.d*=2", &[]),
        ("x=a/b:c, y=*a", &[]),
        ("max-age=999999999999999", &["max-age=999999999999999"]),
    ] {
        let read: Vec<String> = read.iter().map(|member| (*member).to_owned()).collect();
        assert_eq!(members(&[line]), Some(read), "{line}");
    }
}

#[test]
fn one_error_anywhere_makes_all_of_it_void_9651_4_2() {
    for line in [
        "",
        "  ",
        ",",
        "max-age=600,",
        ",max-age=600",
        "max-age=600,,no-store",
        "max-age=600 no-store",
        "max-age =600",
        "max-age= 600",
        "max-age=",
        "Max-Age=600",
        "max-age=600, No-Store",
        "1x=1",
        "max-age=1000000000000000",
        "max-age=1.",
        "max-age=.5",
        "max-age=1.2345",
        "max-age=1234567890123.5",
        "max-age=--1",
        "max-age=-",
        "private=\"a",
        "private=\"a\\x\"",
        "private=\"a\tb\"",
        "private=\"\u{fc}\"",
        "private=(a b",
        "private=(a,b)",
        "private=(a\tb)",
        "private=(a\"b\")",
        "no-store=?2",
        "no-store=?",
        "no-store=:a",
        "no-store=:a-b:",
        "no-store=@",
        "no-store=@1.5",
        "no-store=%\"%C3\"",
        "no-store=%\"%ff\"",
        "no-store=%\"%c\"",
        "no-store=%a",
        "no-store;",
        "no-store;=1",
        "no-store;A",
        "no-store; x=",
        "no-store=\u{fc}",
        "no-store\u{1f}x",
    ] {
        if HeaderValue::from_bytes(line.as_bytes()).is_ok() {
            assert_eq!(members(&[line]), None, "{line}");
        }
    }
}

#[test]
fn lines_are_one_list_and_a_field_that_is_not_there_says_nothing() {
    assert_eq!(members(&[]), None);
    let both = members(&["max-age=600", "no-store"]);
    assert_eq!(
        both,
        Some(vec!["max-age=600".to_owned(), "no-store".to_owned()])
    );
    assert_eq!(members(&["max-age=600", ""]), None);
    assert_eq!(
        members(&["private=\"a", "b\""]).map(|all| all.len()),
        Some(1)
    );
}

#[test]
fn more_members_than_anyone_needs_are_void() {
    let all = |count: usize| {
        let names: Vec<String> = (0..count).map(|n| format!("x{n}")).collect();
        members(&[&names.join(", ")]).is_some()
    };
    assert!(all(MOST) && !all(MOST + 1));
}
