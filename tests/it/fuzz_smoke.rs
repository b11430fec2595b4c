//! The checks of `fuzz/`, over mutations of valid samples: the same cases on every run, and quick enough for every run.
//! Not a search: `cargo fuzz` does that, with the same checks. Start at [`smoke`].

use std::path::Path;

#[path = "../../fuzz/src/lib.rs"]
#[expect(
    unreachable_pub,
    reason = "in its own package, what is public here is what the fuzzer calls"
)]
mod checks;

/// Cases for each parser.
const CASES: usize = 2500;

#[test]
fn request_heads_are_read_alike_however_they_are_split_and_sent_on() {
    smoke(REQUESTS, 1, checks::request_head);
}

#[test]
fn response_heads_are_read_alike_however_they_are_split_and_sent_on() {
    smoke(RESPONSES, 2, checks::response_head);
}

#[test]
fn bodies_do_not_depend_on_how_their_bytes_are_split() {
    smoke(BODIES, 3, checks::body);
}

#[test]
fn targets_mean_the_same_in_their_canonical_form() {
    smoke(TARGETS, 4, checks::target);
}

#[test]
fn hosts_mean_the_same_in_their_canonical_form() {
    smoke(HOSTS, 5, checks::authority);
}

#[test]
fn socks_messages_are_taken_whole_and_not_a_byte_more() {
    smoke(SOCKS, 6, checks::socks);
}

#[test]
fn proxy_headers_are_taken_whole_and_not_a_byte_more() {
    smoke(PROXY_HEADERS, 7, checks::proxy_header);
}

#[test]
fn credentials_that_are_accepted_name_a_user() {
    smoke(CREDENTIALS, 8, checks::proxy_authorization);
}

#[test]
fn lists_are_read_whatever_they_hold() {
    let folder = tempfile::tempdir().unwrap();
    smoke(LISTS, 9, |data| checks::list(data, folder.path()));
}

#[test]
fn password_files_never_show_a_hash_in_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    smoke(PASSWORDS, 10, |data| checks::htpasswd(data, folder.path()));
}

#[test]
fn client_hellos_are_judged_alike_however_they_are_split() {
    smoke(CLIENT_HELLOS, 11, checks::client_hello);
}

#[test]
fn a_client_is_found_behind_proxies_whatever_it_says_of_itself() {
    smoke(FORWARDED, 14, checks::forwarded);
}

#[test]
fn what_an_origin_says_to_a_cache_is_read_whatever_it_holds() {
    smoke(CACHE_RESPONSES, 12, checks::cache_response);
}

#[test]
fn what_a_client_says_to_a_cache_is_read_whatever_it_holds() {
    smoke(CACHE_REQUESTS, 13, checks::cache_request);
}

#[test]
fn targets_take_the_same_route_however_they_are_spelled() {
    smoke(ROUTES, 14, checks::route);
}

#[test]
fn every_check_has_a_fuzz_target() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let checks = std::fs::read_to_string(fuzz.join("src/lib.rs")).unwrap();
    let names = checks
        .lines()
        .filter_map(|line| line.strip_prefix("pub fn ")?.split_once('('));
    for (name, _) in names {
        let target = std::fs::read_to_string(fuzz.join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(target.contains(&format!("egret_fuzz::{name}(")), "{name}");
    }
}

/// Runs a check over the samples, which it must accept, and over mutations of them, with which it must cope.
fn smoke(samples: &[&[u8]], seed: u64, check: impl Fn(&[u8]) -> bool) {
    for sample in samples {
        let shown = String::from_utf8_lossy(sample);
        assert!(check(sample), "a valid sample was refused: {shown:?}");
    }
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    for case in 0..CASES {
        let mutant = random.mutate(samples);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&mutant)));
        let shown = mutant.escape_ascii();
        assert!(outcome.is_ok(), "case {case} of seed {seed}: b\"{shown}\"");
    }
}

/// Xorshift (Marsaglia 2003): the same numbers everywhere, for ever.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `bound`; 0 where that is 0.
    fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 11) as usize % bound.max(1)
    }

    fn mutate(&mut self, samples: &[&[u8]]) -> Vec<u8> {
        let mut bytes = samples[self.below(samples.len())].to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            let end = (at + 1 + self.below(8)).min(bytes.len());
            match self.below(8) {
                0 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
                1 if !bytes.is_empty() => bytes[at] = SPECIAL[self.below(SPECIAL.len())],
                2 => bytes.insert(at, SPECIAL[self.below(SPECIAL.len())]),
                3 => drop(bytes.drain(at..end)),
                4 => {
                    let part = bytes[at..end].to_vec();
                    let to = self.below(bytes.len());
                    bytes.splice(to..to, part);
                }
                5 => {
                    let other = samples[self.below(samples.len())];
                    let from = self.below(other.len());
                    bytes.truncate(at);
                    bytes.extend_from_slice(&other[from..]);
                }
                6 => bytes.truncate(at),
                _ => bytes.insert(at, self.next() as u8),
            }
        }
        bytes
    }
}

