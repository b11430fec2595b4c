//! Whole lines, compared whole.

use std::time::Duration;

use http::Method;
use jiff::Timestamp;

use super::Format;
use crate::addr::Authority;
use crate::report::{Protocol, Record, RequestId, Verdict};

fn record(protocol: Protocol, authority: &str) -> Record {
    let time = Timestamp::from_microsecond(1_790_000_000_007_900).expect("a date");
    let id: RequestId = "01k6x3v9q2r8t4m0c5hb".parse().expect("an id");
    let client = "192.0.2.7:51234".parse().expect("an address");
    let mut record = Record::new(time, id, 3, "egress".into(), client, protocol);
    record.authority = Authority::parse(authority, None).ok();
    record
}

fn exchange() -> Record {
    let mut record = record(Protocol::Http11, "example.com:80");
    record.principal = Some("alice".into());
    record.method = Some(Method::GET);
    record.path = Some("/a/b".into());
    record.status = Some(200);
    record.verdict = Verdict::Allow;
    record.rule = Some("the web".into());
    record.cache = Some("miss");
    record.bytes_in = 120;
    record.bytes_out = 5120;
    record.origin = Some("[2001:db8::5]:80".parse().expect("an address"));
    record.dns = Some(Duration::from_micros(1_234));
    record.connect = Some(Duration::from_millis(20));
    record.first_byte = Some(Duration::from_micros(30_001));
    record.total = Some(Duration::from_micros(45_678));
    record.user_agent = Some("curl/8.0".into());
    record.content_type = Some("text/html; charset=utf-8".into());
    record
}

fn denied_tunnel() -> Record {
    let mut record = record(Protocol::Connect, "[2001:db8::1]:443");
    record.method = Some(Method::CONNECT);
    record.status = Some(403);
    record.verdict = Verdict::Deny;
    record.rule = Some("default".into());
    record.reason = Some("no rule allows this".into());
    record.total = Some(Duration::from_micros(99));
    record
}

fn cut_socks() -> Record {
    let mut record = record(Protocol::Socks5, "example.com:22");
    record.verdict = Verdict::WouldDeny;
    record.rule = Some("ssh".into());
    record.reason = Some("killed".into());
    record.aborted = true;
    record.bytes_in = 1;
    record.bytes_out = 2;
    record.origin = Some("203.0.113.9:22".parse().expect("an address"));
    record.reused = true;
    record.total = Some(Duration::from_secs(1_234_567));
    record
}

fn failed() -> Record {
    let mut record = record(Protocol::Http2, "example.com:443");
    record.scheme = "https";
    record.method = Some(Method::POST);
    record.path = Some("/".into());
    record.status = Some(504);
    record.verdict = Verdict::Allow;
    record.error = Some("connection_timeout");
    record
}

fn unreadable() -> Record {
    let mut record = record(Protocol::Http11, "");
    record.status = Some(400);
    record.reason = Some("the request line has no target".into());
    record.error = Some("http_request_error");
    record
}

fn hostile() -> Record {
    let mut record = exchange();
    record.principal = Some("eve\" - \r\nroot \u{1b}[2J".into());
    record.method = Method::from_bytes(b"G'E|T").ok();
    record.path =
        Some("/\r\nx \"<\\>\t\u{1b}[31m\u{0}\u{7f}\u{9b}é\u{202e}\u{2028}%0a~?token=secret".into());
    record.rule = Some("a \"rule\",\nb".into());
    record.reason = Some("line\nbreak".into());
    record.user_agent = Some("\"><script>\n\u{85}".into());
    record.content_type = Some("text/html\r\nx y; a".into());
    (record.dns, record.connect, record.first_byte, record.total) = (None, None, None, None);
    record
}

