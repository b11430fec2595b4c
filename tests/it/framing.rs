//! What is ambiguous is refused and never sent on: the proxy and the next hop must not read one message as two.
//! Not the ordinary life of a message, which is `forward`. RFC 9112 §2.2, §3.2, §5, §6, §7.1.

use crate::support::{Config, Egret, Origin, contains, ok};

/// `{o}` stands for the origin's authority.
struct Case {
    name: &'static str,
    bytes: &'static [u8],
}

const fn case(name: &'static str, bytes: &'static [u8]) -> Case {
    Case { name, bytes }
}

/// Seen in the head already: nothing is dialled.
const HEADS: &[Case] = &[
    case(
        "both Content-Length and Transfer-Encoding",
        b"POST http://{o}/ HTTP/1.1\r\nHost: {o}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    case(
        "both, the other way round",
        b"POST http://{o}/ HTTP/1.1\r\nHost: {o}\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    ),
    case(
        "both, one of them in odd case",
        b"POST http://{o}/ HTTP/1.1\r\nHost: {o}\r\ncONTENT-lENGTH: 5\r\ntRANSFER-eNCODING: chunked\r\n\r\n0\r\n\r\n",
    ),
    case(
        "differing Content-Lengths",
        b"POST http://{o}/ HTTP/1.1\r\nHost: {o}\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    ),
    case(
        "the same Content-Length twice",
        b"POST http://{o}/ HTTP/1.1\r\nHost: {o}\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    ),
    case(
        "a list of Content-Lengths",
        b"POST http://{o}/ HTTP/1.1\r\nHost: {o}\r\nContent-Length: 5, 5\r\n\r\nhello",
    ),
    case(
        "Content-Length with a plus",
        b"POST http://{o}/ HTTP/1.1\r\nHost: {o}\r\nContent-Length: +5\r\n\r\nhello",
    ),
    case(
        "Content-Length with a minus",
        b"POST http://{o}/ HTTP/1.1\r\nHost: {o}\r\nContent-Length: -5\r\n\r\nhello",
    ),
    case(
        "Content-Length in hexadecimal",
        b"POST http://{o}/ HTTP/1.1\r\nHost: {o}\r\nContent-Length: 0x5\r\n\r\nhello",
    ),
    case(
        "an empty Content-Length",
        b"POST http://{o}/ HTTP/1.1\r\nHost: {o}\r\nContent-Length: \r\n\r\n",
    ),
    case(
        "Content-Length with a space inside",
        b"POST http://{o}/ HTTP/1.1\r\nHost: {o}\r\nContent-Length: 1 0\r\n\r\nhellohello",
    ),
    case(
        "Content-Length beyond 64 bits",
        b"POST http://{o}/ HTTP/1.1\r\nHost: {o}\r\nContent-Length: 18446744073709551621\r\n\r\nhello",
    ),
    case(
        "chunked, then identity",
        b"POST http://{o}/ HTTP/1.1\r\nHost: {o}\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    ),
    case(
        "identity",
        b"POST http://{o}/ HTTP/1.1\r\nHost: {o}\r\nTransfer-Encoding: identity\r\n\r\n",
    ),
    case(
        "an unknown transfer coding",
        b"POST http://{o}/ HTTP/1.1\r\nHost: {o}\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    ),
    case(
        "chunked twice in one field",
        b"POST http://{o}/ HTTP/1.1\r\nHost: {o}\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    ),
    case(
        "chunked twice in two fields",
        b"POST http://{o}/ HTTP/1.1\r\nHost: {o}\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    case(
        "chunked and an unknown one in two fields",
        b"POST http://{o}/ HTTP/1.1\r\nHost: {o}\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n\r\n0\r\n\r\n",
    ),
    case(
        "chunked in quotes",
        b"POST http://{o}/ HTTP/1.1\r\nHost: {o}\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
    ),
    case(
        "chunked after a vertical tab",
        b"POST http://{o}/ HTTP/1.1\r\nHost: {o}\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    ),
    case(
        "an empty Transfer-Encoding",
        b"POST http://{o}/ HTTP/1.1\r\nHost: {o}\r\nTransfer-Encoding: \r\n\r\n",
    ),
    case(
        "Transfer-Encoding in HTTP/1.0",
        b"POST http://{o}/ HTTP/1.0\r\nHost: {o}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    case(
        "a folded field",
        b"GET http://{o}/ HTTP/1.1\r\nHost: {o}\r\nX-Long: one\r\n two\r\n\r\n",
    ),
    case(
        "a folded Transfer-Encoding",
        b"POST http://{o}/ HTTP/1.1\r\nHost: {o}\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    ),
    case(
        "a space before the first field",
        b"GET http://{o}/ HTTP/1.1\r\n Host: {o}\r\nX: y\r\n\r\n",
    ),
    case(
        "CR in a value",
        b"GET http://{o}/ HTTP/1.1\r\nHost: {o}\r\nX: one\rTransfer-Encoding: chunked\r\n\r\n",
    ),
    case(
        "lines that end with LF only",
        b"GET http://{o}/ HTTP/1.1\nHost: {o}\n\n",
    ),
    case(
        "one line that ends with LF only",
        b"GET http://{o}/ HTTP/1.1\r\nHost: {o}\r\nX: one\nY: two\r\n\r\n",
    ),
    case(
        "an empty line that ends with LF only",
        b"GET http://{o}/ HTTP/1.1\r\nHost: {o}\r\n\n",
    ),
    case(
        "NUL in a value",
        b"GET http://{o}/ HTTP/1.1\r\nHost: {o}\r\nX: o\0ne\r\n\r\n",
    ),
    case(
        "another control in a value",
        b"GET http://{o}/ HTTP/1.1\r\nHost: {o}\r\nX: o\x01ne\r\n\r\n",
    ),
    case(
        "a space before the colon",
        b"GET http://{o}/ HTTP/1.1\r\nHost: {o}\r\nX : one\r\n\r\n",
    ),
    case(
        "a space before the colon of Transfer-Encoding",
        b"POST http://{o}/ HTTP/1.1\r\nHost: {o}\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    ),
    case(
        "no colon",
        b"GET http://{o}/ HTTP/1.1\r\nHost: {o}\r\nnonsense\r\n\r\n",
    ),
    case(
        "no field name",
        b"GET http://{o}/ HTTP/1.1\r\nHost: {o}\r\n: one\r\n\r\n",
    ),
    case(
        "a field name with a bracket",
        b"GET http://{o}/ HTTP/1.1\r\nHost: {o}\r\nX[0]: one\r\n\r\n",
    ),
    case(
        "a field name that is not ASCII",
        b"GET http://{o}/ HTTP/1.1\r\nHost: {o}\r\nX-\xc3\xa9: one\r\n\r\n",
    ),
    case(
        "a field name with NUL",
        b"GET http://{o}/ HTTP/1.1\r\nHost: {o}\r\nX\0Y: one\r\n\r\n",
    ),
    case("no Host", b"GET http://{o}/ HTTP/1.1\r\nX: one\r\n\r\n"),
    case(
        "two Hosts",
        b"GET http://{o}/ HTTP/1.1\r\nHost: {o}\r\nHost: {o}\r\n\r\n",
    ),
    case(
        "a Host that is none",
        b"GET http://{o}/ HTTP/1.1\r\nHost: a b\r\n\r\n",
    ),
    case(
        "userinfo in the target",
        b"GET http://user@{o}/ HTTP/1.1\r\nHost: {o}\r\n\r\n",
    ),
    case(
        "another place as userinfo",
        b"GET http://allowed.example:80@{o}/ HTTP/1.1\r\nHost: {o}\r\n\r\n",
    ),
    case(
        "userinfo in CONNECT",
        b"CONNECT user@{o} HTTP/1.1\r\nHost: {o}\r\n\r\n",
    ),
    case(
        "a fragment in the target",
        b"GET http://{o}/a#b HTTP/1.1\r\nHost: {o}\r\n\r\n",
    ),
    case(
        "a space in the target",
        b"GET http://{o}/a b HTTP/1.1\r\nHost: {o}\r\n\r\n",
    ),
    case(
        "two spaces in the request line",
        b"GET  http://{o}/ HTTP/1.1\r\nHost: {o}\r\n\r\n",
    ),
    case(
        "a tab in the request line",
        b"GET\thttp://{o}/ HTTP/1.1\r\nHost: {o}\r\n\r\n",
    ),
    case(
        "a backslash for the authority's end",
        b"GET http://{o}\\@evil.example/ HTTP/1.1\r\nHost: {o}\r\n\r\n",
    ),
    case(
        "a control in the target",
        b"GET http://{o}/\x7f HTTP/1.1\r\nHost: {o}\r\n\r\n",
    ),
    case(
        "a target without a host",
        b"GET http:///path HTTP/1.1\r\nHost: {o}\r\n\r\n",
    ),
    case(
        "a port that is too large",
        b"GET http://127.0.0.1:65536/ HTTP/1.1\r\nHost: {o}\r\n\r\n",
    ),
    case(
        "a port that is no number",
        b"GET http://127.0.0.1:+80/ HTTP/1.1\r\nHost: {o}\r\n\r\n",
    ),
    case(
        "CONNECT without a port",
        b"CONNECT 127.0.0.1 HTTP/1.1\r\nHost: {o}\r\n\r\n",
    ),
    case(
        "CONNECT to a URL",
        b"CONNECT http://{o}/ HTTP/1.1\r\nHost: {o}\r\n\r\n",
    ),
    case(
        "no version",
        b"GET http://{o}/\r\nHost: {o}\r\n\r\n",
    ),
    case(
        "a version in lower case",
        b"GET http://{o}/ http/1.1\r\nHost: {o}\r\n\r\n",
    ),
    case(
        "a method that is no token",
        b"G(T http://{o}/ HTTP/1.1\r\nHost: {o}\r\n\r\n",
    ),
];

/// Seen only when the body is read: the origin may have been dialled, but gets no whole request.
const CHUNKS: &[Case] = &[
    case("hexadecimal prefix", b"0x5\r\nhello\r\n0\r\n\r\n"),
    case("a space after the size", b"5 \r\nhello\r\n0\r\n\r\n"),
    case("a space before the size", b" 5\r\nhello\r\n0\r\n\r\n"),
    case("a minus", b"-1\r\nhello\r\n0\r\n\r\n"),
    case("a plus", b"+5\r\nhello\r\n0\r\n\r\n"),
    case("no size", b"\r\nhello\r\n0\r\n\r\n"),
    case("only an extension", b";x=y\r\nhello\r\n0\r\n\r\n"),
    case("17 digits", b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
    case("not a digit", b"g\r\nhello\r\n0\r\n\r\n"),
    case("no CRLF after the data", b"5\r\nhello0\r\n\r\n"),
    case("more data than the size", b"5\r\nhello!\r\n0\r\n\r\n"),
    case("LF after the size", b"5\nhello\r\n0\r\n\r\n"),
    case("LF after the data", b"5\r\nhello\n0\r\n\r\n"),
    case("LF at the end", b"5\r\nhello\r\n0\n\n"),
    case("LF in an extension", b"5;x\ny\r\nhello\r\n0\r\n\r\n"),
    case("CR in an extension", b"5;x\ry\r\nhello\r\n0\r\n\r\n"),
    case("NUL in an extension", b"5;x\0\r\nhello\r\n0\r\n\r\n"),
    case("a folded trailer", b"5\r\nhello\r\n0\r\nX: a\r\n b\r\n\r\n"),
    case(
        "a trailer with a space before the colon",
        b"5\r\nhello\r\n0\r\nX : a\r\n\r\n",
    ),
    case(
        "a trailer without a colon",
        b"5\r\nhello\r\n0\r\nnonsense\r\n\r\n",
    ),
];

/// `POISON` stands in each: it must not reach the client.
const ANSWERS: &[Case] = &[
    case(
        "both Content-Length and Transfer-Encoding",
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nPOISON\r\n0\r\n\r\n",
    ),
    case(
        "differing Content-Lengths",
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nContent-Length: 60\r\n\r\nPOISON",
    ),
    case(
        "Content-Length with a plus",
        b"HTTP/1.1 200 OK\r\nContent-Length: +6\r\n\r\nPOISON",
    ),
    case(
        "Content-Length beyond 64 bits",
        b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551622\r\n\r\nPOISON",
    ),
    case(
        "chunked, then identity",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, identity\r\n\r\n6\r\nPOISON\r\n0\r\n\r\n",
    ),
    case(
        "an unknown transfer coding",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n6\r\nPOISON\r\n0\r\n\r\n",
    ),
    case(
        "chunked twice",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nPOISON\r\n0\r\n\r\n",
    ),
    case(
        "Transfer-Encoding in HTTP/1.0",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nPOISON\r\n0\r\n\r\n",
    ),
    case(
        "a folded field",
        b"HTTP/1.1 200 OK\r\nX: one\r\n POISON\r\nContent-Length: 6\r\n\r\nPOISON",
    ),
    case(
        "CR in a value",
        b"HTTP/1.1 200 OK\r\nX: one\rPOISON: two\r\nContent-Length: 6\r\n\r\nPOISON",
    ),
    case(
        "NUL in a value",
        b"HTTP/1.1 200 OK\r\nX: POI\0SON\r\nContent-Length: 6\r\n\r\nPOISON",
    ),
    case(
        "a space before the colon",
        b"HTTP/1.1 200 OK\r\nContent-Length : 6\r\n\r\nPOISON",
    ),
    case(
        "no colon",
        b"HTTP/1.1 200 OK\r\nPOISON\r\nContent-Length: 6\r\n\r\nPOISON",
    ),
    case("not HTTP", b"POISON\r\n\r\n"),
    case("HTTP/0.9", b"<html>POISON</html>"),
    case(
        "a status of two digits",
        b"HTTP/1.1 20 POISON\r\nContent-Length: 6\r\n\r\nPOISON",
    ),
    case(
        "a switch that nobody asked for",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: poison\r\nConnection: upgrade\r\n\r\nPOISON",
    ),
];

#[test]
fn an_ambiguous_head_is_refused_before_anything_is_dialled() {
    let origin = Origin::http(|_| ok(b""));
    let egret = Egret::start(&Config::loopback());
    let mut faults = Vec::new();
    for case in HEADS {
        let (status, closed) = refusal(&egret, &filled(case.bytes, &origin));
        if status != Some(400) || !closed {
            faults.push(format!("{}: status {status:?}, closed {closed}", case.name));
        }
        if origin.connections() != 0 {
            let requests = origin.requests();
            panic!("{}: the origin was reached and saw {requests:?}", case.name);
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn a_malformed_chunk_is_refused_and_the_request_never_completes() {
    let origin = Origin::http(|_| ok(b""));
    let egret = Egret::start(&Config::loopback());
    let head =
        b"POST http://{o}/ HTTP/1.1\r\nHost: {o}\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let mut faults = Vec::new();
    for case in CHUNKS {
        let bytes = [filled(&head, &origin), case.bytes.to_vec()].concat();
        let (status, closed) = refusal(&egret, &bytes);
        if status != Some(400) || !closed {
            faults.push(format!("{}: status {status:?}, closed {closed}", case.name));
        }
        let requests = origin.requests();
        assert!(requests.is_empty(), "{}: {requests:?}", case.name);
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn what_follows_a_refused_request_is_never_read_as_a_request() {
    let origin = Origin::http(|_| ok(b"smuggled"));
    let egret = Egret::start(&Config::loopback());
    let smuggled = filled(
        b"GET http://{o}/smuggled HTTP/1.1\r\nHost: {o}\r\n\r\n",
        &origin,
    );
    for case in HEADS {
        let bytes = [filled(case.bytes, &origin), smuggled.clone()].concat();
        let mut wire = egret.connect();
        let _ = wire.try_send(&bytes);
        let all = wire.read_to_any_end();
        assert!(!contains(&all, b"smuggled"), "{}", case.name);
        assert_eq!(origin.connections(), 0, "{}", case.name);
    }
}

#[test]
fn an_ambiguous_answer_becomes_502_and_none_of_it_reaches_the_client() {
    let egret = Egret::start(&Config::loopback());
    let mut faults = Vec::new();
    for case in ANSWERS {
        let origin = Origin::replies(case.bytes);
        let mut wire = egret.connect();
        wire.send(&filled(
            b"GET http://{o}/ HTTP/1.1\r\nHost: {o}\r\nConnection: close\r\n\r\n",
            &origin,
        ));
        let all = wire.read_to_any_end();
        let text = String::from_utf8_lossy(&all);
        assert!(!contains(&all, b"POISON"), "{}: {text}", case.name);
        let known = text.to_ascii_lowercase();
        if !text.starts_with("HTTP/1.1 502 ") || !known.contains("proxy-status: ") {
            faults.push(format!("{}: {text}", case.name));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn a_malformed_chunk_from_the_origin_never_completes_the_answer() {
    let egret = Egret::start(&Config::loopback());
    for case in CHUNKS {
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        let origin = Origin::replies(&[head, case.bytes.to_vec()].concat());
        let mut wire = egret.connect();
        wire.send(&filled(
            b"GET http://{o}/ HTTP/1.1\r\nHost: {o}\r\n\r\n",
            &origin,
        ));
        // A 502 where the mistake was seen in time, an answer without an end otherwise.
        let head = wire.try_head();
        if head.is_ok_and(|head| head.starts_with("HTTP/1.1 200 ")) {
            let body = wire.try_chunked();
            assert!(body.is_err(), "{}: complete with {body:?}", case.name);
        }
    }
}

#[test]
fn an_answer_that_ends_early_never_looks_complete() {
    let egret = Egret::start(&Config::loopback());
    let cases: &[&[u8]] = &[
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    ];
    for bytes in cases {
        let origin = Origin::replies(bytes);
        let mut wire = egret.connect();
        wire.send(&filled(
            b"GET http://{o}/ HTTP/1.1\r\nHost: {o}\r\n\r\n",
            &origin,
        ));
        let head = wire.head();
        if head.starts_with("HTTP/1.1 502 ") {
            continue;
        }
        let whole = if head.to_ascii_lowercase().contains("transfer-encoding") {
            wire.try_chunked().is_ok()
        } else {
            wire.try_exact(10).is_ok()
        };
        assert!(!whole, "{:?}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn the_host_of_an_absolute_target_replaces_the_received_one() {
    // RFC 9112 §3.2.2.
    let origin = Origin::http(|_| ok(b""));
    let egret = Egret::start(&Config::loopback());
    let answer = egret.ask(&format!(
        "GET {} HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        origin.url("/")
    ));
    assert_eq!(answer.status, 200);
    let request = origin.wait_request(0);
    assert_eq!(request.header("host"), Some(&*origin.address.to_string()));
    assert!(!request.head.contains("evil.example"), "{}", request.head);
}

#[test]
fn a_chunked_body_is_chunked_anew_without_its_extensions() {
    let origin = Origin::http(|_| ok(b""));
    let egret = Egret::start(&Config::loopback());
    let mut wire = egret.connect();
    wire.send(&filled(
        b"POST http://{o}/ HTTP/1.1\r\nHost: {o}\r\nTransfer-Encoding: chunked\r\n\r\n5;secret=1\r\nhello\r\n0005\r\nworld\r\n000;last\r\n\r\n",
        &origin,
    ));
    assert_eq!(wire.response("POST").status, 200);
    // The origin's own reader takes no extension.
    assert_eq!(origin.wait_request(0).body, b"helloworld");
}

/// The status, and whether the connection was closed after it.
fn refusal(egret: &Egret, bytes: &[u8]) -> (Option<u16>, bool) {
    let mut wire = egret.connect();
    // It may refuse, and close, before all is sent.
    let _ = wire.try_send(bytes);
    let Ok(head) = wire.try_head() else {
        return (None, true);
    };
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    // Reads on to the end; a connection that stays open panics here.
    let rest = wire.read_to_any_end();
    let again = contains(&rest, b"HTTP/1.1 ");
    (status, !again)
}

fn filled(bytes: &[u8], origin: &Origin) -> Vec<u8> {
    let authority = origin.address.to_string();
    let mut filled = Vec::new();
    let mut rest = bytes;
    while let Some(at) = rest.windows(3).position(|window| window == b"{o}") {
        filled.extend_from_slice(&rest[..at]);
        filled.extend_from_slice(authority.as_bytes());
        rest = &rest[at + 3..];
    }
    filled.extend_from_slice(rest);
    filled
}
