//! What must hold for every parser that reads bytes of a peer's (or of an operator's file), whatever the bytes are.
//! No fuzzer: `fuzz_targets/` feeds these checks with libFuzzer, `tests/it/fuzz_smoke.rs` with seeded mutations of valid samples.
//! Each check panics where something does not hold, and says whether the bytes were accepted. Start at [`request_head`].

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use bytes::BytesMut;
use egret::addr::{Authority, Host, HostPattern};
use egret::auth::{Authenticator, Credentials};
use egret::cache::directives::{LONGEST, RequestDirectives, ResponseDirectives};
use egret::cache::freshness::Came;
use egret::cache::range::{self, Ranges, Wanted};
use egret::cache::storable::storable;
use egret::cache::{Control, Freshness, Vary, conditional, invalidate, partition, tags};
use egret::fault::{Faults, Source};
use egret::message::forwarded::{Trusted, Writing};
use egret::message::http1::decoder::{Decoder, Part};
use egret::message::http1::fields::Scan;
use egret::message::http1::framing::{self, Length};
use egret::message::http1::head::{self, RequestHead, ResponseHead};
use egret::message::http1::{HeadError, HeadLimits, encode};
use egret::message::{Target, hop, normal_path};
use egret::policy::list::{Form, List, read_lists};
use egret::route::{self, Asked, Found, Readings, Route, RouteTable};
use egret::settings::Table;
use egret::tls::hello;
use egret::{proxy_protocol, socks};
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};

/// A request head: however its bytes are split it is the same head, and what is sent on of it is read as the same request.
pub fn request_head(data: &[u8]) -> bool {
    let limits = HeadLimits::default();
    let parse = |buf: &mut BytesMut, scan: &mut Scan| head::parse_request(buf, scan, limits);
    let whole = in_pieces(data, data.len().max(1), parse);

    for size in pieces(data) {
        let split = in_pieces(data, size, parse);
        same(&whole, &split, |a: &RequestHead, b| {
            assert_eq!(
                (&a.method, &a.target, a.version, &a.headers),
                (&b.method, &b.target, b.version, &b.headers)
            );
        });
    }

    let Ok(Some(request)) = whole else {
        return false;
    };
    let Ok(length) = framing::of_request(request.version, &request.headers) else {
        return false;
    };
    let _ = framing::check_host(request.version, &request.headers);
    let target = std::str::from_utf8(&request.target).expect("a target is visible ASCII");
    let _ = Target::parse(&request.method, target);

    let mut out = BytesMut::new();
    encode::request_head(
        &mut out,
        &request.method,
        target,
        "host.example",
        &request.headers,
        length,
    );
    let again = head::parse_request(&mut out, &mut Scan::default(), ROOMY);
    let again = again
        .expect("what is sent on is well-formed")
        .expect("what is sent on is whole");
    assert!(out.is_empty(), "what is sent on is one head and no more");
    assert_eq!(
        (&again.method, &again.target),
        (&request.method, &request.target)
    );
    assert_eq!(free_fields(&again.headers), free_fields(&request.headers));
    assert_eq!(again.headers.get_all(HOST).iter().count(), 1, "one Host");
    let length_again = framing::of_request(Version::HTTP_11, &again.headers);
    assert_eq!(length_again, Ok(length), "the body has the same length");

    let mut stripped = request.headers;
    hop::strip(&mut stripped);
    for name in [
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "upgrade",
        "proxy-authorization",
    ] {
        assert!(!stripped.contains_key(name), "{name} is for one hop");
    }
    true
}

/// A response head: the same.
pub fn response_head(data: &[u8]) -> bool {
    let limits = HeadLimits::default();
    let parse = |buf: &mut BytesMut, scan: &mut Scan| head::parse_response(buf, scan, limits);
    let whole = in_pieces(data, data.len().max(1), parse);
    for size in pieces(data) {
        let split = in_pieces(data, size, parse);
        same(&whole, &split, |a: &ResponseHead, b| {
            assert_eq!(
                (a.status, a.version, &a.headers),
                (b.status, b.version, &b.headers)
            );
        });
    }
    let Ok(Some(response)) = whole else {
        return false;
    };
    let (status, headers) = (response.status, &response.headers);
    let length = framing::of_response(&Method::GET, status, response.version, headers);
    let Ok(length) = length else { return false };
    if status.is_informational() {
        return true;
    }
    let mut out = BytesMut::new();
    encode::response_head(&mut out, status, headers, length, false);
    encode::finish_response_head(&mut out, Version::HTTP_11, true);
    let again = head::parse_response(&mut out, &mut Scan::default(), ROOMY);
    let again = again
        .expect("what is sent on is well-formed")
        .expect("what is sent on is whole");
    assert!(out.is_empty(), "what is sent on is one head and no more");
    assert_eq!(again.status, status);
    assert_eq!(free_fields(&again.headers), free_fields(headers));
    let length_again = framing::of_response(&Method::GET, status, again.version, &again.headers);
    assert_eq!(length_again, Ok(length), "the body has the same length");
    true
}

