use std::net::SocketAddr;

use super::*;

fn header(source: &str, destination: &str) -> Header {
    let at = |text: &str| text.parse::<SocketAddr>().ok();
    Header {
        source: at(source),
        destination: at(destination),
    }
}

/// The whole header is read, every shorter one waits, and bytes that follow are left alone.
#[track_caller]
fn reads(bytes: &[u8], expected: Header) {
    for cut in 0..bytes.len() {
        let parsed = parse(&bytes[..cut]);
        let fits = |more| more > 0 && cut + more <= bytes.len();
        assert!(
            matches!(parsed, Parse::Need(more) if fits(more)),
            "{bytes:?} cut at {cut}: {parsed:?}"
        );
    }
    for tail in [&b""[..], b"\r\n", b"GET / HTTP/1.1\r\n"] {
        let whole = [bytes, tail].concat();
        assert_eq!(
            parse(&whole),
            Parse::Done(expected, bytes.len()),
            "{bytes:?}"
        );
    }
}

fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u16).to_be_bytes();
    [&v2::SIGNATURE[..], &[command, family], &length, body].concat()
}

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind], &(value.len() as u16).to_be_bytes()[..], value].concat()
}

const IPV4: &[u8] = &[192, 0, 2, 1, 198, 51, 100, 2, 0xc8, 0x22, 1, 0xbb];

#[test]
fn version_1_lines_are_read() {
    let none = Header::default();
    let longest = format!("PROXY UNKNOWN {}\r\n", "f".repeat(91));
    assert_eq!(longest.len(), 107);
    for (line, expected) in [
        (
            "PROXY TCP4 192.0.2.1 198.51.100.2 51234 443\r\n",
            header("192.0.2.1:51234", "198.51.100.2:443"),
        ),
        (
            "PROXY TCP4 255.255.255.255 255.255.255.255 65535 0\r\n",
            header("255.255.255.255:65535", "255.255.255.255:0"),
        ),
        (
            "PROXY TCP6 2001:db8::1 2001:DB8:0:0:0:0:0:2 1 2\r\n",
            header("[2001:db8::1]:1", "[2001:db8::2]:2"),
        ),
        (
            "PROXY TCP6 ::ffff:192.0.2.1 ::ffff:c000:202 1 2\r\n",
            header("192.0.2.1:1", "192.0.2.2:2"),
        ),
        ("PROXY UNKNOWN\r\n", none),
        ("PROXY UNKNOWN ::1 ::1 x y z\r\n", none),
        (&longest, none),
    ] {
        reads(line.as_bytes(), expected);
    }
}

#[test]
fn a_version_1_line_outside_the_grammar_is_refused() {
    for line in [
        "PROXY\r\n",
        "PROXY \r\n",
        "PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\r\n",
        "PROXY TCP4 192.0.2.1\r192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 \r\n",
        "PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2 192.0.2.2 1 2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP6 [::1] ::1 1 2\r\n",
        "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
        "PROXY tcp4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY\tTCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1\u{0} 192.0.2.2 1 2\r\n",
        "proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "POST / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\n",
    ] {
        assert!(matches!(parse(line.as_bytes()), Parse::Bad(_)), "{line:?}");
    }
    let long = format!("PROXY UNKNOWN {}\r\n", "f".repeat(92));
    assert_eq!(parse(long.as_bytes()), Parse::Bad(HeaderError::TooLong));
    // Refused at once, without waiting for a line end.
    assert_eq!(parse(b"PO"), Parse::Bad(HeaderError::Missing));
}

#[test]
fn version_2_headers_are_read() {
    let known = header("192.0.2.1:51234", "198.51.100.2:443");
    let none = Header::default();
    let mut six = vec![0; 36];
    six[15] = 1;
    six[26..28].copy_from_slice(&[0xff, 0xff]);
    six[28..].copy_from_slice(&[192, 0, 2, 9, 0, 1, 0, 2]);
    let with_extensions = [IPV4, &tlv(0x02, b"www.example"), &tlv(0x04, &[0; 300])].concat();
    let longest = [IPV4, &tlv(0x04, &vec![0; 4096 - 16 - 12 - 3])].concat();
    for (bytes, expected) in [
        (v2(0x21, 0x11, IPV4), known),
        (v2(0x21, 0x21, &six), header("[::1]:1", "192.0.2.9:2")),
        (v2(0x21, 0x11, &with_extensions), known),
        (v2(0x21, 0x11, &longest), known),
        (v2(0x21, 0x31, &[b'/'; 216]), none),
        (v2(0x20, 0x00, &[]), none),
        (v2(0x20, 0x11, IPV4), none),
        (v2(0x20, 0xff, &[1, 2, 3]), none),
        (v2(0x21, 0x00, &[]), none),
        (v2(0x21, 0x00, &[9; 7]), none),
    ] {
        reads(&bytes, expected);
    }
}

