//! Hashes and the files that hold them: verified, refused, made.

use super::super::hash::Hash;
use super::super::htpasswd::Users;
use super::super::*;
use super::{BCRYPT, PASSWORD};
use crate::fault::{Faults, Source};

#[test]
fn hashes_made_elsewhere_are_verified() {
    let hundred = "a".repeat(100);
    for (hash, password) in [
        (BCRYPT, PASSWORD),
        (
            "$2a$04$gNuj71iGVBjetEEIV2whkuYfs.POS0fTM5J.nNE61zRRJZ/pfm87.",
            PASSWORD,
        ),
        (
            "$2b$04$csEeWNwOpZI3DH6Ck7BOFu/tFtiQ2ogFmTK6/StVoeVRW6ihAXO6i",
            PASSWORD,
        ),
        (
            "$5$rounds=1000$SVswu0uwt3Opw/cW$51O6sAgHhvR2urRIPVV9slNbc1Bt4e0s3N/i1DAJJi.",
            PASSWORD,
        ),
        (
            "$5$fPbR1cZ7KFzyfuT9$JfG6XBkQr2B2SJj93kypITcW2vpd6Ac3H6JkeyFH3T1",
            "secret",
        ),
        (
            "$5$rounds=1000$wkusZ7dREjX2PWTY$u/Npom9H6fEn2DzWwNQgivI3f34XUoox8BXDhME9Fp2",
            "pä",
        ),
        (
            "$6$E3GEqTCtzlZMPgVz$Vm/2Rt7mh1mI14wWlu1TY.oyDqfJUvn9Ue8abObgOXLlN0/Be0yxhbB.oiap4gbnsARk4SD9Pd0p3A4fURYmC.",
            "secret",
        ),
        (
            "$6$rounds=1234$ab$zgf2Fhk09u8gAsbwTNig0yMu0nWayV9re6azZFVrXC/9xsHB7kjgQsTxfDNT1h/6O0sU6IBmIXTJHgX3F5a6a.",
            PASSWORD,
        ),
        (
            "$6$rounds=1234$ab$5uBO.rnByko0HKmSP4Zpl7rAzI2yJvLtF/QZywTkUZOckCdPKV2xvyjOlGD5Gh2.WVEn3yf4B01z6YO8wy7Jp.",
            &hundred,
        ),
        ("$apr1$12345678$MzUfYLYRx2kpDS7WPIUla.", PASSWORD),
        ("$apr1$APcD7jOp$/GzwAqMo.KZoGiCF7SwEQ0", "secret"),
        ("$apr1$rDjJcg9F$Q8YwFpmnXplkkMac9PZCj1", "pä"),
        ("$apr1$9PwJljk1$My/Qt0dtKOb0N5deL8iL30", ""),
        ("$apr1$3lZK9vlj$n94z7DU0bmRctJBCX4GKg/", &hundred),
        (
            "$argon2id$v=19$m=64,t=1,p=2$FN6d472prz6TKCIwgTLhCg$jvdn+btJaYfT2nGFw/wbGJe+oVfFsdJY0ITBm7Zio3o",
            PASSWORD,
        ),
        (
            "$argon2i$v=19$m=64,t=1,p=2$/DIw9fj6FAjbVMwu94S1yQ$FQVSeY4Uoxd32n2SxHsI8uoTv1i0N/SZF31opmOqi0c",
            PASSWORD,
        ),
        (
            "$argon2d$v=19$m=64,t=1,p=2$uPi6JePpota84B0K9Pq+iA$mxRVx+x5rf8z7fusB7kiFErLz1XPj7Z6m4+Gzq3r8jU",
            PASSWORD,
        ),
    ] {
        let read = Hash::parse(hash).expect(hash);
        assert!(read.verify(password.as_bytes()), "{hash}");
        assert!(!read.verify(b"wrong"), "{hash}");
        assert!(!read.verify(format!("{password}x").as_bytes()), "{hash}");
    }
}

#[test]
fn bcrypt_does_not_let_a_longer_password_pass_for_its_beginning() {
    let hash = Hash::parse("$2b$04$FPS7oTIY6sG.kIlQuXXlLOtxXhUhp93gDTuCqT6oBdjrPnqrpGg3e")
        .expect("the hash is whole");
    assert!(hash.verify(&[b'x'; 72]));
    assert!(!hash.verify(&[b'x'; 73]));
}

