mod fingerprint;

use std::sync::Arc;

use proptest::prelude::*;

use super::*;

/// The first bytes of the client that rustls is.
fn rustls_hello(
    name: &'static str,
    alpn: &[&[u8]],
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let name = name.try_into().unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

fn browser_like() -> Vec<u8> {
    rustls_hello("WWW.example", &[b"h2", b"http/1.1"], rustls::ALL_VERSIONS)
}

/// A vector behind a length of one or two bytes.
fn vec8(bytes: &[u8]) -> Vec<u8> {
    [&[bytes.len() as u8], bytes].concat()
}

fn vec16(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes(), bytes].concat()
}

fn numbers(values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_be_bytes()).collect()
}

fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
    [kind.to_be_bytes().to_vec(), vec16(data)].concat()
}

fn sni(names: &[&[u8]]) -> Vec<u8> {
    let names: Vec<u8> = names
        .iter()
        .flat_map(|n| [vec![0], vec16(n)].concat())
        .collect();
    extension(0, &vec16(&names))
}

fn alpn(names: &[&[u8]]) -> Vec<u8> {
    let names: Vec<u8> = names.iter().flat_map(|n| vec8(n)).collect();
    extension(16, &vec16(&names))
}

/// The body of a hello; `extensions` is all that follows the compression methods.
fn body(version: u16, ciphers: &[u16], extensions: &[u8]) -> Vec<u8> {
    [
        &version.to_be_bytes()[..],
        &[7; 32],
        &vec8(&[1; 32]),
        &vec16(&numbers(ciphers)),
        &vec8(&[0]),
        extensions,
    ]
    .concat()
}

fn message(body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32).to_be_bytes();
    [&[1], &length[1..], body].concat()
}

fn record(fragment: &[u8]) -> Vec<u8> {
    [&[22, 3, 1], &vec16(fragment)[..]].concat()
}

/// A hello of TLS 1.2 with these extensions, in one record.
fn with(extensions: &[Vec<u8>]) -> Vec<u8> {
    record(&message(&body(
        0x0303,
        &[0x1301],
        &vec16(&extensions.concat()),
    )))
}

#[track_caller]
fn hello(bytes: &[u8]) -> ClientHello {
    match parse(bytes) {
        Parse::Hello(hello) => *hello,
        other @ (Parse::Need(_) | Parse::NotTls | Parse::Bad(_)) => {
            panic!("{other:?} of {bytes:02x?}")
        }
    }
}

/// The whole hello is read, every shorter one waits for no more than it has, and what follows is not looked at.
#[track_caller]
fn reads(bytes: &[u8]) -> ClientHello {
    let whole = hello(bytes);
    for cut in 0..bytes.len() {
        let parsed = parse(&bytes[..cut]);
        let fits = |more| more > 0 && cut + more <= bytes.len();
        assert!(
            matches!(parsed, Parse::Need(more) if fits(more)),
            "cut at {cut} of {}: {parsed:?}",
            bytes.len()
        );
    }
    for tail in [&[22, 3, 3][..], b"\x14\x03\x03\x00\x01\x01", b"anything"] {
        assert_eq!(hello(&[bytes, tail].concat()), whole);
    }
    whole
}

/// How often a hello is looked at by who waits for the bytes that are needed, fed byte by byte.
fn looks(bytes: &[u8]) -> usize {
    let (mut have, mut looks) = (1, 0);
    loop {
        looks += 1;
        match parse(&bytes[..have]) {
            Parse::Need(more) => have += more,
            Parse::Hello(_) => return looks,
            other @ (Parse::NotTls | Parse::Bad(_)) => panic!("{other:?} at {have}"),
        }
    }
}

#[test]
fn the_hello_of_a_real_client_is_read() {
    let both: &[&[u8]] = &[b"h2", b"http/1.1"];
    let (tls12, tls13) = (&rustls::version::TLS12, &rustls::version::TLS13);
    for (name, protocols, versions, version, fingerprint) in [
        (
            "www.example",
            both,
            rustls::ALL_VERSIONS,
            Version::Tls13,
            "t13d1011h2_61a7ad8aa9b6_",
        ),
        (
            "WWW.example",
            &both[1..],
            &[tls13][..],
            Version::Tls13,
            "t13d",
        ),
        ("www.example", &[], &[tls12][..], Version::Tls12, "t12d"),
        (
            "192.0.2.1",
            both,
            rustls::ALL_VERSIONS,
            Version::Tls13,
            "t13i1010h2_61a7ad8aa9b6_",
        ),
    ] {
        let hello = reads(&rustls_hello(name, protocols, versions));
        let asked = (name != "192.0.2.1").then(|| Host::parse("www.example").unwrap());
        assert_eq!(hello.server_name, asked, "{name}");
        let alpn: Vec<&[u8]> = hello.alpn.iter().map(|name| &**name).collect();
        assert_eq!(alpn, protocols);
        assert_eq!((hello.version, hello.ech), (version, false));
        let shown = &hello.fingerprint;
        assert!(
            shown.starts_with(fingerprint) && shown.len() == 36,
            "{shown}"
        );
    }
    // This client puts its extensions in another order each time.
    let first = hello(&browser_like());
    assert_eq!(hello(&browser_like()), first);
}