#[test]
fn a_version_2_header_that_contradicts_itself_is_refused() {
    let mut wrong_signature = v2(0x21, 0x11, IPV4);
    wrong_signature[11] = b'\r';
    for (bytes, expected) in [
        (wrong_signature, HeaderError::Missing),
        (v2(0x11, 0x11, IPV4), HeaderError::Command { got: 0x11 }),
        (v2(0x22, 0x11, IPV4), HeaderError::Command { got: 0x22 }),
        (v2(0x21, 0x12, IPV4), HeaderError::Family { got: 0x12 }),
        (v2(0x21, 0x10, IPV4), HeaderError::Family { got: 0x10 }),
        (v2(0x21, 0x01, IPV4), HeaderError::Family { got: 0x01 }),
        (v2(0x21, 0x41, IPV4), HeaderError::Family { got: 0x41 }),
        (v2(0x21, 0x11, &IPV4[..11]), HeaderError::Truncated),
        (v2(0x21, 0x21, &[0; 35]), HeaderError::Truncated),
        (v2(0x21, 0x31, &[0; 215]), HeaderError::Truncated),
        (
            v2(0x21, 0x11, &[IPV4, &[4]].concat()),
            HeaderError::Truncated,
        ),
        (
            v2(0x21, 0x11, &[IPV4, &[4, 0, 2, 0]].concat()),
            HeaderError::Truncated,
        ),
        (
            v2(0x21, 0x11, &[IPV4, &[4, 0xff, 0xff]].concat()),
            HeaderError::Truncated,
        ),
        (v2(0x21, 0x11, &[0; 4081]), HeaderError::TooLong),
    ] {
        assert_eq!(parse(&bytes), Parse::Bad(expected), "{bytes:?}");
    }
    // Refused by its announced length, before the bytes have come.
    let announced = [&v2::SIGNATURE[..], &[0x21, 0x11, 0xff, 0xff]].concat();
    assert_eq!(parse(&announced), Parse::Bad(HeaderError::TooLong));
}

#[test]
fn a_checksum_is_verified_wherever_it_stands() {
    // The check value of CRC-32C.
    assert_eq!(v2::crc32c(b"123456789".iter()), 0xe306_9283);
    let known = header("192.0.2.1:51234", "198.51.100.2:443");
    for (before, after) in [
        (vec![], vec![]),
        (tlv(4, &[1, 2]), vec![]),
        (vec![], tlv(2, b"www.example")),
        (tlv(4, &[]), tlv(4, &[0; 9])),
    ] {
        let body = [IPV4, &before, &tlv(3, &[0; 4]), &after].concat();
        let at = 16 + IPV4.len() + before.len() + 3;
        let mut bytes = v2(0x21, 0x11, &body);
        let crc = v2::crc32c(bytes.iter());
        bytes[at..at + 4].copy_from_slice(&crc.to_be_bytes());
        reads(&bytes, known);
        // Any other bit in what it covers, or in itself, makes it wrong.
        for changed in (16..28).chain(at..at + 4) {
            let mut forged = bytes.clone();
            forged[changed] ^= 1;
            assert_eq!(
                parse(&forged),
                Parse::Bad(HeaderError::Checksum),
                "{changed}"
            );
        }
    }
    for extensions in [
        tlv(3, &[0; 3]),
        tlv(3, &[0; 5]),
        [tlv(3, &[0; 4]), tlv(3, &[0; 4])].concat(),
    ] {
        let bytes = v2(0x21, 0x11, &[IPV4, &extensions].concat());
        assert_eq!(parse(&bytes), Parse::Bad(HeaderError::Checksum));
    }
}
