//! What clients are taken for, and what files and fields are refused.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use tokio::time::Instant;

use super::hash::Hash;
use super::htpasswd::Users;
use super::verifier::{Begun, Verdict, Verifier};
use super::*;
use crate::fault::{Faults, Source};
use crate::settings::Table;

const PASSWORD: &str = "correct horse:battery";
const BCRYPT: &str = "$2y$04$mElet/4NvlBL42xvZjRAYOrornR9LlfOppSZqKLtPURL/jr7CIalW";

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
        assert!(hash.is_empty() || !fault.problem.contains(hash), "{fault}");
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
fn hostile_credentials_are_refused_and_sound_ones_read() {
    let basic = |text: &[u8]| format!("Basic {}", STANDARD.encode(text));
    let long = "x".repeat(2000);
    for (value, expected) in [
        (basic(b"ann:a:b"), Ok(Some(("ann", "a:b")))),
        (basic(b"ann:"), Ok(Some(("ann", "")))),
        ("bAsIc   YW5uOmE=".to_owned(), Ok(Some(("ann", "a")))),
        (basic("jürgen:pä".as_bytes()), Ok(Some(("jürgen", "pä")))),
        ("Bearer abc".to_owned(), Ok(None)),
        ("Negotiate".to_owned(), Ok(None)),
        (String::new(), Err(CredentialsError::Form)),
        ("Basic".to_owned(), Err(CredentialsError::Form)),
        ("Basic ".to_owned(), Err(CredentialsError::Form)),
        ("Basic\tYW5uOmE=".to_owned(), Err(CredentialsError::Form)),
        ("Basic YW5uOmE".to_owned(), Err(CredentialsError::Base64)),
        ("Basic YW5uOmF=".to_owned(), Err(CredentialsError::Base64)),
        (
            "Basic YW5uOmE=, Basic YW5uOmE=".to_owned(),
            Err(CredentialsError::Base64),
        ),
        ("Basic YW5u OmE=".to_owned(), Err(CredentialsError::Base64)),
        ("Basic YW5u-_E=".to_owned(), Err(CredentialsError::Base64)),
        (basic(b"\xff:a"), Err(CredentialsError::Utf8)),
        (basic(b"ann"), Err(CredentialsError::Colon)),
        (basic(b"ann\0:a"), Err(CredentialsError::Control)),
        (basic(b"ann:a\r\nX: y"), Err(CredentialsError::Control)),
        (
            basic("ann:\u{85}".as_bytes()),
            Err(CredentialsError::Control),
        ),
        (basic(b":a"), Err(CredentialsError::Length)),
        (
            basic(format!("{}:a", &long[..256]).as_bytes()),
            Err(CredentialsError::Length),
        ),
        (
            basic(format!("ann:{}", &long[..1025]).as_bytes()),
            Err(CredentialsError::Length),
        ),
        (basic(long.as_bytes()), Err(CredentialsError::Length)),
    ] {
        let field = HeaderValue::from_str(&value).expect("the table holds field values");
        let read = Credentials::from_proxy_authorization(&field);
        let pair = read.as_ref().map(|read| {
            read.as_ref().map(|Credentials::Basic { user, password }| {
                (
                    &**user,
                    std::str::from_utf8(password.expose()).expect("it came from text"),
                )
            })
        });
        assert_eq!(pair.map_err(|error| *error), expected, "{value}");
    }
}

#[test]
fn passwords_and_hashes_are_never_printed() {
    let credentials = Credentials::user_password(b"ann", b"swordfish").expect("they are sound");
    assert!(!format!("{credentials:?}").contains("swordfish"));
    let text = format!("ann:{BCRYPT}\n");
    let users = Users::parse(&Source::new("u", text), &Groups::default(), &Faults::new());
    assert!(!format!("{users:?}").contains("mElet"));
}

