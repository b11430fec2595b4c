use std::fmt::Debug;
use std::net::SocketAddr;

use bytes::BytesMut;

use super::*;
use crate::addr::Authority;

fn place(text: &str) -> Authority {
    Authority::parse(text, None).unwrap()
}

/// The whole message is read, every shorter one waits, and bytes that follow are left alone.
#[track_caller]
fn reads<T: Debug + PartialEq>(parse: fn(&[u8]) -> Parse<T>, message: &[u8], expected: T) {
    for cut in 0..message.len() {
        let parsed = parse(&message[..cut]);
        let fits = |more| more > 0 && cut + more <= message.len();
        assert!(
            matches!(parsed, Parse::Need(more) if fits(more)),
            "{message:?} cut at {cut}: {parsed:?}"
        );
    }
    for tail in [&b""[..], b"\x05", b"GET / HTTP/1.1\r\n"] {
        let Parse::Done(got, used) = parse(&[message, tail].concat()) else {
            panic!("{message:?} was not read");
        };
        assert_eq!(got, expected, "{message:?}");
        assert_eq!(used, message.len(), "{message:?}");
    }
}

fn v5(command: u8, address: &[u8], port: u16) -> Vec<u8> {
    [&[5, command, 0], address, &port.to_be_bytes()].concat()
}

fn v5_name(name: &[u8], port: u16) -> Vec<u8> {
    v5(1, &[&[3, name.len() as u8], name].concat(), port)
}

fn v4(command: u8, port: u16, ip: [u8; 4], rest: &[u8]) -> Vec<u8> {
    [&[4, command], &port.to_be_bytes()[..], &ip, rest].concat()
}

#[test]
fn a_greeting_says_what_the_client_offers() {
    for (bytes, none, password) in [
        (&[5, 1, 0][..], true, false),
        (&[5, 2, 0, 2], true, true),
        (&[5, 3, 1, 2, 0x80], false, true),
        (&[5, 1, 0xff], false, false),
    ] {
        let Parse::Done(greeting, _) = v5::parse_greeting(bytes) else {
            panic!("{bytes:?}");
        };
        assert_eq!(greeting.offers(v5::Method::None), none, "{bytes:?}");
        assert_eq!(
            greeting.offers(v5::Method::UserPassword),
            password,
            "{bytes:?}"
        );
        assert!(!greeting.offers(v5::Method::NoneAcceptable), "{bytes:?}");
        reads(v5::parse_greeting, bytes, greeting);
    }
    let all: Vec<u8> = [5, 255].into_iter().chain(0..255).collect();
    let Parse::Done(greeting, 257) = v5::parse_greeting(&all) else {
        panic!("255 methods");
    };
    reads(v5::parse_greeting, &all, greeting);
    assert_eq!(
        v5::parse_greeting(&[5, 0]),
        Parse::Bad(SocksError::NoMethods)
    );
    assert_eq!(
        v5::parse_greeting(b"GET"),
        Parse::Bad(SocksError::Version {
            got: b'G',
            expected: 5
        })
    );
}

#[test]
fn credentials_are_any_bytes_of_any_length_and_never_shown() {
    for (user, password) in [
        (&b"alice"[..], &b"secret"[..]),
        (b"", b""),
        (b"a", b""),
        (b"\x00\xff", b"\x00"),
        (&[b'u'; 255], &[b'p'; 255]),
    ] {
        let message = [
            &[1, user.len() as u8],
            user,
            &[password.len() as u8],
            password,
        ]
        .concat();
        let expected = v5::UserPassword {
            user: user.to_vec(),
            password: password.to_vec(),
        };
        assert!(!format!("{expected:?}").contains("secret"));
        reads(v5::parse_credentials, &message, expected);
    }
    assert!(matches!(
        v5::parse_credentials(&[5, 1]),
        Parse::Bad(SocksError::Version { got: 5, .. })
    ));
    assert_eq!(v5::encode_credentials_reply(true), [1, 0]);
    assert_eq!(v5::encode_credentials_reply(false), [1, 1]);
    assert_eq!(v5::encode_method(v5::Method::None), [5, 0]);
    assert_eq!(v5::encode_method(v5::Method::UserPassword), [5, 2]);
    assert_eq!(v5::encode_method(v5::Method::NoneAcceptable), [5, 0xff]);
}

