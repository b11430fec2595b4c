//! Filters as a rule writes them: what is refused at load, what becomes of fields.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use http::{HeaderMap, HeaderValue, Method};

use super::{Channel, Filters, Variables, table};
use crate::addr::Host;
use crate::fault::{Faults, Source};
use crate::settings::Table;

#[test]
fn a_credential_replaces_every_value_of_the_client_or_its_placeholder_inside_one() {
    let whole = filters(
        "inject = { header = \"Authorization\", value = { file = \"S\" }, prefix = \"Bearer \" }",
    );
    let part = filters(
        "inject = { header = \"Authorization\", value = { file = \"S\" }, placeholder = \"PUT-IT-HERE\" }",
    );
    let cases: &[(&Filters, &[&str], &[&str])] = &[
        (&whole, &[], &["Bearer s3cr/et=="]),
        (&whole, &["Basic a", "Basic b"], &["Bearer s3cr/et=="]),
        (&part, &[], &[]),
        (&part, &["Basic a"], &["Basic a"]),
        (&part, &["PUT-IT-HERE"], &["s3cr/et=="]),
        (
            &part,
            &["Token t=\"PUT-IT-HERE\", PUT-IT-HERE", "other"],
            &["Token t=\"s3cr/et==\", s3cr/et==", "other"],
        ),
    ];
    for (filters, sent, expected) in cases {
        let mut headers = fields("authorization", sent);
        filters.on_request(&mut headers, &Variables::default());
        assert_eq!(values(&headers, "authorization"), *expected, "{sent:?}");
        for value in headers.get_all("authorization") {
            let secret = value.to_str().is_ok_and(|text| text.contains("s3cr"));
            assert_eq!(value.is_sensitive(), secret, "{sent:?}");
        }
    }
}

