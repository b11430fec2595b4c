use super::*;

/// The worked example of the definition, with reserved values added, which count for nothing.
const CIPHERS: &[u16] = &[
    0x1a1a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014,
    0x009c, 0x009d, 0x002f, 0x0035,
];
const KINDS: &[u16] = &[
    0x5a5a, 0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012,
    0x002b, 0xff01, 0x000b, 0x000a, 0x0015, 0xdada,
];
const SIGNATURES: &[u16] = &[
    0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601,
];

fn sorted(values: &[u16]) -> Vec<u16> {
    let mut values = values.to_vec();
    values.sort_unstable();
    values
}

/// The fingerprint of lists that need not be sorted.
fn of(
    version: u16,
    ciphers: &[u16],
    kinds: &[u16],
    alpn: &[&[u8]],
    signatures: &[u16],
) -> Box<str> {
    let alpn: Vec<Box<[u8]>> = alpn.iter().map(|name| Box::from(*name)).collect();
    let offer = Offer {
        version,
        ciphers: &sorted(ciphers),
        extensions: &sorted(kinds),
        alpn: &alpn,
        signatures,
    };
    offer.fingerprint()
}

#[test]
fn it_is_that_of_the_published_example() {
    let extensions: Vec<u8> = KINDS
        .iter()
        .flat_map(|kind| match kind {
            0x0000 => sni(&[b"www.example"]),
            0x0010 => alpn(&[b"h2", b"http/1.1"]),
            0x000d => extension(13, &vec16(&numbers(SIGNATURES))),
            0x002b => extension(43, &vec8(&numbers(&[0x6a6a, 0x0304, 0x0303]))),
            other => extension(*other, &[0]),
        })
        .collect();
    let body = body(0x0303, CIPHERS, &vec16(&extensions));
    let hello = reads(&record(&message(&body)));
    assert_eq!(&*hello.fingerprint, "t13d1516h2_8daaf6152771_e5627efa2ab1");
}

#[test]
fn it_is_what_others_measure_of_clients_in_use() {
    let ciphers = [
        0x00ff, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02c, 0xc02f, 0xc030, 0xcca8, 0xcca9,
    ];
    let kinds = [
        0, 0x0005, 0x000a, 0x000b, 0x000d, 0x0010, 0x0017, 0x0023, 0x002b, 0x002d, 0x0033,
    ];
    let mut signatures = vec![
        0x0503, 0x0403, 0x0807, 0x0806, 0x0805, 0x0804, 0x0601, 0x0501, 0x0401,
    ];
    let of_these = |signatures: &[u16]| of(0x0304, &ciphers, &kinds, &[b"h2"], signatures);
    assert_eq!(
        &*of_these(&signatures),
        "t13d1011h2_61a7ad8aa9b6_3fcd1a44f3e3"
    );
    signatures.insert(2, 0x0603);
    assert_eq!(
        &*of_these(&signatures),
        "t13d1011h2_61a7ad8aa9b6_f9531d972513"
    );
}

#[test]
fn it_says_what_is_not_there() {
    let unnamed: Vec<u16> = KINDS.iter().copied().filter(|kind| *kind != 0).collect();
    let no_signatures = of(0x0304, CIPHERS, KINDS, &[b"h2"], &[]);
    assert_eq!(&*no_signatures, "t13d1516h2_8daaf6152771_6d807ffa2a79");
    let no_name = of(0x0304, CIPHERS, &unnamed, &[], SIGNATURES);
    assert_eq!(&*no_name, "t13i151500_8daaf6152771_e5627efa2ab1");
    for (version, ciphers, kinds, readable) in [
        (0x0303, &[0x0a0a][..], &[][..], "t12i000000"),
        (0x0300, &[], &[0, 16], "ts3d000200"),
        (0x7f1c, &[], &[0x3a3a], "t00i000000"),
    ] {
        let expected = format!("{readable}_000000000000_000000000000");
        assert_eq!(&*of(version, ciphers, kinds, &[], &[]), expected);
    }
    let many: Vec<u16> = (0x3000..0x3080).collect();
    assert!(of(0x0301, &many, &many, &[], &[]).starts_with("t10i999900_"));
}

#[test]
fn it_shows_the_first_protocol_in_two_characters() {
    for (names, expected) in [
        (&[][..], "00"),
        (&[&b"h2"[..], b"http/1.1"], "h2"),
        (&[b"http/1.1", b"h2"], "h1"),
        (&[b"\x0a\x0a", b"h2"], "h2"),
        (&[b"x"], "xx"),
        (&[b"\xab"], "ab"),
        (&[b"\xab\xcd"], "ad"),
        (&[b"\x30\xab"], "3b"),
        (&[b"\x30\x31\xab\xcd"], "3d"),
        (&[b"\x30\xab\xcd\x31"], "01"),
    ] {
        assert_eq!(&of(0x0304, &[], &[], names, &[])[8..10], expected);
    }
}