#[test]
fn a_request_names_one_canonical_place() {
    let mut mapped = [0; 17];
    mapped[0] = 4;
    mapped[11..].copy_from_slice(&[0xff, 0xff, 10, 0, 0, 1]);
    let mut six = [0; 17];
    six[0] = 4;
    six[16] = 1;
    for (message, expected) in [
        (v5(1, &[1, 192, 0, 2, 1], 80), "192.0.2.1:80"),
        (v5(1, &six, 443), "[::1]:443"),
        (v5(1, &mapped, 443), "10.0.0.1:443"),
        (v5_name(b"example.com", 443), "example.com:443"),
        (v5_name(b"EXAMPLE.com.", 65535), "example.com:65535"),
        (v5_name(b"192.0.2.1", 80), "192.0.2.1:80"),
        (v5_name(b"::1", 80), "[::1]:80"),
        (v5_name(b"[::ffff:127.0.0.1]", 80), "127.0.0.1:80"),
        (
            v5_name("b\u{fc}cher.example".as_bytes(), 1),
            "xn--bcher-kva.example:1",
        ),
    ] {
        reads(
            v5::parse_request,
            &message,
            v5::Request::Connect(place(expected)),
        );
    }
}

#[test]
fn other_commands_are_read_to_their_end_whatever_their_address() {
    for (command, expected) in [
        (2, v5::Request::Bind),
        (3, v5::Request::UdpAssociate),
        (0, v5::Request::Other(0)),
        (0xf0, v5::Request::Other(0xf0)),
    ] {
        for address in [&[1, 0, 0, 0, 0][..], &[3, 0], &[3, 2, b'a', 0]] {
            reads(
                v5::parse_request,
                &v5(command, address, 0),
                expected.clone(),
            );
        }
    }
}

#[test]
fn a_wrong_request_is_refused_with_the_fitting_reply() {
    let long = [b'a'; 255];
    for (message, expected) in [
        (vec![4], 1),
        (vec![5, 1, 1], 1),
        (vec![5, 1, 0, 2], 8),
        (vec![5, 1, 0, 0], 8),
        (v5(1, &[1, 192, 0, 2, 1], 0), 1),
        (v5_name(b"", 80), 1),
        (v5_name(b"0x7f.1", 80), 1),
        (v5_name(b"2130706433", 80), 1),
        (v5_name(b"a\0.example", 80), 1),
        (v5_name(b"a\0", 80), 1),
        (v5_name(b"a:80", 80), 1),
        (v5_name(b"user@a", 80), 1),
        (v5_name(b"a b", 80), 1),
        (v5_name(b"\xff\xfe", 80), 1),
        (v5_name(&long, 80), 1),
    ] {
        let Parse::Bad(error) = v5::parse_request(&message) else {
            panic!("{message:?} was not refused");
        };
        assert_eq!(error.reply().code(), expected, "{message:?}");
    }
}