#[test]
fn a_secret_is_hidden_in_the_fields_that_come_back_however_they_spell_it() {
    let filters = filters(
        "inject = { header = \"Authorization\", value = { file = \"S\" }, prefix = \"Bearer \" }",
    );
    for (sent, expected) in [
        ("nothing", "nothing"),
        ("s3cr/et==", "(hidden)"),
        (
            "got Bearer s3cr/et==, s3cr/et==",
            "got Bearer (hidden), (hidden)",
        ),
        ("/?t=s3cr%2Fet%3D%3D&u=1", "/?t=(hidden)&u=1"),
        ("/?t=s3cr%2fet==&u=s3cr/et==", "/?t=(hidden)&u=(hidden)"),
        ("100%, %zz, s3cr%2Fet", "100%, %zz, s3cr%2Fet"),
        (r#""s3cr\/et\==", \"#, r#""(hidden)", \"#),
    ] {
        let mut headers = fields("location", &[sent]);
        filters.on_response(&mut headers, true, &Variables::default());
        assert_eq!(values(&headers, "location"), [expected]);
    }
}

#[test]
fn of_two_secrets_the_one_that_holds_the_other_is_hidden_whole() {
    let filters = filters(
        "inject = [{ header = \"a\", value = { file = \"SHORT\" } }, { header = \"b\", value = { file = \"S\" } }]",
    );
    let mut headers = fields("x", &["s3cr/et== s3cr"]);
    filters.on_response(&mut headers, true, &Variables::default());
    assert_eq!(values(&headers, "x"), ["(hidden) (hidden)"]);
}

#[test]
fn a_field_that_is_named_like_a_secret_does_not_come_back() {
    let filters = filters("inject = { header = \"a\", value = { file = \"SHORT\" } }");
    let mut headers = fields("x-s3cr-id", &["1"]);
    headers.insert("x-id", HeaderValue::from_static("2"));
    filters.on_response(&mut headers, true, &Variables::default());
    assert_eq!(headers.keys().collect::<Vec<_>>(), ["x-id"]);
}

#[test]
fn a_credential_is_not_for_plain_http_nor_for_methods_that_send_it_back() {
    let tls = "inject = { header = \"a\", value = { file = \"S\" } }";
    let open = "inject = { header = \"a\", value = { file = \"S\" }, insecure = true }";
    for (text, secure, method, expected) in [
        (tls, true, Method::GET, true),
        (tls, false, Method::GET, false),
        (open, false, Method::POST, true),
        (open, false, Method::TRACE, false),
        (tls, true, Method::TRACE, false),
        ("hsts = { max-age = \"1d\" }", false, Method::TRACE, true),
    ] {
        let channel = Channel {
            secure,
            method: Some(method.clone()),
        };
        let met = filters(text).check(&channel).is_ok();
        assert_eq!(met, expected, "{text} {secure} {method}");
    }
}

#[test]
fn hsts_is_said_over_tls_alone_and_in_place_of_the_origin_s_own() {
    for (text, secure, expected) in [
        ("max-age = \"1d\"", true, &["max-age=86400"][..]),
        (
            "max-age = \"365d\", include-subdomains = true, preload = true",
            true,
            &["max-age=31536000; includeSubDomains; preload"],
        ),
        ("max-age = \"0s\"", true, &["max-age=0"]),
        ("max-age = \"1d\"", false, &[]),
    ] {
        let filters = filters(&format!("hsts = {{ {text} }}"));
        let mut headers = fields("strict-transport-security", &["max-age=1", "max-age=2"]);
        filters.on_response(&mut headers, secure, &Variables::default());
        assert_eq!(
            values(&headers, "strict-transport-security"),
            expected,
            "{text}"
        );
    }
}

/// Settings, and what is told about each.
const WRONG: &[(&str, &str)] = &[
    ("inject = []", "an empty array"),
    (
        "inject = { value = { file = \"S\" } }",
        "\"header\" is missing",
    ),
    ("inject = { header = \"a\" }", "\"value\" is missing"),
    (
        "inject = { header = \"host\", value = { file = \"S\" } }",
        "belongs to framing",
    ),
    (
        "inject = { header = \"a b\", value = { file = \"S\" } }",
        "not a field name",
    ),
    (
        "inject = { header = \"a\", value = { file = \"EMPTY\" } }",
        "the secret is empty",
    ),
    (
        "inject = { header = \"a\", value = { file = \"LINES\" } }",
        "not one line",
    ),
    (
        "inject = { header = \"a\", value = { file = \"TINY\" } }",
        "too short",
    ),
    (
        "inject = { header = \"a\", value = { file = \"NONE\" } }",
        "cannot read",
    ),
    (
        "inject = { header = \"a\", value = { env = \"EGRET_NO_SUCH\" } }",
        "the environment has no",
    ),
    (
        "inject = { header = \"a\", value = { file = \"S\" }, placeholder = \"\" }",
        "is empty",
    ),
    (
        "inject = { header = \"a\", value = { file = \"S\" }, prefix = \"\\n\" }",
        "control",
    ),
    (
        "inject = { header = \"a\", value = { file = \"S\" }, also = 1 }",
        "unknown key",
    ),
    (
        "inject = [{ header = \"a\", value = { file = \"S\" } }, { header = \"A\", value = { file = \"S\" }, placeholder = \"x\" }]",
        "two credentials",
    ),
    (
        "headers.request.set.x = \"{query}\"",
        "no variable \"{query}\"",
    ),
    (
        "headers.request.add.x = \"{Client}{clientip}\"",
        "no variable \"{clientip}\"",
    ),
    ("headers.request.add.host = \"x\"", "belongs to framing"),
    ("hsts = {}", "\"max-age\" is missing"),
    (
        "hsts = { max-age = \"1d\", include-subdomains = true, preload = true }",
        "a year",
    ),
    ("hsts = { max-age = \"365d\", preload = true }", "a year"),
];

#[test]
fn what_can_not_be_sent_or_hidden_is_a_fault_and_never_shows_a_secret() {
    for (text, problem) in WRONG {
        let faults = Faults::new();
        read(text, &faults);
        let faults = faults.into_vec();
        assert!(
            faults.len() == 1 && faults.iter().all(|fault| fault.problem.contains(problem)),
            "{text}: {faults:?}"
        );
        assert!(!format!("{faults:?}").contains("s3cr"), "{faults:?}");
    }
    let filters = filters("inject = { header = \"a\", value = { file = \"S\" } }");
    assert!(!format!("{filters:?}").contains("s3cr"));
    assert_eq!(filters.wanting_hosts(), Some("inject"));
}

#[test]
fn fields_are_made_of_variables_and_nothing_of_theirs_ends_a_line() {
    let host = Host::parse("www.example").expect("it is a host");
    let known = Variables {
        client: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7))),
        host: Some(&host),
        path: "/a%0d",
        scheme: "https",
        method: "GET",
        id: Some(&17),
        listener: "web",
        principal: "eve\r\nx-admin: 1",
        route: "api",
        ..Variables::default()
    };
    for (text, expected) in [
        ("plain", Some("plain")),
        ("{client}", Some("192.0.2.7")),
        (
            "for={client};host={host};proto={scheme}",
            Some("for=192.0.2.7;host=www.example;proto=https"),
        ),
        (
            "{method} {path} {id} {listener} {route}",
            Some("GET /a%0d 17 web api"),
        ),
        ("{principal}", Some("eve__x-admin: 1")),
        // Other braces are the text's own.
        ("{{client}}", Some("{client}")),
        ("{ \"a\": {} }", Some("{ \"a\": {} }")),
        ("{{{client}", Some("{{192.0.2.7")),
        ("{client", Some("{client")),
    ] {
        let filters = filters(&format!("headers.request.set.x-made = '{text}'"));
        let mut headers = fields("x-made", &["forged", "twice"]);
        filters.on_request(&mut headers, &known);
        assert_eq!(
            values(&headers, "x-made"),
            Vec::from_iter(expected),
            "{text}"
        );
        // Where it is not known, what the client wrote does not pass for it.
        let mut headers = fields("x-made", &["forged"]);
        filters.on_request(&mut headers, &Variables::default());
        let made = values(&headers, "x-made").len();
        assert_eq!(made, usize::from(known_without_request(text)), "{text}");
    }
}