/// Bytes that grammars turn on.
const SPECIAL: &[u8] = b"\r\n\t \0:;,.@#?/\\%[]{}*|^!$\"'=-_+0178afxAFX\x7f\x80\xc3\xff\x04\x05";

const REQUESTS: &[&[u8]] = &[
    b"GET http://example.com/a?b HTTP/1.1\r\nHost: example.com\r\nConnection: close, x-a\r\nX-A: 1\r\n\r\n",
    b"POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
    b"PUT http://[2001:db8::1]:8080/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n\r\n0\r\n\r\n",
    b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\nProxy-Authorization: Basic eDp5\r\n\r\n\x16\x03\x01",
    b"\r\nOPTIONS * HTTP/1.0\r\nMax-Forwards: 3\r\nA: \xc3\xa9\r\na:\tb \r\n\r\n",
];

const RESPONSES: &[&[u8]] = &[
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\nabc",
    b"HTTP/1.1 204 No Content\r\nDate: x\r\n\r\n",
    b"HTTP/1.0 302\r\nLocation: http://example.com/\r\nConnection: keep-alive\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n",
    b"HTTP/1.1 599 \r\nTransfer-Encoding: chunked\r\nTrailer: x\r\n\r\n1\r\na\r\n0\r\n\r\n",
];

const BODIES: &[&[u8]] = &[
    b"\xff5\r\nhello\r\n6;name=\"value\"\r\n world\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\n\r\nGET /next",
    b"\xff00000001\r\na\r\nA\r\n0123456789\r\n0\r\n\r\n",
    b"\xff0;last\r\n\r\n",
    b"\x00half of this is the body",
    b"\x02",
];

const TARGETS: &[&[u8]] = &[
    b"http://example.com/a/b%2fc/%7e?q=1&r=/../",
    b"HTTPS://B\xc3\xbccher.example:8443?x",
    b"http://[::ffff:192.0.2.1]:80/",
    b"example.com:443",
    b"[2001:db8::1]:443",
    b"/index.html",
    b"*",
];

const ROUTES: &[&[u8]] = &[
    b"/api/v1/users?x=/../y",
    b"/%61pi%2Fv1//x;y=z/",
    b"/git/a%2fb/raw",
    b"/user/17;v=1/open",
    b"/opened/x/%7euser",
    b"//exact",
    b"/open%2Fx%5Cy",
];

const HOSTS: &[&[u8]] = &[
    b"example.com",
    b"EXAMPLE.com.:443",
    b"xn--bcher-kva.example",
    b"b\xc3\xbccher.example",
    b"192.0.2.1:80",
    b"[2001:db8::1]:443",
    b"::ffff:10.0.0.1",
    b"_dmarc.a-b.example",
];

const SOCKS: &[&[u8]] = &[
    b"\x05\x02\x00\x02",
    b"\x01\x05alice\x06secret",
    b"\x05\x01\x00\x01\xc0\x00\x02\x01\x01\xbb",
    b"\x05\x01\x00\x03\x0bexample.com\x00\x50GET",
    b"\x05\x01\x00\x04\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x01\xbb",
    b"\x05\x03\x00\x01\x00\x00\x00\x00\x00\x00",
    b"\x04\x01\x00\x50\xc0\x00\x02\x01me\x00",
    b"\x04\x01\x00\x50\x00\x00\x00\x01me\x00example.com\x00GET",
];

const PROXY_HEADERS: &[&[u8]] = &[
    b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\nGET",
    b"PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n",
    b"PROXY UNKNOWN\r\n",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc0\0\x02\x02\xdc\x04\x01\xbbGET",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x13\xc0\0\x02\x01\xc0\0\x02\x02\xdc\x04\x01\xbb\x04\0\x04abcd",
    b"\r\n\r\n\0\r\nQUIT\n\x20\x00\0\0",
];

const CREDENTIALS: &[&[u8]] = &[
    b"Basic YWxpY2U6c2VjcmV0",
    b"basic  Ym9iOg==",
    b"Basic YjrDpDrDtg==",
];

const LISTS: &[&[u8]] = &[
    b"# names\nexample.com\n*.below.example\n.tree.example # both\n192.0.2.0/24\n2001:db8::1\nB\xc3\x9cCHER.example\n",
    b"0.0.0.0 ads.example tracker.example\n127.0.0.1 localhost\n::1 ip6-localhost\n:: more.example\r\n",
    b"[Adblock Plus 2.0]\n! comment\n||ads.example^\n@@||good.ads.example^\n||path.example/x\n||opt.example^$third-party\n",
    b"$TTL 60\n@ IN SOA localhost. root.localhost. (1 2 3\n 4 5)\n IN NS localhost.\nbad.example CNAME .\n*.bad.example CNAME .\n24.0.2.0.192.rpz-ip CNAME .\n",
    b"192.0.2.0/24\n198.51.100.7\n2001:db8::/32 ; why\n",
];

