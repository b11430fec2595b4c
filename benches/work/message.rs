//! The head of a request and of a response, from the bytes that came to the bytes that go on: read, checked, cleaned, written, in
//! the proxy's order. For `benches/message.rs` and `benches/instructions.rs`.

use std::hint::black_box;

use bytes::BytesMut;
use egret::message::http1::fields::Scan;
use egret::message::http1::framing::{self, Length};
use egret::message::http1::head::{RequestHead, ResponseHead, parse_request, parse_response};
use egret::message::http1::{HeadLimits, encode};
use egret::message::{Target, Via, hop, normal_path, other_reading};
use http::{Method, Version};

/// What is kept from one message to the next, as a connection keeps it.
#[derive(Default)]
pub(crate) struct Messages {
    via: Via,
    read: BytesMut,
    written: BytesMut,
}

impl Messages {
    /// Reads the head of the request alone.
    pub(crate) fn read_request(&mut self) -> RequestHead {
        arrive(&mut self.read, REQUEST);
        let head = parse_request(&mut self.read, &mut Scan::default(), HeadLimits::default());
        head.expect("it is a request").expect("it is whole")
    }

    /// Reads the head of the response alone.
    pub(crate) fn read_response(&mut self) -> ResponseHead {
        arrive(&mut self.read, RESPONSE);
        let head = parse_response(&mut self.read, &mut Scan::default(), HeadLimits::default());
        head.expect("it is a response").expect("it is whole")
    }

    /// A request, as a forward proxy passes it on. The bytes that are written.
    pub(crate) fn request(&mut self) -> usize {
        let mut head = self.read_request();
        framing::check_host(head.version, &head.headers).expect("there is one");
        let length = framing::of_request(head.version, &head.headers).expect("it is clear");
        black_box(hop::read(&head.headers));
        let target = std::str::from_utf8(&head.target).expect("it is ASCII");
        let target = Target::parse(&head.method, target).expect("it is a target");
        let Target::Absolute {
            authority, path, ..
        } = target
        else {
            return 0;
        };
        let normal = normal_path(&path);
        black_box(other_reading(&normal));
        black_box(normal);
        hop::strip(&mut head.headers);
        self.via.append(&mut head.headers, head.version);
        let host = authority.without_default_port(80).to_string();
        let (method, headers) = (&head.method, &head.headers);
        self.written.clear();
        encode::request_head(&mut self.written, method, &path, &host, headers, length);
        black_box(&self.written).len()
    }

    /// A response, as any proxy passes it on. The bytes that are written.
    pub(crate) fn response(&mut self) -> usize {
        let mut head = self.read_response();
        let (version, headers) = (head.version, &head.headers);
        let length = framing::of_response(&Method::GET, head.status, version, headers);
        let length = length.expect("it is clear");
        black_box(hop::read(headers));
        hop::strip(&mut head.headers);
        self.via.append(&mut head.headers, version);
        self.written.clear();
        let out = &mut self.written;
        encode::response_head(out, head.status, &head.headers, length, false);
        encode::finish_response_head(out, Version::HTTP_11, length != Length::UntilClose);
        black_box(&self.written).len()
    }
}

/// What came is copied out of a buffer that all connections share; so it is here.
fn arrive(read: &mut BytesMut, bytes: &[u8]) {
    *read = BytesMut::with_capacity(bytes.len());
    read.extend_from_slice(black_box(bytes));
}

/// Twelve fields, as a browser sends them to a proxy.
const REQUEST: &[u8] =
    b"GET http://www.example.com/assets/2026/11/application.js?v=8f14e45f HTTP/1.1\r\n\
    Host: www.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
    Accept-Language: en-GB,en;q=0.7,de;q=0.3\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Referer: http://www.example.com/catalogue/index.html\r\n\
    Cookie: session=7c4a8d09ca3762af61e59520943dc26494f8941b; theme=dark; consent=1\r\n\
    Proxy-Connection: keep-alive\r\n\
    Connection: keep-alive\r\n\
    If-None-Match: \"686897696a7c876b7e\"\r\n\
    Priority: u=2\r\n\
    X-Requested-With: XMLHttpRequest\r\n\
    \r\n";

/// Ten fields, as a server sends them with a script.
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Date: Sat, 28 Nov 2026 04:00:00 GMT\r\n\
    Server: nginx\r\n\
    Content-Type: application/javascript; charset=utf-8\r\n\
    Content-Length: 14205\r\n\
    Last-Modified: Fri, 27 Nov 2026 16:20:11 GMT\r\n\
    ETag: \"686897696a7c876b7e\"\r\n\
    Cache-Control: public, max-age=31536000, immutable\r\n\
    Vary: Accept-Encoding\r\n\
    Connection: keep-alive\r\n\
    Keep-Alive: timeout=15\r\n\
    \r\n";