#[test]
fn a_hello_is_the_same_however_it_is_spread_over_records() {
    let bytes = browser_like();
    let whole = hello(&bytes);
    let message = &bytes[5..];
    for at in 1..message.len() {
        let (one, other) = message.split_at(at);
        let split = [record(one), record(other)].concat();
        assert_eq!(hello(&split), whole, "split at {at}");
    }
    let crumbs: Vec<u8> = message.chunks(1).flat_map(record).collect();
    assert_eq!(reads(&crumbs), whole);
}

#[test]
fn a_hello_that_trickles_in_is_looked_at_a_few_times() {
    assert!(looks(&browser_like()) <= 6);
    let padding = extension(21, &[0; 10_700]);
    let large = with(&[sni(&[b"www.example"]), padding]);
    assert!(looks(&large) <= 6);
    let crumbs: Vec<u8> = large[5..].chunks(1).flat_map(record).collect();
    assert!(crumbs.len() > LIMIT - 1000 && crumbs.len() <= LIMIT);
    let looks = looks(&crumbs);
    assert!(looks < 80, "{looks}");
}

#[test]
fn the_largest_hello_is_read_and_a_larger_one_refused_at_once() {
    // Five records, each but the last as large as a record may be.
    let sized = |size: usize| {
        let empty = message(&body(0x0303, &[0x1301], &vec16(&extension(21, &[])))).len();
        let padding = extension(21, &vec![0; size - empty]);
        let message = message(&body(0x0303, &[0x1301], &vec16(&padding)));
        message
            .chunks(1 << 14)
            .flat_map(record)
            .collect::<Vec<u8>>()
    };
    let largest = sized(LIMIT - 4 * 5);
    assert_eq!(largest.len(), LIMIT);
    hello(&largest);
    hello(&[&largest[..], b"more"].concat());
    let larger = sized(LIMIT - 4 * 5 + 1);
    for seen in [9, 100, 20_000, larger.len()] {
        assert_eq!(
            parse(&larger[..seen]),
            Parse::Bad(HelloError::TooLarge),
            "{seen}"
        );
    }
    // Not too large as a message, but in these records.
    let crumbs: Vec<u8> = largest[5..12_000].chunks(1).flat_map(record).collect();
    assert_eq!(parse(&crumbs), Parse::Bad(HelloError::TooLarge));
    assert!(matches!(
        parse(&[22, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff]),
        Parse::Bad(HelloError::TooLarge)
    ));
}

#[test]
fn another_protocol_is_known_by_its_first_bytes() {
    for bytes in [
        &b"G"[..],
        b"SSH-2.0-OpenSSH_9.7\r\n",
        b"EHLO mail.example\r\n",
        b"\x05\x01\x00",
        b"\x15\x02",
        b"\x19\x03\x03",
        b"\x80\x2e\x01\x00\x02",
        b"\x16\x02",
        b"\x16\xfe\xff\x00",
        b"\0",
    ] {
        assert_eq!(parse(bytes), Parse::NotTls, "{bytes:?}");
    }
    assert_eq!(parse(b""), Parse::Need(1));
    assert_eq!(parse(b"\x16"), Parse::Need(1));
}

#[test]
fn another_record_before_the_hello_is_no_other_protocol() {
    for kind in [20, 21, 23, 24] {
        assert_eq!(parse(&[kind]), Parse::Need(1));
        let parsed = parse(&[kind, 3, 1, 0, 2, 1, 90]);
        assert!(
            matches!(parsed, Parse::Bad(HelloError::Record { .. })),
            "{kind}: {parsed:?}"
        );
    }
}