const PASSWORDS: &[&[u8]] = &[
    b"# users\nalice:$2b$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui\n",
    b"bob:$apr1$lZL6V/ci$eIMz/iKDkbtys/uU7LEK00\ncarol:$apr1$lZL6V/ci$eIMz/iKDkbtys/uU7LEK00:comment\r\n",
    b"dave:$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc8\n",
];

const CLIENT_HELLOS: &[&[u8]] = &[
    b"\x16\x03\x01\0\x98\x01\0\0\x94\x03\x03RRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRR SSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSS\0\x06**\x13\x01\xc0/\x01\0\0E\x1a\x1a\0\0\0\0\0\x10\0\x0e\0\0\x0bwww.example\0\x10\0\x0e\0\x0c\x02h2\x08http/1.1\0\r\0\x06\0\x04\x04\x03\x08\x04\0+\0\x05\x04\x03\x04\x03\x03\xfe\r\0\x04\0\0\0\0",
    b"\x16\x03\x01\0<\x01\0\0\x94\x03\x03RRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRR SSSSSSSSSSSSSSSSSSSSS\x16\x03\x01\0\\SSSSSSSSSSS\0\x06**\x13\x01\xc0/\x01\0\0E\x1a\x1a\0\0\0\0\0\x10\0\x0e\0\0\x0bwww.example\0\x10\0\x0e\0\x0c\x02h2\x08http/1.1\0\r\0\x06\0\x04\x04\x03\x08\x04\0+\0\x05\x04\x03\x04\x03\x03\xfe\r\0\x04\0\0\0\0\x14\x03\x03\0\x01\x01",
    b"\x16\x03\x01\0/\x01\0\0+\x03\x01RRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRR\0\0\x04\0/\0\xff\x01\0",
    b"\x16\x03\x01\0\x01\x01\x16\x03\x01\0\x01\0\x16\x03\x01\0\x01\0\x16\x03\x01\0\x01\x94\x16\x03\x01\0\x01\x03\x16\x03\x01\0\x93\x03RRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRR SSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSS\0\x06**\x13\x01\xc0/\x01\0\0E\x1a\x1a\0\0\0\0\0\x10\0\x0e\0\0\x0bwww.example\0\x10\0\x0e\0\x0c\x02h2\x08http/1.1\0\r\0\x06\0\x04\x04\x03\x08\x04\0+\0\x05\x04\x03\x04\x03\x03\xfe\r\0\x04\0\0\0\0",
];

const FORWARDED: &[&[u8]] = &[
    b"for=192.0.2.60;proto=http;by=203.0.113.43",
    b"for=192.0.2.43, for=\"[2001:db8:cafe::17]:4711\", for=10.0.0.2;host=\"a.example:8080\"",
    b"For=\"[2001:db8:cafe::17]:_port\";ext=\"a, \\\" b\"\nfor=10.0.0.2",
    b"203.0.113.1, 192.0.2.43, 10.0.0.2",
    b"2001:db8::1\n10.0.0.3:80 ,, 10.0.0.2",
    b"unknown, [2001:db8::1]:4711, 10.0.0.2",
];

const CACHE_RESPONSES: &[&[u8]] = &[
    b"Cache-Control: max-age=600, s-maxage=\"60\", private=\"a, b\", x=\"\\\"\", stale-if-error=9\nVary: Accept, a\nETag: W/\"a\"\nAge: 5, 6",
    b"CDN-Cache-Control: max-age=600;a=1, no-cache=\"b\", c=(1 2.5;d :YQ==: @1 %\"%c3%a9\")\nCache-Control: no-store\nSurrogate-Key: a b",
    b"Date: Wed, 25 Nov 2026 11:59:00 GMT\nExpires: Wednesday, 25-Nov-26 12:59:00 GMT\nLast-Modified: Wed Nov  4 12:00:00 2026\nCache-Tag: a,b",
    b"Cache-Control: public, must-understand\nETag: \"a\"\nLocation: ../d?e#f\nContent-Location: https://EXAMPLE.com:443/g\nConnection: x-h\nX-H: i",
    b"Cache-Control: max-age=1\nContent-Range: bytes 2-5/10\nContent-Length: 4\nLocation: //example.com/%2e%2e/a\nContent-Location: http:b",
];

const CACHE_REQUESTS: &[&[u8]] = &[
    b"Cache-Control: max-age=5, max-stale, min-fresh=\"7\", no-cache, only-if-cached\nPragma: no-cache",
    b"Range: bytes=0-4, 3-9,-2, 7-\nIf-Range: \"a\"\nIf-None-Match: W/\"a\", \"b,c\" , *",
    b"Range: bytes=-1\nIf-Range: Wed, 25 Nov 2026 11:00:00 GMT\nIf-Modified-Since: Wed, 25 Nov 2026 11:00:00 GMT",
    b"Accept: text/*;q=0.3, text/html;level=\"1,2\";q=0.7, */*\nAccept-Encoding: gzip;q=1.0, br, identity;q=0\nAccept-Language: de,en-GB;q=0.7",
    b"Cookie: a=b; c=d\nX-Forwarded-Host: e\nForwarded: for=\"[::1]\"\nUser-Agent: f, g\nX-A: \"h, i\", j",
];
