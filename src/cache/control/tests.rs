//! What a rule says of caching: read, told again, and applied to keys.

use http::HeaderMap;

use super::*;
use crate::fault::{Fault, Faults, Source};
use crate::settings::Table;

fn read(written: &str) -> (Control, Vec<String>) {
    let faults = Faults::new();
    let source = Source::new("p.toml", format!("cache = {written}"));
    let value = Table::parse(&source, &faults).take_value("cache");
    let control = value.and_then(|value| Control::read(value, &faults));
    let told = faults.into_vec().iter().map(Fault::render).collect();
    (control.unwrap_or_default(), told)
}

fn control(written: &str) -> Control {
    let (control, told) = read(written);
    assert_eq!(told, Vec::<String>::new(), "{written}");
    control
}

fn fields(lines: &[(&'static str, &[u8])]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for (name, value) in lines {
        let value = http::HeaderValue::from_bytes(value).expect("a value");
        fields.append(*name, value);
    }
    fields
}

#[test]
fn what_is_written_is_read_and_told_again_in_the_same_words() {
    let whole = "{ ttl = \"1d\", ignore-query = [\"utm_*\", \"fbclid\"], \
                 key = { headers = [\"accept-language\", \"x-device\"], cookies = [\"session\"] }, largest = \"10MiB\", \
                 min-uses = 2, errors = \"10s\", set-cookie = \"strip\", stale-while-revalidate = \"90s\", stale-if-error = \"1h\" }";
    for written in [
        "\"off\"",
        "{}",
        "{ ignore-query = true }",
        "{ set-cookie = \"store\" }",
        "{ ttl = \"1500ms\" }",
        whole,
    ] {
        let shown = control(written).to_string();
        assert_eq!(shown, written);
        assert_eq!(control(&shown), control(written));
    }
    let off = Control {
        enabled: false,
        ..Control::default()
    };
    for (written, same) in [
        ("false", off),
        ("true", Control::default()),
        ("\"on\"", Control::default()),
        (
            "{ ignore-query = false, min-uses = 1, set-cookie = \"refuse\" }",
            Control::default(),
        ),
    ] {
        assert_eq!(control(written), same, "{written}");
    }
    let names = control(
        "{ key = { headers = [\"X-B\", \"x-a\", \"X-A\"], cookies = [\"b\", \"a\", \"b\"] } }",
    );
    assert_eq!(names.key_headers.len(), 2);
    assert_eq!(*names.key_cookies, ["a".into(), "b".into()]);
}

#[test]
fn what_can_not_be_meant_is_a_fault_with_a_remedy() {
    for (written, problem, remedy) in WRONG {
        let (_, told) = read(written);
        let all = told.join("\n");
        assert!(all.contains("p.toml:1:"), "{written}: {all}");
        assert!(
            all.contains(problem) && all.contains(remedy),
            "{written}: {all}"
        );
    }
    let (_, told) = read("{ ttl = \"0s\", largest = \"0\", min-uses = 0, nothing = 1 }");
    assert_eq!(told.len(), 4, "{told:?}");
}

#[test]
fn ignored_parameters_leave_the_rest_byte_for_byte() {
    let some = control("{ ignore-query = [\"utm_*\", \"fbclid\"] }");
    for (target, key) in [
        ("/a", "/a"),
        ("/a?", "/a?"),
        ("/a?b=1&c", "/a?b=1&c"),
        ("/a?utm_source=x", "/a"),
        ("/a?fbclid", "/a"),
        ("/a?b=%20&utm_x=1&c=&&d", "/a?b=%20&c=&&d"),
        ("/a?z=1&fbclid=2&a=3&utm_&z=1", "/a?z=1&a=3&z=1"),
        ("/a?&utm_a=1", "/a?"),
        ("/a?UTM_a=1&fbclid2=1", "/a?UTM_a=1&fbclid2=1"),
        ("/a?b=utm_x", "/a?b=utm_x"),
        ("/utm_x?b", "/utm_x?b"),
        // What an origin might take apart at the semicolon is not ignored.
        ("/a?utm_a=1;callback=evil", "/a?utm_a=1;callback=evil"),
        ("/a?x=1?utm_a=1", "/a?x=1?utm_a=1"),
    ] {
        assert_eq!(some.query_for_key(target), key, "{target}");
    }
    let all = control("{ ignore-query = true }");
    assert_eq!(all.query_for_key("/a?b=1"), "/a");
    assert_eq!(Control::default().query_for_key("/a?utm_a=1"), "/a?utm_a=1");
}

#[test]
fn no_two_requests_that_differ_in_what_is_keyed_look_alike() {
    let control =
        control("{ key = { headers = [\"Accept-Language\", \"X-Device\"], cookies = [\"s\"] } }");
    let requests: &[&[(&'static str, &[u8])]] = &[
        &[],
        &[("accept-language", b"")],
        &[("accept-language", b"-")],
        &[("accept-language", b"de")],
        &[("accept-language", b"d"), ("accept-language", b"e")],
        &[("accept-language", b"d1:e")],
        &[("accept-language", b"de] x-device=[")],
        &[("accept-language", b"\xff")],
        &[("accept-language", b"\xfe")],
        &[("x-device", b"de")],
        &[("x-device", b"")],
        &[("cookie", b"s=1")],
        &[("cookie", b"s=1; s=2")],
        &[("cookie", b"s=2; s=1")],
        &[("cookie", b"s=")],
        &[("cookie", b"s=12")],
    ];
    let extras: Vec<String> = requests
        .iter()
        .map(|lines| control.extras(&fields(lines)))
        .collect();
    for (index, one) in extras.iter().enumerate() {
        assert!(!extras[..index].contains(one), "{one} stands twice");
    }
    for (one, other) in [
        (
            &[("cookie", &b"a=1; s=1"[..])][..],
            &[("cookie", &b"s=1"[..])][..],
        ),
        (
            &[("cookie", b"b=2"), ("cookie", b"s=1 ;c")],
            &[("cookie", b"s=1")],
        ),
        (&[("user-agent", b"x")], &[]),
        (&[("cookie", b"S=1")], &[]),
    ] {
        assert_eq!(
            control.extras(&fields(one)),
            control.extras(&fields(other)),
            "{one:?}"
        );
    }
    assert_eq!(
        Control::default().extras(&fields(&[("cookie", b"s=1")])),
        ""
    );
}

#[test]
fn a_key_shows_no_secret() {
    let control = control(
        "{ key = { headers = [\"Accept\", \"Authorization\", \"Cookie\", \"X-Token\"], cookies = [\"s\"] } }",
    );
    let request = fields(&[
        ("accept", b"text/html"),
        ("authorization", b"Bearer hunter2"),
        ("cookie", b"s=hunter2"),
        ("x-token", b"hunter2"),
    ]);
    let extras = control.extras(&request);
    assert!(
        extras.starts_with("accept=[9:text/html] authorization=[#"),
        "{extras}"
    );
    assert!(extras.is_ascii() && !extras.contains("hunter2"), "{extras}");
    let long = fields(&[("accept", &[b'a'; 60_000])]);
    assert!(control.extras(&long).len() < 300);
}

const WRONG: &[(&str, &str, &str)] = &[
    ("\"of\"", "\"of\" is not known here", "\"off\""),
    ("7", "expected \"off\", or a table", ""),
    ("{ ttl = \"0s\" }", "no time at all", "cache = false"),
    ("{ ttl = 60 }", "expected a duration", ""),
    ("{ tll = \"1d\" }", "unknown key \"tll\"", "\"ttl\""),
    (
        "{ off = true, ttl = \"1d\" }",
        "\"off\" does not stand beside",
        "cache = \"off\" alone",
    ),
    (
        "{ enabled = false }",
        "\"enabled\" does not stand beside",
        "cache = \"off\" alone",
    ),
    (
        "{ ignore-query = [] }",
        "an empty array says nothing",
        "true ignores",
    ),
    (
        "{ ignore-query = \"*\" }",
        "every parameter",
        "ignore-query = true",
    ),
    (
        "{ ignore-query = [\"a*b\"] }",
        "not a parameter's name",
        "utm_*",
    ),
    (
        "{ ignore-query = [\"a=b\"] }",
        "not a parameter's name",
        "utm_*",
    ),
    (
        "{ key = { headers = [\"a b\"] } }",
        "not a field's name",
        "Accept-Language",
    ),
    (
        "{ key = { headers = [\"Host\"] } }",
        "a part of each key",
        "leave it out",
    ),
    (
        "{ key = { headers = [\"Proxy-Authorization\"] } }",
        "no origin sees it",
        "leave it out",
    ),
    (
        "{ key = { headers = [\"Range\"] } }",
        "the cache answers this field itself",
        "leave it out",
    ),
    (
        "{ key = { cookies = [\"a;b\"] } }",
        "not a cookie's name",
        "session",
    ),
    (
        "{ key = { cookie = \"a\" } }",
        "unknown key \"cookie\"",
        "\"cookies\"",
    ),
    ("{ largest = \"0\" }", "nothing is stored", "cache = false"),
    (
        "{ min-uses = 0 }",
        "1st to 1000th",
        "2 what is asked for twice",
    ),
    ("{ errors = \"0s\" }", "no time at all", "leave it out"),
    (
        "{ set-cookie = \"keep\" }",
        "\"keep\" is not known",
        "refuse, strip, store",
    ),
];