#[test]
fn records_that_a_hello_cannot_have_are_refused() {
    let message = message(&body(0x0303, &[0x1301], b""));
    let (start, end) = message.split_at(20);
    let first = record(start);
    let record_error = |bytes: Vec<u8>| {
        let parsed = parse(&bytes);
        assert!(
            matches!(parsed, Parse::Bad(HelloError::Record { .. })),
            "{parsed:?} of {bytes:02x?}"
        );
    };
    record_error(record(b""));
    record_error(vec![22, 3, 1, 0x40, 1]);
    record_error([record(start), record(b""), record(end)].concat());
    record_error([&first[..], &[23, 3, 3, 0, 1, 0]].concat());
    record_error([&first[..], &[21, 3, 3, 0, 2, 1, 0]].concat());
    record_error([&first[..], &[22, 2, 3, 0, 1]].concat());
    record_error([&first[..], &[22, 3, 3, 0x40, 1]].concat());
    // Something behind the hello in its record, told before it has come.
    record_error(record(&[&message[..], &[1]].concat()));
    record_error(record(&[&message[..], &message].concat())[..40].to_vec());
    record_error([record(start), record(&[end, &[0]].concat())].concat());
    for (kind, expected) in [(0, "type 0,"), (2, "type 2,"), (11, "type 11,")] {
        let Parse::Bad(error) = parse(&[22, 3, 1, 0, 40, kind]) else {
            panic!("type {kind} was not refused");
        };
        assert_eq!(error, HelloError::NotHello { got: kind });
        assert!(error.to_string().contains(expected));
    }
    // The minor version of a record says nothing.
    hello(&[&[22, 3, 0x7f], &record(&message)[3..]].concat());
}

#[test]
fn lengths_that_do_not_fit_are_refused() {
    let plain = body(0x0303, &[0x1301], b"");
    assert_eq!(hello(&record(&message(&plain))).server_name, None);
    let wrong = |body: Vec<u8>| {
        let parsed = parse(&record(&message(&body)));
        assert!(
            matches!(parsed, Parse::Bad(HelloError::Length { .. })),
            "{parsed:?} of {body:02x?}"
        );
    };
    for cut in 0..plain.len() {
        wrong(plain[..cut].to_vec());
    }
    wrong([&plain[..], &[0]].concat());
    wrong([&plain[..], &[0, 1]].concat());
    wrong([&plain[..], &[0, 0, 0]].concat());
    wrong(body(0x0303, &[], b""));
    let head = [&[3, 3][..], &[7; 32]].concat();
    wrong([&head[..], &vec8(&[1; 33]), &vec16(&[0x13, 1]), &vec8(&[0])].concat());
    wrong([&head[..], &vec8(&[]), &vec16(&[0x13, 1, 0]), &vec8(&[0])].concat());
    wrong([&head[..], &vec8(&[]), &vec16(&[0x13, 1]), &vec8(&[])].concat());
    for extensions in [
        extension(23, b"")[..3].to_vec(),
        vec![0, 23, 0, 1],
        vec![0],
        [extension(23, b""), vec![0, 35, 0]].concat(),
        extension(0, b""),
        extension(0, &[0, 0]),
        extension(0, &[0, 4, 0, 0, 1]),
        extension(0, &[0, 4, 0, 0, 1, b'a', 0]),
        extension(0, &[0, 4, 0, 0, 2, b'a']),
        extension(0, &[0, 3, 0, 0, 1, b'a']),
        extension(16, b""),
        extension(16, &[0, 3, 2, b'h']),
        extension(16, &[0, 3, 2, b'h', b'2', 0]),
        extension(16, &[0, 3, 3, b'h', b'2']),
        extension(13, b""),
        extension(13, &[0, 0]),
        extension(13, &[0, 3, 4, 3, 4]),
        extension(13, &[0, 2, 4, 3, 0]),
        extension(43, b""),
        extension(43, &[0]),
        extension(43, &[3, 3, 4, 3]),
        extension(43, &[2, 3, 4, 0]),
    ] {
        wrong(body(0x0303, &[0x1301], &vec16(&extensions)));
    }
    hello(&with(&[]));
}

#[test]
fn no_extension_may_be_there_twice() {
    for (extensions, kind) in [
        (vec![sni(&[b"a.example"]), sni(&[b"b.example"])], 0),
        (
            vec![alpn(&[b"h2"]), extension(0x0a0a, b""), alpn(&[b"h2"])],
            16,
        ),
        (
            vec![
                extension(0x1a1a, b""),
                extension(23, b""),
                extension(0x1a1a, b""),
            ],
            0x1a1a,
        ),
    ] {
        assert_eq!(
            parse(&with(&extensions)),
            Parse::Bad(HelloError::Repeated { kind })
        );
    }
}

