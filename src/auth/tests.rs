//! What clients are taken for, and what files and fields are refused.

mod hashes;
mod waiting;

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::task::Poll;
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
        let read = Credentials::from_field(&field);
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
    let read = Authenticator::read(auth, groups, false, &faults);
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

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn hash() -> Arc<Hash> {
    Arc::new(Hash::parse(BCRYPT).expect("the hash is whole"))
}

#[tokio::test]
async fn asks_for_the_same_are_verified_once() {
    let verifier = Verifier::new(2, 8).expect("threads can be made");
    let (hash, right) = (hash(), Password::new(PASSWORD.as_bytes()));
    let minute = Duration::from_secs(60);
    let mut asks: Vec<_> = (0..20)
        .map(|_| Box::pin(verifier.verify(CLIENT, "ann", &hash, &right, minute)))
        .collect();
    let mut told = Vec::new();
    // All are polled once before the first is waited for.
    std::future::poll_fn(|context| {
        asks.retain_mut(|ask| {
            let polled = ask.as_mut().poll(context);
            polled.map(|verdict| told.push(verdict)).is_pending()
        });
        if asks.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    assert_eq!(told, vec![Verdict::Right; 20]);
    assert_eq!(verifier.verifications(), 1);
}

#[tokio::test]
async fn what_was_verified_is_remembered_for_its_time_and_for_one_user() {
    let verifier = Verifier::new(2, 8).expect("threads can be made");
    let (hash, minute) = (hash(), Duration::from_secs(60));
    let (right, wrong) = (Password::new(PASSWORD.as_bytes()), Password::new(b"wrong"));
    for _ in 0..3 {
        assert_eq!(
            verifier.verify(CLIENT, "ann", &hash, &right, minute).await,
            Verdict::Right
        );
    }
    for _ in 0..3 {
        assert_eq!(
            verifier.verify(CLIENT, "ann", &hash, &wrong, minute).await,
            Verdict::Wrong
        );
    }
    assert_eq!(verifier.verifications(), 2);
    assert_eq!(
        verifier.verify(CLIENT, "bob", &hash, &right, minute).await,
        Verdict::Right
    );
    assert_eq!(
        verifier.verifications(),
        3,
        "what is remembered is remembered for one user"
    );
    assert_eq!(
        verifier
            .verify(CLIENT, "ann", &hash, &right, Duration::ZERO)
            .await,
        Verdict::Right
    );
    assert_eq!(
        verifier.verifications(),
        4,
        "a time of nothing remembers nothing"
    );

    let later = Instant::now() + Duration::from_secs(3);
    let recall = |password, at| verifier.begin(CLIENT, ("ann", &hash, password), minute, at);
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