#[test]
fn json_has_every_fact_in_one_order() {
    for (record, expected) in [
        (
            exchange(),
            r#"{"time":"2026-09-21T14:13:20.007Z","id":"01k6x3v9q2r8t4m0c5hb","listener":"egress","worker":3,"client":"192.0.2.7:51234","principal":"alice","protocol":"http/1.1","scheme":"http","method":"GET","authority":"example.com:80","path":"/a/b","status":200,"verdict":"allow","rule":"the web","cache":"miss","bytes_in":120,"bytes_out":5120,"origin":"[2001:db8::5]:80","reused":false,"dns_ms":1.234,"connect_ms":20.000,"first_byte_ms":30.001,"total_ms":45.678,"user_agent":"curl/8.0","content_type":"text/html; charset=utf-8"}"#,
        ),
        (
            denied_tunnel(),
            r#"{"time":"2026-09-21T14:13:20.007Z","id":"01k6x3v9q2r8t4m0c5hb","listener":"egress","worker":3,"client":"192.0.2.7:51234","protocol":"connect","scheme":"tunnel","method":"CONNECT","authority":"[2001:db8::1]:443","status":403,"verdict":"deny","rule":"default","reason":"no rule allows this","bytes_in":0,"bytes_out":0,"total_ms":0.099}"#,
        ),
        (
            cut_socks(),
            r#"{"time":"2026-09-21T14:13:20.007Z","id":"01k6x3v9q2r8t4m0c5hb","listener":"egress","worker":3,"client":"192.0.2.7:51234","protocol":"socks5","scheme":"tunnel","authority":"example.com:22","verdict":"would-deny","rule":"ssh","reason":"killed","aborted":true,"bytes_in":1,"bytes_out":2,"origin":"203.0.113.9:22","reused":true,"total_ms":1234567000.000}"#,
        ),
        (
            unreadable(),
            r#"{"time":"2026-09-21T14:13:20.007Z","id":"01k6x3v9q2r8t4m0c5hb","listener":"egress","worker":3,"client":"192.0.2.7:51234","protocol":"http/1.1","scheme":"http","status":400,"reason":"the request line has no target","error":"http_request_error","bytes_in":0,"bytes_out":0}"#,
        ),
        (
            hostile(),
            r#"{"time":"2026-09-21T14:13:20.007Z","id":"01k6x3v9q2r8t4m0c5hb","listener":"egress","worker":3,"client":"192.0.2.7:51234","principal":"eve\" - \r\nroot \u001b[2J","protocol":"http/1.1","scheme":"http","method":"G'E|T","authority":"example.com:80","path":"/\r\nx \"<\\>\t\u001b[31m\u0000\u007f\u009bé\u202e\u2028%0a~","status":200,"verdict":"allow","rule":"a \"rule\",\nb","reason":"line\nbreak","cache":"miss","bytes_in":120,"bytes_out":5120,"origin":"[2001:db8::5]:80","reused":false,"user_agent":"\"><script>\n\u0085","content_type":"text/html\r\nx y; a"}"#,
        ),
    ] {
        let mut line = String::new();
        Format::Json.write(&mut line, &record);
        assert_eq!(line, format!("{expected}\n"));
        let read: serde_json::Value = serde_json::from_str(&line).expect("a line is JSON");
        assert_eq!(read["id"], "01k6x3v9q2r8t4m0c5hb");
    }
}

#[test]
fn combined_is_what_apache_would_write() {
    for (record, expected) in [
        (
            exchange(),
            r#"192.0.2.7 - alice [21/Sep/2026:14:13:20 +0000] "GET http://example.com/a/b HTTP/1.1" 200 5120 "-" "curl/8.0""#,
        ),
        (
            denied_tunnel(),
            r#"192.0.2.7 - - [21/Sep/2026:14:13:20 +0000] "CONNECT [2001:db8::1]:443 HTTP/1.1" 403 - "-" "-""#,
        ),
        (
            cut_socks(),
            r#"192.0.2.7 - - [21/Sep/2026:14:13:20 +0000] "CONNECT example.com:22 SOCKS/5" 200 2 "-" "-""#,
        ),
        (
            failed(),
            r#"192.0.2.7 - - [21/Sep/2026:14:13:20 +0000] "POST https://example.com/ HTTP/2.0" 504 - "-" "-""#,
        ),
        (
            unreadable(),
            r#"192.0.2.7 - - [21/Sep/2026:14:13:20 +0000] "-" 400 - "-" "-""#,
        ),
        (
            hostile(),
            r#"192.0.2.7 - eve\"\x20-\x20\r\nroot\x20\x1b[2J [21/Sep/2026:14:13:20 +0000] "G'E|T http://example.com/\r\nx\x20\"<\\>\t\x1b[31m\x00\x7f\xc2\x9b\xc3\xa9\xe2\x80\xae\xe2\x80\xa8%0a~ HTTP/1.1" 200 5120 "-" "\"><script>\n\xc2\x85""#,
        ),
    ] {
        let mut line = String::new();
        Format::Combined.write(&mut line, &record);
        assert_eq!(line, format!("{expected}\n"));
    }
}