fn known_without_request(text: &str) -> bool {
    let text = text.replace("{{client}}", "");
    !["{client}", "{host}", "{method}", "{principal}"]
        .iter()
        .any(|name| text.contains(name))
}

#[test]
fn a_field_that_is_set_or_removed_does_not_come_with_underscores() {
    let filters = filters(
        "headers = { request = { set = { x-user-id = \"{client}\" }, remove = [\"x-debug-all\"] } }",
    );
    let mut headers = HeaderMap::new();
    for name in ["x_user_id", "x-user_id", "x-debug_all", "x_other"] {
        headers.insert(name, HeaderValue::from_static("root"));
    }
    let variables = Variables {
        client: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        ..Variables::default()
    };
    filters.on_request(&mut headers, &variables);
    let mut names: Vec<&str> = headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["x-user-id", "x_other"]);
    assert_eq!(values(&headers, "x-user-id"), ["127.0.0.1"]);
}

#[test]
fn fields_are_added_beside_those_that_are_there() {
    let filters = filters(
        "headers = { request = { add = { x-tag = [\"{listener}\", \"b\"], x-none = \"{route}\" } }, \
         response = { add = { x-tag = \"c\" } } }",
    );
    let variables = Variables {
        listener: "web",
        ..Variables::default()
    };
    let mut headers = fields("x-tag", &["theirs"]);
    filters.on_request(&mut headers, &variables);
    assert_eq!(values(&headers, "x-tag"), ["theirs", "web", "b"]);
    assert!(!headers.contains_key("x-none"));
    let mut headers = fields("x-tag", &["theirs"]);
    filters.on_response(&mut headers, false, &variables);
    assert_eq!(values(&headers, "x-tag"), ["theirs", "c"]);
    // What is added must not come from behind: a trailer of the same name is taken out.
    let mut trailers = fields("x-tag", &["late"]);
    filters.on_response_trailers(&mut trailers);
    assert!(trailers.is_empty());
}

#[test]
fn a_trailer_does_not_bring_back_what_a_field_may_not_say() {
    let filters = filters(
        "headers = { response = { remove = [\"server\"], set = { x-kept = \"ours\" } } }\n\
         inject = { header = \"a\", value = { file = \"S\" } }\nhsts = { max-age = \"1d\" }",
    );
    let mut trailers = fields("server", &["secret/1.0"]);
    trailers.insert("x-kept", HeaderValue::from_static("theirs"));
    trailers.insert("x-sum", HeaderValue::from_static("s3cr/et=="));
    trailers.insert(
        "strict-transport-security",
        HeaderValue::from_static("max-age=0"),
    );
    filters.on_response_trailers(&mut trailers);
    assert_eq!(trailers, fields("x-sum", &["(hidden)"]));
}

/// The filters of a rule; `S`, `SHORT` and so on are files with secrets.
fn read(text: &str, faults: &Faults) -> Filters {
    let dir = tempfile::tempdir().expect("a folder for the secrets");
    for (name, secret) in [
        ("S", "s3cr/et==\n"),
        ("SHORT", "s3cr"),
        ("TINY", "s3c"),
        ("EMPTY", " \n"),
        ("LINES", "s3cr\net"),
    ] {
        std::fs::write(dir.path().join(name), secret).expect("the folder is ours");
    }
    let table = Table::parse(
        &Source::new(Path::new(dir.path()).join("p.toml"), text),
        faults,
    );
    let filters = table::read(&table, faults);
    table.finish(faults);
    filters
}

fn filters(text: &str) -> Filters {
    let faults = Faults::new();
    let filters = read(text, &faults);
    assert!(faults.is_empty(), "{text}: {:?}", faults.into_vec());
    filters
}

fn fields(name: &'static str, values: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        let value = HeaderValue::from_str(value).expect("the tables hold field values");
        headers.append(name, value);
    }
    headers
}

fn values<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    let values = headers.get_all(name).iter();
    values.map(|value| value.to_str().expect("text")).collect()
}