/// A body: what comes out does not depend on how its bytes were split, and sent on it is the same body.
pub fn body(data: &[u8]) -> bool {
    // The first byte chooses the framing; most of them choose chunks, where the grammar is.
    let (first, data) = data.split_first().unwrap_or((&0xff, data));
    let length = match first {
        // A declared length of 0 is no body.
        0 if data.len() > 1 => Length::Sized(data.len() as u64 / 2),
        1 => Length::UntilClose,
        0 | 2 => Length::Empty,
        _ => Length::Chunked,
    };
    let whole = decode(data, length, data.len().max(1));
    for size in pieces(data) {
        assert_eq!(decode(data, length, size), whole, "in pieces of {size}");
    }
    let Decoded {
        content,
        trailers,
        end,
        ..
    } = &whole;
    assert!(content.len() <= data.len(), "a body does not grow");
    if *end != End::Whole {
        return false;
    }
    let mut out = BytesMut::new();
    if !content.is_empty() {
        encode::chunk_size(&mut out, content.len());
        out.extend_from_slice(content);
        out.extend_from_slice(b"\r\n");
    }
    let mut sent = trailers.clone();
    hop::strip_trailers(&mut sent);
    encode::last_chunk(&mut out, Some(&sent));
    let again = decode(&out, Length::Chunked, out.len());
    assert_eq!(again.end, End::Whole, "what is sent on is a whole body");
    assert_eq!(&again.content, content);
    assert_eq!(free_fields(&again.trailers), free_fields(&sent));
    true
}

/// A request target: in its canonical form it means the same, and policy reads no path that an origin could read otherwise.
pub fn target(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else {
        return false;
    };
    let mut accepted = false;
    for method in [Method::GET, Method::CONNECT, Method::OPTIONS] {
        let Ok(target) = Target::parse(&method, text) else {
            continue;
        };
        accepted = true;
        if let Target::Absolute { path, .. } | Target::Origin(path) = &target {
            let normal = normal_path(path).into_owned();
            assert_eq!(normal_path(&normal), normal, "a normal path is normal");
            let dots = normal
                .split('/')
                .any(|segment| matches!(segment, "." | ".."));
            assert!(!dots && !normal.contains('\\'), "{normal} is ambiguous");
        }
        // An OPTIONS for a whole origin has no text of its own: it leaves as `*`.
        if !matches!(&target, Target::Absolute { path, .. } if path == "*") {
            let again = Target::parse(&method, &target.to_string());
            assert_eq!(again.as_ref(), Ok(&target), "{target}");
        }
    }
    accepted
}

/// A target on a gateway: however it is spelled it takes the same route, or none where that is not sure; and what a route makes
/// of it is a target that a client could have sent.
pub fn route(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else {
        return false;
    };
    let Ok(Target::Origin(target)) = Target::parse(&Method::GET, text) else {
        return false;
    };
    let readings = Readings::of(&target);
    assert_eq!(readings.sent(), target);
    assert_eq!(readings.normal(), normal_path(&target));
    let Ok(found) = find(&readings) else {
        return true;
    };
    for spelling in spellings(&target) {
        if let Ok(other) = find(&Readings::of(&spelling)) {
            assert!(same_route(found, other), "{target} and {spelling} differ");
        }
    }
    for route in ROUTES.routes() {
        let Ok(rewritten) = route.rewrite.target(&target) else {
            continue;
        };
        assert!(
            matches!(
                Target::parse(&Method::GET, &rewritten),
                Ok(Target::Origin(_))
            ),
            "{target} became {rewritten}"
        );
        let query = |target: &str| target.split_once('?').map(|(_, query)| query.to_owned());
        assert_eq!(query(&rewritten), query(&target));
        let kept = *rewritten == *target;
        assert!(
            kept || !rewritten.starts_with("//"),
            "{target} became {rewritten}"
        );
    }
    true
}