#[test]
fn weak_broken_and_costly_hashes_are_faults_with_their_line_and_a_remedy() {
    for (hash, words) in [
        ("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "SHA-1"),
        ("rqXexS6ZhobKA", "DES"),
        ("swordfish", "plain text"),
        ("", "missing"),
        ("$1$salt$qJH7.N4xYta3aEG/dfqo/0", "MD5-crypt"),
        ("$y$j9T$abc$def", "not known"),
        (
            "$2x$04$gNuj71iGVBjetEEIV2whkuYfs.POS0fTM5J.nNE61zRRJZ/pfm87.",
            "2x",
        ),
        (
            "$2y$31$mElet/4NvlBL42xvZjRAYOrornR9LlfOppSZqKLtPURL/jr7CIalW",
            "cost 31",
        ),
        (
            "$2y$04$mElet/4NvlBL42xvZjRAYOrornR9LlfOppSZqKLtPURL/jr7CIal",
            "bcrypt hash",
        ),
        (
            "$5$rounds=999999999$SVswu0uwt3Opw/cW$51O6sAgHhvR2urRIPVV9slNbc1Bt4e0s3N/i1DAJJi.",
            "rounds",
        ),
        (
            "$5$rounds=10$SVswu0uwt3Opw/cW$51O6sAgHhvR2urRIPVV9slNbc1Bt4e0s3N/i1DAJJi.",
            "rounds",
        ),
        ("$5$SVswu0uwt3Opw/cW", "SHA-crypt hash"),
        ("$apr1$123456789$MzUfYLYRx2kpDS7WPIUla.", "apr1 hash"),
        ("$apr1$12345678$MzUfYLYRx2kpDS7WPIUlaz", "apr1 hash"),
        (
            "$argon2id$v=19$m=4194304,t=1,p=1$FN6d472prz6TKCIwgTLhCg$jvdn+btJaYfT2nGFw/wbGJe+oVfFsdJY0ITBm7Zio3o",
            "argon2's cost",
        ),
        (
            "$argon2id$v=19$m=65536,t=4000000000,p=1$FN6d472prz6TKCIwgTLhCg$jvdn+btJaYfT2nGFw/wbGJe+oVfFsdJY0ITBm7Zio3o",
            "argon2's cost",
        ),
        (
            "$argon2id$v=19$m=64,t=1,p=2$FN6d472prz6TKCIwgTLhCg",
            "argon2 hash",
        ),
    ] {
        let faults = Faults::new();
        let source = Source::new("users", format!("# users\n\n eve:{hash}\n"));
        Users::parse(&source, &Groups::default(), &faults);
        let faults = faults.into_vec();
        let [fault] = &faults[..] else {
            panic!("{hash}: {faults:?}")
        };
        assert!(fault.to_string().starts_with("users:3:2: "), "{fault}");
        assert!(fault.problem.contains(words), "{hash}: {fault}");
        assert!(fault.remedy.contains("egret hash"), "{hash}: {fault}");
        assert!(
            hash.is_empty() || !fault.render().contains(hash),
            "{}",
            fault.render()
        );
        assert!(fault.render().contains("eve:…"), "{}", fault.render());
    }
}

#[test]
fn every_bad_line_of_a_password_file_is_told_and_comments_are_not_lines() {
    let faults = Faults::new();
    let text = format!(
        "ann:{BCRYPT}:her comment\r\n#x\nno colon\n:{BCRYPT}\nann:{BCRYPT}\nb\u{7}b:{BCRYPT}\n"
    );
    let users = Users::parse(&Source::new("users", text), &Groups::default(), &faults);
    assert!(users.find("ann").is_some());
    let places: Vec<_> = faults.into_vec().iter().map(|f| f.to_string()).collect();
    let starts: Vec<_> = places.iter().filter_map(|f| f.split(": ").next()).collect();
    assert_eq!(
        starts,
        ["users:3:1", "users:4:1", "users:5:1", "users:6:1"],
        "{places:?}"
    );
}

#[test]
fn a_made_hash_is_verified_by_its_password_alone() {
    for method in [
        HashMethod::Bcrypt { cost: 4 },
        HashMethod::Argon2id,
        HashMethod::Sha512,
    ] {
        let made = hash_password(PASSWORD.as_bytes(), method).expect("the password is sound");
        let again = hash_password(PASSWORD.as_bytes(), method).expect("the password is sound");
        assert_ne!(made, again, "each has a salt of its own");
        let hash = Hash::parse(&made).expect(&made);
        assert!(hash.verify(PASSWORD.as_bytes()), "{made}");
        assert!(!hash.verify(b"wrong"), "{made}");
    }
    let bcrypt = HashMethod::Bcrypt { cost: 4 };
    let too_long = HashError::TooLong {
        length: 73,
        limit: 72,
        method: "bcrypt",
    };
    assert_eq!(hash_password(&[b'x'; 73], bcrypt), Err(too_long));
    assert!(hash_password(&[b'x'; 72], bcrypt).is_ok());
    for (password, method, expected) in [
        (&b""[..], bcrypt, HashError::Empty),
        (b"a\nb", bcrypt, HashError::Unsendable),
        (b"\xff", bcrypt, HashError::Unsendable),
        (
            b"a",
            HashMethod::Bcrypt { cost: 31 },
            HashError::Cost { cost: 31 },
        ),
    ] {
        assert_eq!(
            hash_password(password, method),
            Err(expected),
            "{password:?}"
        );
    }
}