#[test]
fn replies_say_the_outcome_and_the_bound_address() {
    let at = |text: &str| Some(text.parse::<SocketAddr>().unwrap());
    let mut six = vec![5, 0, 0, 4];
    six.extend([
        0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0,
    ]);
    for (bound, expected) in [
        (at("192.0.2.1:258"), vec![5, 0, 0, 1, 192, 0, 2, 1, 1, 2]),
        (
            at("[::ffff:192.0.2.1]:258"),
            vec![5, 0, 0, 1, 192, 0, 2, 1, 1, 2],
        ),
        (at("[2001:db8::1]:256"), six),
        (None, vec![5, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
    ] {
        let bytes = v5::encode_reply(v5::Reply::Succeeded, bound);
        assert_eq!(bytes.as_slice(), expected, "{bound:?}");
    }
    for (code, reply) in [
        (1, v5::Reply::GeneralFailure),
        (2, v5::Reply::NotAllowed),
        (3, v5::Reply::NetworkUnreachable),
        (4, v5::Reply::HostUnreachable),
        (5, v5::Reply::ConnectionRefused),
        (7, v5::Reply::CommandNotSupported),
        (8, v5::Reply::AddressTypeNotSupported),
    ] {
        let bytes = v5::encode_reply(reply, None);
        assert_eq!(bytes.as_slice(), [5, code, 0, 1, 0, 0, 0, 0, 0, 0]);
    }
}

#[test]
fn socks_4_replies_say_the_outcome_and_an_ipv4_address() {
    let at = |text: &str| Some(text.parse::<SocketAddr>().unwrap());
    let granted = v4::Reply::Granted;
    for (reply, bound, expected) in [
        (granted, at("192.0.2.1:258"), [0, 90, 1, 2, 192, 0, 2, 1]),
        (granted, at("[2001:db8::1]:258"), [0, 90, 0, 0, 0, 0, 0, 0]),
        (v4::Reply::Rejected, None, [0, 91, 0, 0, 0, 0, 0, 0]),
        (v4::Reply::NoIdentd, None, [0, 92, 0, 0, 0, 0, 0, 0]),
        (v4::Reply::WrongUser, None, [0, 93, 0, 0, 0, 0, 0, 0]),
    ] {
        assert_eq!(v4::encode_reply(reply, bound), expected, "{reply:?}");
    }
}

#[test]
fn socks_4_and_4a_requests_are_read() {
    let connect = |text: &str| v4::Command::Connect(place(text));
    let long_user = [&[b'u'; 255][..], b"\0"].concat();
    for (message, command, user) in [
        (
            v4(1, 80, [192, 0, 2, 1], b"\0"),
            connect("192.0.2.1:80"),
            &b""[..],
        ),
        (
            v4(1, 80, [192, 0, 2, 1], b"bob\0"),
            connect("192.0.2.1:80"),
            b"bob",
        ),
        (
            v4(1, 80, [192, 0, 2, 1], &long_user),
            connect("192.0.2.1:80"),
            &[b'u'; 255],
        ),
        (v4(1, 80, [0, 0, 0, 0], b"\0"), connect("0.0.0.0:80"), b""),
        (
            v4(1, 443, [0, 0, 0, 1], b"\0Example.COM\0"),
            connect("example.com:443"),
            b"",
        ),
        (
            v4(1, 443, [0, 0, 0, 255], b"bob\0example.com\0"),
            connect("example.com:443"),
            b"bob",
        ),
        (
            v4(1, 443, [0, 0, 0, 7], b"\x00127.0.0.1\0"),
            connect("127.0.0.1:443"),
            b"",
        ),
        (
            v4(1, 443, [0, 0, 0, 7], b"\0::1\0"),
            connect("[::1]:443"),
            b"",
        ),
        (v4(2, 0, [0, 0, 0, 0], b"\0"), v4::Command::Bind, b""),
        (v4(2, 0, [0, 0, 0, 1], b"\0!\0"), v4::Command::Bind, b""),
        (v4(9, 0, [0, 0, 0, 0], b"x\0"), v4::Command::Other(9), b"x"),
    ] {
        let user = user.to_vec();
        reads(v4::parse_request, &message, v4::Request { command, user });
    }
}

#[test]
fn wrong_socks_4_requests_are_refused() {
    let endless = [b'u'; 256];
    let endless_name = [&b"\0"[..], &[b'a'; 256]].concat();
    for (message, expected) in [
        (vec![5], "version 5 where 4 should stand"),
        (v4(1, 0, [192, 0, 2, 1], b"\0"), "the port is zero"),
        (
            v4(1, 80, [192, 0, 2, 1], &endless),
            "the user id is longer than 255 bytes",
        ),
        (
            v4(1, 80, [0, 0, 0, 1], &endless_name),
            "the host name is longer than 255 bytes",
        ),
        (v4(1, 80, [0, 0, 0, 1], b"\0\0"), "the host is empty"),
        (
            v4(1, 80, [0, 0, 0, 1], b"\0\xff\0"),
            "the host name is not UTF-8 text",
        ),
    ] {
        let Parse::Bad(error) = v4::parse_request(&message) else {
            panic!("{message:?} was not refused");
        };
        assert_eq!(error.to_string(), expected);
    }
}

#[tokio::test]
async fn messages_that_come_together_are_read_one_by_one() {
    let all = [&[5, 1, 0][..], &v5_name(b"a.example", 80), b"early"].concat();
    // In one piece, and byte by byte: an in-memory pipe of that size.
    for piece in [1, 7, 1000] {
        let (mut client, mut ours) = tokio::io::duplex(piece);
        let send = async {
            use tokio::io::AsyncWriteExt;
            client.write_all(&all).await.unwrap();
            drop(client);
        };
        let receive = async {
            let mut buf = BytesMut::new();
            read(&mut ours, &mut buf, v5::parse_greeting).await.unwrap();
            let request = read(&mut ours, &mut buf, v5::parse_request).await.unwrap();
            assert_eq!(request, v5::Request::Connect(place("a.example:80")));
            while ours.read_buf(&mut buf).await.unwrap() > 0 {}
            assert_eq!(&buf[..], b"early");
            let ended = read(&mut ours, &mut BytesMut::new(), v5::parse_greeting).await;
            assert!(matches!(ended, Err(ReadError::Closed)));
        };
        tokio::join!(send, receive);
    }
}