#[test]
fn squid_is_what_squid_would_write() {
    for (record, expected) in [
        (
            exchange(),
            "1790000000.007     45 192.0.2.7 TCP_MISS/200 5120 GET http://example.com/a/b alice HIER_DIRECT/2001:db8::5 text/html",
        ),
        (
            denied_tunnel(),
            "1790000000.007      0 192.0.2.7 TCP_DENIED/403 0 CONNECT [2001:db8::1]:443 - HIER_NONE/- -",
        ),
        (
            cut_socks(),
            "1790000000.007 1234567000 192.0.2.7 TCP_TUNNEL_ABORTED/200 2 CONNECT example.com:22 - HIER_DIRECT/203.0.113.9 -",
        ),
        (
            failed(),
            "1790000000.007      0 192.0.2.7 TCP_MISS_TIMEDOUT/504 0 POST https://example.com/ - HIER_NONE/- -",
        ),
        (
            unreadable(),
            "1790000000.007      0 192.0.2.7 NONE_NONE/400 0 - error:invalid-request - HIER_NONE/- -",
        ),
        (
            hostile(),
            "1790000000.007      0 192.0.2.7 TCP_MISS/200 5120 G%27E%7CT http://example.com/%0D%0Ax%20%22%3C%5C%3E%09%1B%5B31m%00%7F%C2%9B%C3%A9%E2%80%AE%E2%80%A8%0a%7E eve%22%20-%20%0D%0Aroot%20%1B%5B2J HIER_DIRECT/2001:db8::5 text/html%0D%0Ax%20y",
        ),
    ] {
        let mut line = String::new();
        Format::Squid.write(&mut line, &record);
        assert_eq!(line, format!("{expected}\n"));
    }
}

#[test]
fn a_query_is_written_only_where_the_record_bears_one() {
    let mut record = exchange();
    record.path = Some("/a?password=1#x".into());
    for (query, json, url) in [
        (None, r#""path":"/a","status""#, "http://example.com/a "),
        (
            Some("b=\"c\""),
            r#""path":"/a","query":"b=\"c\"","status""#,
            "http://example.com/a?b=",
        ),
    ] {
        record.query = query.map(Into::into);
        for (format, expected) in [
            (Format::Json, json),
            (Format::Combined, url),
            (Format::Squid, url),
        ] {
            let mut line = String::new();
            format.write(&mut line, &record);
            assert!(line.contains(expected), "{line}");
            assert!(!line.contains("password"), "{line}");
        }
    }
}

#[test]
fn what_was_stopped_before_the_policy_has_squids_words() {
    for (status, word) in [(407, "TCP_DENIED/407"), (400, "NONE_NONE/400")] {
        let mut record = exchange();
        (record.verdict, record.status) = (Verdict::None, Some(status));
        let mut line = String::new();
        Format::Squid.write(&mut line, &record);
        assert!(line.contains(word), "{line}");
    }
}

#[test]
fn cache_outcomes_have_squids_words() {
    for (cache, word) in [
        ("hit", "TCP_HIT/"),
        ("revalidated", "TCP_REFRESH_UNMODIFIED/"),
        ("stale", "TCP_REFRESH_FAIL_OLD/"),
        ("bypass", "TCP_MISS/"),
    ] {
        let mut record = exchange();
        record.cache = Some(cache);
        let mut line = String::new();
        Format::Squid.write(&mut line, &record);
        assert!(line.contains(word), "{cache}: {line}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_breaks_a_line_or_changes_its_fields(text: String, control in "[\\x00-\\x20\"\\\\\\x7f-\\xa0]{0,8}") {
        let text = format!("{control}{text}{control}");
        let mut record = exchange();
        record.principal = Some(text.as_str().into());
        record.path = Some(format!("/{text}").into());
        record.query = Some(text.as_str().into());
        record.rule = Some(text.as_str().into());
        record.reason = Some(text.clone().into());
        record.user_agent = Some(text.as_str().into());
        record.content_type = Some(text.as_str().into());
        let line = |format: Format| {
            let mut line = String::new();
            format.write(&mut line, &record);
            line
        };
        for format in [Format::Json, Format::Combined, Format::Squid] {
            let line = line(format);
            proptest::prop_assert_eq!(line.find('\n'), Some(line.len() - 1));
            proptest::prop_assert!(!line.trim_end_matches('\n').chars().any(char::is_control));
        }
        let read: serde_json::Value = serde_json::from_str(&line(Format::Json)).expect("a line is JSON");
        for key in ["principal", "query", "rule", "reason", "user_agent", "content_type"] {
            proptest::prop_assert_eq!(read[key].as_str(), Some(text.as_str()));
        }
        proptest::prop_assert_eq!(line(Format::Squid).split_ascii_whitespace().count(), 10);
        // The quoted fields of combined: request, referrer, user agent.
        let combined = line(Format::Combined).replace("\\\\", "").replace("\\\"", "");
        proptest::prop_assert_eq!(combined.matches('"').count(), 6);
    }
}