/// Other ways to write a target that every origin must take for the same.
fn spellings(target: &str) -> Vec<String> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let encoded = |c: char| match c {
        'a'..='z' => format!("%{:02x}", u32::from(c)),
        c => c.to_string(),
    };
    // Within an encoding letters are digits.
    let mut plain = String::new();
    let mut digits = 0;
    for c in path.chars() {
        let in_digits = digits > 0;
        digits = if c == '%' {
            2
        } else {
            digits - i32::from(in_digits)
        };
        plain += &if in_digits { c.to_string() } else { encoded(c) };
    }
    vec![
        format!("{plain}?{query}"),
        format!("{}?{query}", path.replacen('/', "//", 1)),
        format!("{}?{query}", normal_path(path)),
    ]
}

/// The route, or none; an error where the readings of the path lead to different ones.
fn find(path: &Readings<'_>) -> Result<Option<&'static Arc<Route>>, ()> {
    let host = Host::parse("www.example").expect("it is a host");
    let asked = Asked {
        listener: "web",
        host: Some(&host),
        path,
        method: &Method::GET,
        headers: &HeaderMap::new(),
    };
    match ROUTES.find(&asked) {
        Found::Route(route) => Ok(Some(route)),
        Found::Nothing => Ok(None),
        Found::Ambiguous => Err(()),
    }
}

fn same_route(one: Option<&Arc<Route>>, other: Option<&Arc<Route>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.does_as(other),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

static ROUTES: LazyLock<RouteTable> = LazyLock::new(|| {
    let faults = Faults::new();
    let table = Table::parse(&Source::new("routes.toml", ROUTE_TEXT), &faults);
    let ground = route::Ground {
        listeners: &["web".into()],
        upstreams: &["app".into(), "old".into()],
        faults: &faults,
    };
    let routes = route::read(table.take_value("route"), ground);
    assert!(faults.is_empty(), "{:?}", faults.into_vec());
    routes
});

const ROUTE_TEXT: &str = r#"
[[route]]
path = "/api/*"
to = "app"
rewrite = { strip-prefix = "/api" }
[[route]]
path = "/api/v1/*"
to = "app"
rewrite = { replace-prefix = { from = "/api/v1", to = "/v1" } }
[[route]]
path = "/git/*/raw"
to = "old"
rewrite = { replace = { regex = "/git/([^/]*)/(.*)", with = "/$2/$1" } }
[[route]]
path = "/exact"
to = "old"
rewrite = { replace = { regex = "/(.)(.*)", with = "/$2$1" } }
[[route]]
path = { regex = "/user/[0-9]+(;.*)?" }
to = "old"
[[route]]
path = "/open/*"
to = "app"
[[route]]
path = "/opened/*"
to = "app"
rewrite = { replace = { regex = "(.*)/x(.*)", with = "/$1$2" } }
"#;

/// Hosts, authorities and patterns: the canonical text of what is accepted means the same, and is in one spelling.
pub fn authority(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else {
        return false;
    };
    let mut accepted = false;
    for default_port in [None, Some(80)] {
        if let Ok(authority) = Authority::parse(text, default_port) {
            let again = Authority::parse(&authority.to_string(), None);
            assert_eq!(again.as_ref(), Ok(&authority), "{authority}");
            assert_ne!(authority.port, 0, "nothing listens on port 0");
            accepted = true;
        }
    }
    for host in [Host::parse(text), Host::parse_bare(text)]
        .into_iter()
        .flatten()
    {
        check_host(&host);
        accepted = true;
    }
    if let Ok(HostPattern::Exact(host)) = HostPattern::parse(text) {
        assert!(HostPattern::Exact(host.clone()).matches(&host));
    }
    accepted
}

/// SOCKS 4 and 5: a message is taken whole, not a byte more, and every prefix of it asks for no more than it still needs.
pub fn socks(data: &[u8]) -> bool {
    let greeting = piecewise(data, socks_of(socks::v5::parse_greeting));
    let credentials = piecewise(data, socks_of(socks::v5::parse_credentials));
    let v5 = piecewise(data, socks_of(socks::v5::parse_request));
    let v4 = piecewise(data, socks_of(socks::v4::parse_request));
    if let Some(socks::v5::Request::Connect(authority)) = &v5 {
        check_host(&authority.host);
    }
    if let Some(socks::v4::Request {
        command: socks::v4::Command::Connect(authority),
        ..
    }) = &v4
    {
        check_host(&authority.host);
    }
    if let Some(given) = &credentials {
        let _ = Credentials::user_password(&given.user, &given.password);
    }
    greeting.is_some() || credentials.is_some() || v5.is_some() || v4.is_some()
}

/// A PROXY header: the same, and never longer than its versions allow.
pub fn proxy_header(data: &[u8]) -> bool {
    let header = piecewise(data, |bytes| match proxy_protocol::parse(bytes) {
        proxy_protocol::Parse::Need(more) => Look::Need(more),
        proxy_protocol::Parse::Done(header, used) => Look::Done(header, used),
        proxy_protocol::Parse::Bad(_) => Look::Bad,
    });
    if let Some(header) = header {
        for place in [header.source, header.destination].into_iter().flatten() {
            assert_eq!(
                place.ip(),
                place.ip().to_canonical(),
                "one form of an address"
            );
        }
    }
    header.is_some()
}

/// A ClientHello: what is known early does not change, and what is taken of it is canonical.
pub fn client_hello(data: &[u8]) -> bool {
    let whole = hello::parse(data);
    for end in 0..data.len().min(1000) {
        match (hello::parse(data.get(..end).unwrap_or_default()), &whole) {
            (hello::Parse::Need(more), hello::Parse::Hello(_)) => {
                assert!((1..=data.len() - end).contains(&more), "{more} at {end}");
            }
            (hello::Parse::Need(more), _) => assert!(more > 0, "it needs something"),
            // Which of several faults is told may depend on what was there when it was seen.
            (hello::Parse::Bad(_), hello::Parse::Bad(_)) => {}
            (early, whole) => assert_eq!(&early, whole, "at {end}"),
        }
    }
    let hello::Parse::Hello(hello) = whole else {
        return false;
    };
    if let Some(name) = &hello.server_name {
        assert!(name.name().is_some(), "an address is no server name");
        check_host(name);
    }
    assert!(hello.alpn.iter().all(|name| !name.is_empty()));
    assert_eq!(hello.fingerprint.len(), 36);
    assert!(
        hello
            .fingerprint
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_')
    );
    true
}

/// `Proxy-Authorization`: what is accepted has a user, and nothing in it could break a line of a record.
pub fn proxy_authorization(data: &[u8]) -> bool {
    let Ok(value) = HeaderValue::from_bytes(data) else {
        return false;
    };
    let Ok(Some(credentials)) = Credentials::from_field(&value) else {
        return false;
    };
    let user = credentials.user();
    assert!((1..=255).contains(&user.len()), "a user has a name");
    assert!(!user.contains(char::is_control), "{user:?}");
    true
}

/// A list's file, in a scratch folder: it is read whatever it holds, and of plain names each is found in its list.
pub fn list(data: &[u8], folder: &Path) -> bool {
    let Some(list) = read_list(data, folder) else {
        return false;
    };
    let report = list.report();
    assert!(report.entries() > 0, "a list without an entry is a fault");
    assert!(report.first_skipped.len() <= report.skipped, "{report}");
    if report.form == Form::Names {
        let text = data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data);
        for line in text.split(|b| *b == b'\n') {
            let word = std::str::from_utf8(line).unwrap_or_default().trim_ascii();
            let special =
                word.starts_with('.') || word.contains(['#', '*', '/', ' ', '\t', '\x0c', '\r']);
            match Host::parse_bare(word) {
                Ok(host) if !special && line.len() <= 1024 => {
                    assert!(list.has_host(&host), "{host} stands in the list");
                }
                Ok(_) | Err(_) => {}
            }
        }
    }
    true
}

/// A password file, in a scratch folder: it is read or its faults are told, and no fault shows what stands behind a name.
pub fn htpasswd(data: &[u8], folder: &Path) -> bool {
    std::fs::write(folder.join("users"), data).expect("the folder can be written to");
    let faults = Faults::new();
    let source = Source::new(
        folder.join("egret.toml"),
        "auth = { basic = { file = \"users\" } }",
    );
    let table = Table::parse(&source, &faults);
    let read = Authenticator::read(table.take_value("auth"), None, false, &faults);
    let faults = faults.into_vec();
    assert_eq!(read.is_none(), !faults.is_empty(), "either users or faults");
    let told: String = faults.iter().map(|fault| fault.render()).collect();
    let text = String::from_utf8_lossy(data);
    let lines = || text.lines().filter_map(|line| line.split_once(':'));
    for (_, secret) in lines().filter(|(_, secret)| secret.len() > 20) {
        let named = lines().any(|(name, _)| name.contains(secret));
        assert!(
            named || !told.contains(secret),
            "a fault shows a hash:\n{told}"
        );
    }
    read.is_some()
}

/// What a look at the bytes so far yields.
#[derive(Debug, PartialEq)]
enum Look<T> {
    Need(usize),
    Done(T, usize),
    Bad,
}

fn socks_of<T>(parse: impl Fn(&[u8]) -> socks::Parse<T>) -> impl Fn(&[u8]) -> Look<T> {
    move |bytes| match parse(bytes) {
        socks::Parse::Need(more) => Look::Need(more),
        socks::Parse::Done(message, used) => Look::Done(message, used),
        socks::Parse::Bad(_) => Look::Bad,
    }
}

/// Reads a message with a parser that looks at all bytes so far; the message, if there is one.
fn piecewise<T: PartialEq + std::fmt::Debug>(
    data: &[u8],
    parse: impl Fn(&[u8]) -> Look<T>,
) -> Option<T> {
    let (message, used) = match parse(data) {
        Look::Done(message, used) => (message, used),
        Look::Need(more) => {
            assert!(more > 0, "it needs something");
            return None;
        }
        Look::Bad => return None,
    };
    assert!(used <= data.len(), "no more is used than there is");
    for end in 0..used {
        let prefix = data.get(..end).unwrap_or_default();
        match parse(prefix) {
            Look::Need(more) => assert!(
                (1..=used - end).contains(&more),
                "{more} at {end} of {used}"
            ),
            other @ (Look::Done(..) | Look::Bad) => panic!("{other:?} at {end} of {used}"),
        }
    }
    let exact = parse(data.get(..used).unwrap_or_default());
    assert_eq!(
        exact,
        Look::Done(message, used),
        "what follows is not looked at"
    );
    match exact {
        Look::Done(message, _) => Some(message),
        Look::Need(_) | Look::Bad => None,
    }
}

fn check_host(host: &Host) {
    let text = host.to_string();
    assert_eq!(Host::parse(&text).as_ref(), Ok(host), "{text}");
    match host {
        Host::Name(name) => {
            assert!(name.is_ascii() && name.len() <= 253 && !name.ends_with('.'));
            assert_eq!(name.to_ascii_lowercase(), **name, "one case");
        }
        Host::Addr(ip) => assert_eq!(*ip, ip.to_canonical(), "one form of an address"),
    }
}

/// Feeds a head parser in pieces of a size until it says something.
fn in_pieces<T>(
    data: &[u8],
    size: usize,
    parse: impl Fn(&mut BytesMut, &mut Scan) -> Result<Option<T>, HeadError>,
) -> Result<Option<T>, HeadError> {
    let (mut buf, mut scan) = (BytesMut::new(), Scan::default());
    for piece in data.chunks(size) {
        buf.extend_from_slice(piece);
        if let Some(head) = parse(&mut buf, &mut scan)? {
            return Ok(Some(head));
        }
    }
    Ok(None)
}

/// Two readings of the same bytes agree. Which of several faults is told may depend on what was there when it was seen.
fn same<T: std::fmt::Debug>(
    whole: &Result<Option<T>, HeadError>,
    split: &Result<Option<T>, HeadError>,
    equal: impl Fn(&T, &T),
) {
    match (whole, split) {
        (Ok(Some(whole)), Ok(Some(split))) => equal(whole, split),
        (Ok(None), Ok(None)) | (Err(_), Err(_)) => {}
        (whole, split) => panic!("{whole:?} in one piece, {split:?} in several"),
    }
}

/// Sizes of pieces to try: single bytes, and one that depends on the data.
fn pieces(data: &[u8]) -> [usize; 2] {
    let sum: usize = data.iter().map(|b| usize::from(*b)).sum();
    [1, sum % 13 + 2]
}

/// What a body came to.
#[derive(Debug, PartialEq)]
struct Decoded {
    content: Vec<u8>,
    trailers: HeaderMap,
    end: End,
    left: Vec<u8>,
}

#[derive(Debug, PartialEq)]
enum End {
    Whole,
    Missing,
    Malformed,
}

fn decode(data: &[u8], length: Length, size: usize) -> Decoded {
    let mut decoder = Decoder::new(length, HeadLimits::default());
    let mut buf = BytesMut::new();
    let mut decoded = Decoded {
        content: Vec::new(),
        trailers: HeaderMap::new(),
        end: End::Missing,
        left: Vec::new(),
    };
    let mut pieces = data.chunks(size);
    loop {
        match decoder.decode(&mut buf) {
            Ok(Part::Data(part)) => {
                assert!(!part.is_empty(), "a part has content");
                decoded.content.extend_from_slice(&part);
            }
            Ok(Part::More) => match pieces.next() {
                Some(piece) => buf.extend_from_slice(piece),
                None => break,
            },
            Ok(Part::Trailers(trailers)) => {
                decoded.trailers = trailers;
                decoded.end = End::Whole;
                break;
            }
            Ok(Part::End) => {
                decoded.end = End::Whole;
                break;
            }
            Err(_) => {
                decoded.end = End::Malformed;
                return decoded;
            }
        }
    }
    assert_eq!(decoder.is_done(), decoded.end == End::Whole);
    decoded.left = buf.to_vec();
    for piece in pieces {
        decoded.left.extend_from_slice(piece);
    }
    decoded
}

/// The fields that are passed on as they are, each with its values in their order.
fn free_fields(headers: &HeaderMap) -> BTreeMap<String, Vec<Vec<u8>>> {
    let mut fields: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for (name, value) in headers {
        if ![HOST, CONTENT_LENGTH, TRANSFER_ENCODING].contains(name) {
            let values = fields.entry(name.to_string()).or_default();
            values.push(value.as_bytes().to_vec());
        }
    }
    fields
}

/// What proxies say of a client: it is the same client whatever stands to the left of what they say, and the next hop, which is
/// told what was believed, believes the same.
pub fn forwarded(data: &[u8]) -> bool {
    let peer = IpAddr::from([10, 0, 0, 1]);
    let mut found = false;
    for family in ["forwarded", "x-forwarded"] {
        let setting = format!("t = {{ networks = \"10.0.0.0/8\", fields = \"{family}\" }}");
        let faults = Faults::new();
        let table = Table::parse(&Source::new("egret.toml", setting), &faults);
        let trusted: Trusted = table.take("t", &faults).expect("valid settings");
        let name = if family == "forwarded" {
            family
        } else {
            "x-forwarded-for"
        };
        let fields = |data: &[u8]| {
            let mut headers = HeaderMap::new();
            for line in data.split(|byte| *byte == b'\n') {
                headers.append(name, HeaderValue::from_bytes(line).ok()?);
            }
            Some(headers)
        };
        let Some(mut headers) = fields(data) else {
            return false;
        };
        let seen = trusted.read(peer, &headers);
        let known = !trusted.contains(seen.client);
        assert!(!(seen.cut && known), "a walk goes on over proxies only");
        if known {
            for hearsay in [&b"for=\"x, "[..], b"for=1.1.1.1, ", b"\\\",", b"1.1.1.1\n"] {
                let more = fields(&[hearsay, data].concat()).expect("valid fields");
                assert_eq!(trusted.read(peer, &more).client, seen.client);
            }
        }
        // More hops than anyone has are cut, and one hop more may be too many.
        if data.len() < 200 {
            Writing::Both.apply(&mut headers, &seen, peer, false, "host.example:8080");
            let next = trusted.read(IpAddr::from([10, 0, 0, 9]), &headers);
            assert_eq!((next.client, next.cut), (seen.client, false));
        }
        found |= known;
    }
    found
}

fn read_list(data: &[u8], folder: &Path) -> Option<Arc<List>> {
    std::fs::write(folder.join("list.txt"), data).expect("the folder can be written to");
    let faults = Faults::new();
    let source = Source::new(
        folder.join("policy.toml"),
        "[list.l]\nfile = \"list.txt\"\n",
    );
    let table = Table::parse(&source, &faults);
    let lists = read_lists(table.take_value("list"), &faults);
    assert_eq!(
        lists.is_empty(),
        !faults.is_empty(),
        "either a list or a fault"
    );
    lists.into_values().next()
}

/// Room for what a re-encoding adds to a head that was at its limit.
const ROOMY: HeadLimits = HeadLimits {
    size: 1 << 20,
    count: 1000,
};

/// What an origin says to a cache, as lines of fields: nothing that is stored lives longer than can be said, belongs to one hop,
/// or does not answer the request that it came for; what forbids is not overlooked, and invalidates no other origin's.
pub fn cache_response(data: &[u8]) -> bool {
    let Some(headers) = lines(data) else {
        return false;
    };
    let targets = [HeaderName::from_static("cdn-cache-control")];
    let mut forbidden = headers.clone();
    forbidden.append("cache-control", HeaderValue::from_static("no-store"));
    assert!(ResponseDirectives::read(&forbidden, &[]).no_store);

    let request = HeaderMap::from_iter([(http::header::ACCEPT, HeaderValue::from_static("a/b"))]);
    let received: jiff::Timestamp = "2026-11-25T12:00:00Z".parse().expect("a time");
    let came = Came {
        request: &request,
        requested: received,
        status: StatusCode::OK,
        headers: &headers,
        received,
    };
    let stored = storable(&Method::GET, came, (&Control::default(), &targets));
    if let Ok(stored) = &stored {
        let Freshness { lifetime, .. } = stored.freshness;
        assert!(lifetime <= LONGEST, "{lifetime:?}");
        let words = stored.freshness.to_words();
        assert_eq!(
            Freshness::from_words(words).as_ref(),
            Some(&stored.freshness)
        );
        assert!(stored.vary.matches(&request), "it answers its own request");
        for name in ["connection", "proxy-authenticate", "set-cookie", "age"] {
            assert!(!stored.headers.contains_key(name), "{name} is stored");
        }
        let kept = conditional::not_modified(&stored.headers);
        assert!(kept.keys().all(|name| stored.headers.contains_key(name)));
    }
    let base = "https://example.com/a/b?c";
    let gone = invalidate::invalidated(&Method::POST, StatusCode::OK, base, &headers);
    assert!(gone.iter().any(|uri| uri == base));
    assert!(
        gone.iter()
            .all(|uri| uri.starts_with("https://example.com/"))
    );
    if let Some(part) = range::part_of(StatusCode::PARTIAL_CONTENT, &headers) {
        assert!(part.range.start < part.range.end && part.range.end <= part.total);
    }
    assert!(tags::of(&headers).all(|tag| !tag.is_empty()));
    stored.is_ok()
}

/// What a client says to a cache, as lines of fields: its ranges lie within what is there, its preferences match themselves, and a
/// field that may lead an origin astray is part of the key.
pub fn cache_request(data: &[u8]) -> bool {
    let Some(headers) = lines(data) else {
        return false;
    };
    let mut forbidden = headers.clone();
    forbidden.append("cache-control", HeaderValue::from_static("no-store"));
    assert!(RequestDirectives::read(&forbidden).no_store);
    let asked = RequestDirectives::read(&headers);
    for span in [asked.max_age, asked.max_stale, asked.min_fresh] {
        assert!(span.is_none_or(|span| span <= LONGEST));
    }
    for total in [0, 1, 10, u64::MAX] {
        match Ranges::of(&headers).map(|ranges| ranges.of_total(total)) {
            Some(Wanted::One(range)) => assert!(range.start < range.end && range.end <= total),
            Some(Wanted::Unsatisfiable(of)) => assert_eq!(of, total),
            Some(Wanted::Whole) | None => {}
        }
    }
    let names = "accept, accept-encoding, accept-language, cookie, user-agent, x-a";
    let varies = HeaderMap::from_iter([(http::header::VARY, HeaderValue::from_static(names))]);
    let vary = Vary::of(&varies, &headers).expect("these are names");
    assert!(vary.matches(&headers));
    let mut extras = String::new();
    partition::add_routing(&mut extras, &headers);
    assert!(!extras.is_empty() || !headers.contains_key("x-forwarded-host"));
    let response = HeaderMap::from_iter([(http::header::ETAG, HeaderValue::from_static("\"a\""))]);
    let received: jiff::Timestamp = "2026-11-25T12:00:00Z".parse().expect("a time");
    let _ = conditional::evaluate(&Method::GET, &headers, StatusCode::OK, &response, received);
    true
}

/// `Name: value` on each line, as many as a head may have; `None` where one is no field.
fn lines(data: &[u8]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for line in data
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        let name = HeaderName::from_bytes(name).ok()?;
        headers.append(name, HeaderValue::from_bytes(value).ok()?);
    }
    Some(headers)
}