#[test]
fn a_realm_is_quoted_and_cannot_leave_its_quotes() {
    for (realm, expected) in [
        ("egret", Some(r#"Basic realm="egret", charset="UTF-8""#)),
        (
            r#"a"b\c"#,
            Some(r#"Basic realm="a\"b\\c", charset="UTF-8""#),
        ),
        ("a\r\nX: y", None),
        ("Büro", None),
    ] {
        let challenge = Challenge::basic(realm).map(|challenge| challenge.to_string());
        assert_eq!(challenge.as_deref(), expected, "{realm}");
    }
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

/// Reads `settings` as a listener's, beside a password file and a group file.
fn read(settings: &str) -> (Option<Authenticator>, Vec<String>) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let put = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).expect("the folder can be written");
    };
    put("users", &format!("ann:{BCRYPT}\nci:{BCRYPT}\n"));
    put(
        "groups",
        "# who is what\nstaff: ann bob\nops: ann ci\nops: bob ann\n",
    );
    put("bad-groups", "staff ann\n two words: ann\nops: ann \\\n");
    let source = Source::new(folder.path().join("egret.toml"), settings);
    let faults = Faults::new();
    let table = Table::parse(&source, &faults);
    let (auth, groups) = (table.take_value("auth"), table.take_value("groups"));
    let read = Authenticator::read(auth, groups, &faults);
    let told = faults.into_vec().into_iter().map(|fault| fault.problem);
    (read, told.collect())
}

const BOTH: &str = r#"
auth = [
  { basic = { file = "users", realm = "here" } },
  { network = { "10.20.0.0/16" = "ci", "10.20.1.0/24" = { principal = "lab", groups = ["a"] }, "2001:db8::/32" = "six", "10.20.9.9" = "one" } },
]
groups = { file = "groups" }
"#;

#[tokio::test]
async fn a_client_is_who_its_credentials_or_its_network_say() {
    let network = r#"auth = { network = { "10.20.0.0/16" = "ci", "0.0.0.0/0" = "any" } }"#;
    let basic = r#"auth = [{ basic = { file = "users" } }]"#;
    for (settings, client, offered, expected) in [
        (BOTH, "10.20.0.7", None, "ci by network in ci,ops"),
        (BOTH, "::ffff:10.20.0.7", None, "ci by network in ci,ops"),
        (BOTH, "10.20.1.7", None, "lab by network in lab,a"),
        (BOTH, "10.20.9.9", None, "one by network in one"),
        (BOTH, "2001:db8::1", None, "six by network in six"),
        (BOTH, "192.0.2.1", None, "challenge"),
        (BOTH, "2001:db9::1", None, "challenge"),
        (
            BOTH,
            "10.20.0.7",
            Some(("ann", PASSWORD)),
            "ann by basic in staff,ops",
        ),
        (
            BOTH,
            "192.0.2.1",
            Some(("ci", PASSWORD)),
            "ci by basic in ops",
        ),
        (BOTH, "10.20.0.7", Some(("ann", "wrong")), "challenge"),
        (BOTH, "10.20.0.7", Some(("nobody", PASSWORD)), "challenge"),
        (basic, "10.20.0.7", None, "challenge"),
        (
            basic,
            "10.20.0.7",
            Some(("ann", PASSWORD)),
            "ann by basic in ",
        ),
        (
            network,
            "10.20.0.7",
            Some(("ann", "wrong")),
            "ci by network in ci",
        ),
        (network, "192.0.2.1", None, "any by network in any"),
        (network, "2001:db8::1", None, "anonymous"),
        ("", "192.0.2.1", Some(("ann", PASSWORD)), "anonymous"),
    ] {
        let (authenticator, faults) = read(settings);
        let authenticator = authenticator.unwrap_or_else(|| panic!("{faults:?}"));
        let offered = offered.map(|(user, password): (&str, &str)| {
            Credentials::user_password(user.as_bytes(), password.as_bytes()).expect("sound")
        });
        let client = client.parse().expect("the table holds addresses");
        let told = match authenticator.authenticate(client, offered.as_ref()).await {
            Outcome::Known(who) => {
                format!("{} by {} in {}", who.name, who.method, who.groups.join(","))
            }
            Outcome::Anonymous => "anonymous".to_owned(),
            Outcome::Challenge(challenges) => {
                assert_eq!(challenges.len(), 1);
                "challenge".to_owned()
            }
            Outcome::Busy => "busy".to_owned(),
        };
        assert_eq!(told, expected, "{client} {offered:?} {settings}");
    }
}

#[test]
fn settings_that_cannot_be_meant_are_faults() {
    for (settings, words) in [
        (
            r#"auth = [{ basik = { file = "users" } }]"#,
            &["unknown key \"basik\""][..],
        ),
        (r#"auth = [{}]"#, &["names one method"]),
        (
            r#"auth = [{ basic = { file = "users" }, network = { "10.0.0.0/8" = "a" } }]"#,
            &["names one method"],
        ),
        (
            r#"auth = [{ basic = { file = "absent" } }]"#,
            &["cannot read the password file"],
        ),
        (r#"auth = [{ basic = {} }]"#, &["\"file\" is missing"]),
        (
            r#"auth = [{ basic = { file = "users", realm = "Büro", remember = "2h" } }]"#,
            &["realm", "an hour at most"],
        ),
        (r#"auth = [{ network = {} }]"#, &["names no network"]),
        (
            r#"auth = [{ network = { "10.0.0.0/8" = "a", "10.1.0.0/8" = "b" } }]"#,
            &["named twice"],
        ),
        (
            r#"auth = [{ network = { "::ffff:10.0.0.0/104" = "a" } }]"#,
            &["IPv6 dress"],
        ),
        (
            r#"auth = [{ network = { "10.0.0.0/33" = "", "10.0.0.0/8" = 7 } }]"#,
            &["expected a name", "neither an address", "empty"],
        ),
        (r#"groups = { file = "groups" }"#, &["needs \"auth\""]),
        (
            "auth = []\ngroups = { file = \"bad-groups\" }",
            &["no colon", "one word", "continue"],
        ),
        (
            "auth = []\ngroups = { file = \"absent\" }",
            &["cannot read the group file"],
        ),
    ] {
        let (authenticator, mut faults) = read(settings);
        assert!(authenticator.is_none(), "{settings}");
        assert_eq!(faults.len(), words.len(), "{settings}: {faults:?}");
        for word in words {
            let at = faults.iter().position(|fault| fault.contains(word));
            faults.remove(at.unwrap_or_else(|| panic!("{word}: {faults:?}")));
        }
    }
}

fn hash() -> Arc<Hash> {
    Arc::new(Hash::parse(BCRYPT).expect("the hash is whole"))
}

#[tokio::test]
async fn asks_for_the_same_are_verified_once_and_remembered() {
    let verifier = Verifier::new(2, 8).expect("threads can be made");
    let (hash, right, wrong) = (
        hash(),
        Password::new(PASSWORD.as_bytes()),
        Password::new(b"wrong"),
    );
    let minute = Duration::from_secs(60);
    let asks: Vec<_> = (0..20)
        .map(|_| verifier.verify("ann", &hash, &right, minute))
        .collect();
    let mut told = Vec::new();
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let mut asks: Vec<_> = asks.into_iter().map(Box::pin).collect();
            // All are polled once before the first is waited for.
            std::future::poll_fn(|context| {
                asks.retain_mut(|ask| match ask.as_mut().poll(context) {
                    std::task::Poll::Ready(verdict) => {
                        told.push(verdict);
                        false
                    }
                    std::task::Poll::Pending => true,
                });
                if asks.is_empty() {
                    std::task::Poll::Ready(())
                } else {
                    std::task::Poll::Pending
                }
            })
            .await;
        })
        .await;
    assert_eq!(told, vec![Verdict::Right; 20]);
    assert_eq!(verifier.verifications(), 1);

    for _ in 0..3 {
        assert_eq!(
            verifier.verify("ann", &hash, &wrong, minute).await,
            Verdict::Wrong
        );
    }
    assert_eq!(verifier.verifications(), 2);
    assert_eq!(
        verifier.verify("bob", &hash, &right, minute).await,
        Verdict::Right
    );
    assert_eq!(
        verifier.verifications(),
        3,
        "what is remembered is remembered for one user"
    );
    assert_eq!(
        verifier.verify("ann", &hash, &right, Duration::ZERO).await,
        Verdict::Right
    );
    assert_eq!(
        verifier.verifications(),
        4,
        "a time of nothing remembers nothing"
    );

    let later = Instant::now() + Duration::from_secs(3);
    let recall = |password, at| verifier.begin("ann", &hash, password, minute, at);
    assert!(matches!(recall(&right, later), Begun::Done(Verdict::Right)));
    assert!(
        matches!(recall(&wrong, later), Begun::Flying(_)),
        "wrong for two seconds"
    );
    assert!(
        matches!(recall(&right, later + minute), Begun::Flying(_)),
        "right for a minute"
    );
}

#[tokio::test]
async fn what_no_longer_fits_the_queue_is_busy_and_joins_no_flight() {
    let verifier = Verifier::new(0, 1).expect("no threads are made");
    let (hash, minute) = (hash(), Duration::from_secs(60));
    let begin = |password: &[u8]| {
        verifier.begin(
            "ann",
            &hash,
            &Password::new(password),
            minute,
            Instant::now(),
        )
    };
    let _first = begin(b"one");
    assert!(
        matches!(begin(b"one"), Begun::Flying(_)),
        "the same needs no room"
    );
    assert!(matches!(begin(b"two"), Begun::Done(Verdict::Busy)));
    let busy = verifier
        .verify("ann", &hash, &Password::new(b"two"), minute)
        .await;
    assert_eq!(busy, Verdict::Busy);
}

#[tokio::test]
async fn an_unknown_user_costs_a_verification_as_a_known_one_does() {
    let verifier = Arc::new(Verifier::new(1, 8).expect("threads can be made"));
    let text = format!("ann:{BCRYPT}\n");
    let basic = basic::Basic {
        users: Users::parse(&Source::new("u", text), &Groups::default(), &Faults::new()),
        challenge: Challenge::basic("here").expect("the realm is ASCII"),
        verifier: verifier.clone(),
        remember: Duration::from_secs(60),
    };
    for (at, (user, password)) in
        (1..).zip([("ann", "wrong"), ("nobody", "wrong"), ("nobody", PASSWORD)])
    {
        let offered =
            Credentials::user_password(user.as_bytes(), password.as_bytes()).expect("sound");
        let client = "192.0.2.1".parse().expect("an address");
        let answer = basic
            .authenticate(Seen {
                client,
                offered: Some(&offered),
            })
            .await;
        assert_eq!(answer, Answer::Unknown, "{user} {password}");
        assert_eq!(verifier.verifications(), at, "{user} {password}");
    }
}

#[test]
fn an_authenticator_is_shared_by_workers() {
    fn shared<T: Send + Sync>() {}
    shared::<Authenticator>();
}
