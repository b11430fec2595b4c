use super::*;
use crate::fault::Source;

fn read(text: &str) -> (Option<Terms>, String) {
    let faults = Faults::new();
    let base = Origin {
        settings: Settings::default(),
        trust: connector::read(None, &faults),
    };
    let table = Table::parse(&Source::new("egret.toml", text), &faults);
    let terms = Terms::read(&table, &base, &faults);
    let told = faults.into_vec();
    (terms, told.iter().map(Fault::render).collect())
}

fn good(text: &str) -> Terms {
    let (terms, told) = read(text);
    terms.ok_or(told).expect("good settings")
}

#[test]
fn each_protocol_has_its_alpn_and_its_sharing() {
    for (text, secure, offered, shared) in [
        ("", false, Offered::Any, false),
        ("tls = false", false, Offered::Any, false),
        ("tls = true", true, Offered::Any, true),
        ("tls = {}", true, Offered::Any, true),
        (
            "tls = true\nprotocol = \"http/1.1\"",
            true,
            Offered::Http1,
            false,
        ),
        ("tls = true\nprotocol = \"h2\"", true, Offered::Http2, true),
        ("protocol = \"h2c\"", false, Offered::Http1, true),
    ] {
        let terms = good(text);
        assert_eq!(terms.is_secure(), secure, "{text}");
        assert_eq!(terms.offered(false), offered, "{text}");
        assert_eq!(terms.may_share(false), shared, "{text}");
    }
}

#[test]
fn every_mistake_is_told_with_a_remedy() {
    for (text, problem, remedy) in [
        ("protocol = \"h2\"", "this upstream has none", "h2c"),
        ("tls = true\nprotocol = \"h2c\"", "is under TLS", "\"h2\""),
        ("protocol = \"h3\"", "\"h3\" is not known here", "h2"),
        ("tls = 1", "expected true, or a table", ""),
        (
            "tls = { root = [\"a.pem\"] }",
            "unknown key \"root\"",
            "roots",
        ),
        ("tls = { roots = [] }", "no certificate is trusted", "leave"),
        (
            "tls = { server-name = \"a b\" }",
            "is no host",
            "app.internal",
        ),
        (
            "tls = { pins = [\"x\"] }",
            "not the hash of a public key",
            "sha256/",
        ),
        (
            "tls = { client = { cert = \"a.pem\" } }",
            "\"key\" is missing",
            "file",
        ),
        (
            "connections = 0",
            "no endpoint could be reached",
            "leave it out",
        ),
        (
            "timeouts = { connect = \"0s\" }",
            "can not be no time",
            "5s",
        ),
        (
            "timeouts = { conect = \"1s\" }",
            "unknown key \"conect\"",
            "connect",
        ),
        ("keep-alive = { idle = 5 }", "expected a duration", "5s"),
    ] {
        let (terms, told) = read(text);
        assert!(terms.is_none(), "{text}");
        assert!(
            told.contains(problem) && told.contains(remedy),
            "{text}: {told}"
        );
    }
}

#[test]
fn a_reload_that_changes_no_connection_keeps_their_identity() {
    let before = Arc::new(good("tls = true"));
    for (text, same) in [
        ("tls = true", true),
        (
            "tls = true\ntimeouts = { response = \"1s\" }\nconnections = 5",
            true,
        ),
        ("tls = { server-name = \"a.example\" }", false),
        ("tls = { min-version = \"1.3\" }", false),
        ("tls = true\nprotocol = \"h2\"", false),
        ("", false),
    ] {
        let after = good(text).keeping(Some(&before));
        assert_eq!(*after == *before, same, "{text}");
    }
    assert_ne!(good("tls = true"), *before);
}