#[test]
fn a_server_name_is_one_dns_name_in_canonical_form() {
    for (text, canonical) in [
        ("www.example", "www.example"),
        ("WWW.Example", "www.example"),
        ("www.example.", "www.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("_a.b-c.example", "_a.b-c.example"),
        ("localhost", "localhost"),
    ] {
        let name = hello(&with(&[sni(&[text.as_bytes()])])).server_name;
        assert_eq!(name.as_ref().and_then(Host::name), Some(canonical));
    }
    for text in [
        "",
        ".",
        "..",
        "a..example",
        "192.0.2.1",
        "::1",
        "[::1]",
        "::ffff:192.0.2.1",
        "127.1",
        "0x7f.1",
        "2130706433",
        "bücher.example",
        "www.example\0",
        "\0",
        "www.example\0.evil.example",
        "www.example:443",
        "user@www.example",
        "*.example",
        "a b.example",
        "www%2eexample",
        "xn--a.example",
        "a/b",
        "a\r\nb",
    ] {
        let parsed = parse(&with(&[sni(&[text.as_bytes()])]));
        let refused = matches!(
            parsed,
            Parse::Bad(HelloError::ServerName { .. } | HelloError::InvalidName(_))
        );
        assert!(refused, "{text:?}: {parsed:?}");
    }
    for names in [
        sni(&[b"a.example", b"b.example"]),
        sni(&[b"a.example", b"a.example"]),
        sni(&[b"\xff.example"]),
        extension(0, &vec16(&[1, 0, 1, b'a'])),
    ] {
        let parsed = parse(&with(&[names]));
        assert!(
            matches!(parsed, Parse::Bad(HelloError::ServerName { .. })),
            "{parsed:?}"
        );
    }
}

#[test]
fn application_protocols_are_named_and_not_too_many() {
    let many = vec![&b"x"[..]; 256];
    assert_eq!(hello(&with(&[alpn(&many)])).alpn.len(), 256);
    let more = vec![&b"x"[..]; 257];
    for names in [&[][..], &[&b""[..]], &[b"h2", b""], &more] {
        assert_eq!(
            parse(&with(&[alpn(names)])),
            Parse::Bad(HelloError::Protocols)
        );
    }
}

#[test]
fn the_highest_version_offered_is_told() {
    for (legacy, offered, version, text) in [
        (0x0303, None, Version::Tls12, "1.2"),
        (0x0302, None, Version::Tls11, "1.1"),
        (0x0301, None, Version::Tls10, "1.0"),
        (0x0300, None, Version::Ssl3, "ssl3"),
        (0x0304, None, Version::Tls12, "1.2"),
        (0x03ff, None, Version::Tls12, "1.2"),
        (0x0200, None, Version::Unknown, "unknown"),
        (0x0303, Some(&[0x0304, 0x0303][..]), Version::Tls13, "1.3"),
        (0x0303, Some(&[0x0302, 0x0301]), Version::Tls11, "1.1"),
        (0x0303, Some(&[0x9a9a, 0x0303]), Version::Tls12, "1.2"),
        (0x0303, Some(&[0x7f1c, 0x0303]), Version::Tls12, "1.2"),
        (0x0303, Some(&[0xfafa]), Version::Unknown, "unknown"),
    ] {
        let offered = offered.map(|list| extension(43, &vec8(&numbers(list))));
        let extensions = vec16(&offered.unwrap_or_default());
        let hello = hello(&record(&message(&body(legacy, &[0x1301], &extensions))));
        assert_eq!((hello.version, hello.version.word()), (version, text));
    }
    assert!(Version::Unknown < Version::Ssl3 && Version::Tls12 < Version::Tls13);
}

#[test]
fn an_encrypted_hello_is_noticed() {
    for (kind, expected) in [(0xfe0d, true), (0xffce, true), (0xfe0c, false), (23, false)] {
        assert_eq!(
            hello(&with(&[extension(kind, &[0; 9])])).ech,
            expected,
            "{kind:#x}"
        );
    }
}

proptest! {
    #[test]
    fn whatever_a_peer_sends_is_judged_alike_however_it_comes(
        changes in prop::collection::vec((0..2000_usize, any::<u8>()), 0..4),
        piece in 1..40_usize,
        cut in 0..4000_usize,
    ) {
        let mut bytes: Vec<u8> = browser_like()[5..].chunks(piece * 100).flat_map(record).collect();
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        bytes.truncate(cut.max(1));
        let whole = parse(&bytes);
        for end in (0..bytes.len()).step_by(piece) {
            match (parse(&bytes[..end]), &whole) {
                (Parse::Need(more), Parse::Hello(_)) => prop_assert!(more > 0 && end + more <= bytes.len()),
                (Parse::Need(more), Parse::Need(_) | Parse::NotTls | Parse::Bad(_)) => prop_assert!(more > 0),
                (Parse::Bad(_), Parse::Bad(_)) => {}
                (early, whole) => prop_assert_eq!(&early, whole),
            }
        }
    }
}
