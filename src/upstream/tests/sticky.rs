use std::io::Write;

use jiff::{SignedDuration, Timestamp};

use super::*;

/// A file with a secret, which must outlive the reading of settings only.
fn secret(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    write!(file, "{text}").expect("written");
    file
}

fn named(name: &str, count: usize, more: &str, key: &str) -> Arc<Upstream> {
    let file = secret(key);
    let text = format!(
        "{}\nhealth = \"tcp\"\nsticky = {{ secret = {{ file = {:?} }}{more} }}",
        endpoints(0..count),
        file.path().display().to_string()
    );
    Upstream::new(name, settings(&text))
}

const SECRET: &str = "a secret of many letters";

fn now() -> Timestamp {
    Timestamp::from_second(1_000_000_000).expect("a time")
}

#[tokio::test(start_paused = true)]
async fn a_client_with_a_cookie_stays_with_its_endpoint() {
    let upstream = named("app", 10, "", SECRET);
    let sticky = upstream.sticky().expect("it is sticky");
    let worker = Worker::new();
    for _ in 0..20 {
        let first = worker.pick(&upstream).expect("somebody takes it");
        assert!(!first.is_named());
        let value = sticky.value(first.endpoint(), now());
        for _ in 0..20 {
            let ask = Ask {
                sticky: sticky.read(value.as_bytes(), now()),
                ..worker.ask()
            };
            let again = upstream.pick(&ask).expect("somebody takes it");
            assert!(again.is_named());
            assert_eq!(again.address(), first.address());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whose_endpoint_is_gone_is_given_another_and_a_drained_one_keeps_its_clients() {
    let upstream = named("app", 3, "", SECRET);
    let sticky = upstream.sticky().expect("it is sticky");
    let worker = Worker::new();
    let value = sticky.value(&upstream.endpoints()[1], now());
    let goes = || {
        let ask = Ask {
            sticky: sticky.read(value.as_bytes(), now()),
            ..worker.ask()
        };
        let picked = upstream.pick(&ask).expect("somebody takes it");
        assert_eq!(picked.is_named(), picked.address() == address(1));
        picked.is_named()
    };
    assert!(goes());
    upstream.set_admin("10.0.0.1:80", Admin::Drained);
    assert!(goes());
    assert_eq!(worker.takers(&upstream), addresses([0, 2]));
    upstream.set_admin("10.0.0.1:80", Admin::Disabled);
    assert!(!goes());
    upstream.set_admin("10.0.0.1:80", Admin::Enabled);
    assert!(goes());
    upstream.probed(&key(1), false);
    assert!(!goes());
    let ask = Ask {
        sticky: sticky.read(value.as_bytes(), now()),
        tried: &[key(1)],
        ..worker.ask()
    };
    upstream.probed(&key(1), true);
    upstream.probed(&key(1), true);
    assert!(goes());
    assert!(!upstream.pick(&ask).expect("somebody takes it").is_named());
}

#[tokio::test(start_paused = true)]
async fn a_cookie_that_is_not_ours_or_is_over_names_nobody() {
    let upstream = named("app", 3, ", ttl = \"1h\"", SECRET);
    let sticky = upstream.sticky().expect("it is sticky");
    let endpoint = upstream.endpoints().remove(0);
    let value = sticky.value(&endpoint, now());
    let later = |seconds| now() + SignedDuration::from_secs(seconds);
    assert!(sticky.read(value.as_bytes(), later(3599)).is_some());
    assert!(sticky.read(value.as_bytes(), later(3600)).is_none());
    for at in 0..value.len() {
        let mut changed = value.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        assert!(sticky.read(&changed, now()).is_none(), "letter {at}");
    }
    for text in [
        "",
        "x",
        &value[1..],
        &format!("{value}A"),
        &"=".repeat(43),
        &"\u{e9}".repeat(21),
    ] {
        assert!(sticky.read(text.as_bytes(), now()).is_none(), "{text}");
    }
    for other in [
        named("other", 3, "", SECRET),
        named("app", 3, "", "a secret of other letters"),
    ] {
        let other = other.sticky().expect("it is sticky");
        assert!(other.read(value.as_bytes(), now()).is_none());
    }
    let same = named("app", 3, "", SECRET).sticky().expect("it is sticky");
    assert!(
        same.read(value.as_bytes(), now()).is_some(),
        "another gateway reads it"
    );
}

#[tokio::test(start_paused = true)]
async fn the_cookie_has_its_attributes_and_no_address() {
    for (more, name, attributes) in [
        (
            "",
            "egret-endpoint",
            "; Path=/; HttpOnly; SameSite=Lax; Secure",
        ),
        (
            ", cookie = \"node\", same-site = \"strict\", secure = false, ttl = \"90s\", path = \"/a\"",
            "node",
            "; Path=/a; HttpOnly; SameSite=Strict; Max-Age=90",
        ),
    ] {
        let upstream = named("app", 1, more, SECRET);
        let sticky = upstream.sticky().expect("it is sticky");
        assert_eq!(sticky.cookie(), name);
        let endpoint = upstream.endpoints().remove(0);
        let field = sticky
            .set_cookie(&endpoint, now())
            .expect("it can be a field");
        let expected = format!("{name}={}{attributes}", sticky.value(&endpoint, now()));
        assert_eq!(field, expected);
        assert!(!format!("{sticky:?} {:?}", upstream.settings()).contains(SECRET));
    }
}

#[tokio::test(start_paused = true)]
async fn what_leads_back_here_is_used_by_nobody_whatever_the_need() {
    let upstream = named("app", 3, "", SECRET);
    let sticky = upstream.sticky().expect("it is sticky");
    let worker = Worker::new();
    upstream.avoid_circles(&[address(0)]);
    assert_eq!(worker.takers(&upstream), [address(1), address(2)]);
    let told = News::Endpoint(key(0), Change::Circular);
    assert_eq!(upstream.take_news(), [told]);
    // Neither for its cookie, nor where the others are down and all are used.
    for down in [key(1), key(2)] {
        upstream.probed(&down, false);
    }
    let status = upstream.status();
    assert!(status.panic && status.endpoints[0].circular);
    assert_eq!(worker.takers(&upstream), [address(1), address(2)]);
    let value = sticky.value(&Endpoint::new(key(0)), now());
    let ask = Ask {
        sticky: sticky.read(value.as_bytes(), now()),
        ..worker.ask()
    };
    let other = upstream.pick(&ask).expect("somebody takes it");
    assert!(!other.is_named() && other.address() != address(0));
    drop(other);
    upstream.avoid_circles(&[address(0), address(1), address(2)]);
    let none = worker.pick(&upstream).err();
    assert_eq!(none, Some(Unavailable::Circular));
    upstream.avoid_circles(&[]);
    assert_eq!(worker.takers(&upstream), [address(0)], "the one that is up");
}
