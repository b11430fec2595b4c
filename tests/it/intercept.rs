//! Interception: a tunnel is decrypted where a rule says so, each request inside is judged by itself, everything else stays sealed.
//! Not the real clients, which are in `intercept_clients`; nor what a ClientHello decides, which is in `hello`.

use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::support::{
    Ca, Config, Dns, Egret, Interception, Met, Origin, Response, Wire, ok, shake_hands,
    socks_tunnel, tunnel,
};

/// An origin under TLS, a proxy that intercepts, and the authorities of both.
struct World {
    egret: Egret,
    authority: Interception,
    origin: Origin,
    _dns: Dns,
}

impl World {
    fn new(rules: &str) -> Self {
        Self::with(&Ca::mint(), rules, "")
    }

    fn with(ca: &Ca, rules: &str, more: &str) -> Self {
        let origin = Origin::https(ca, &["origin.test", "www.origin.test"], |request| {
            ok(format!("{} {}", request.method, request.target).as_bytes())
        });
        Self::around(origin, ca, rules, more)
    }

    fn around(origin: Origin, ca: &Ca, rules: &str, more: &str) -> Self {
        let authority = Interception::init();
        let dns = Dns::start(&[("origin.test", "127.0.0.1"), ("other.test", "127.0.0.1")]);
        let files = [&authority.files()[..], &[("ca.pem", ca.pem())]].concat();
        let config = rules
            .split("---")
            .fold(Config::closed(), |config, rule| config.rule(rule.trim()));
        let config = config.dns(&dns).roots().more(INTERCEPT).more(more);
        Self {
            egret: Egret::start_with(&files, &config),
            authority,
            origin,
            _dns: dns,
        }
    }

    fn place(&self) -> String {
        format!("origin.test:{}", self.origin.port())
    }

    /// A tunnel to the origin, and TLS in it, as a client that trusts the interception's authority.
    fn met(&self, alpn: &[&str]) -> Met {
        let wire = tunnel(&self.egret, &self.place());
        shake_hands(wire, "origin.test", &[&self.authority.cert], alpn).expect("a handshake")
    }

    fn ask(&self, wire: &mut Wire, method: &str, path: &str) -> Response {
        self.ask_host(wire, method, path, &self.place())
    }

    fn ask_host(&self, wire: &mut Wire, method: &str, path: &str, host: &str) -> Response {
        wire.send(format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes());
        wire.response(method)
    }
}

const INTERCEPT: &str = "[intercept]\nauthority = { cert = \"{dir}/intercept.pem\", key = { file = \"{dir}/intercept.key\" } }";
const ALL: &str = "name = \"seen\"\nallow = { intercept = true }\naddress = \"127.0.0.0/8\"";

fn names(met: &Met) -> Vec<String> {
    let (_, leaf) = X509Certificate::from_der(&met.certificates[0]).unwrap();
    let names = leaf.subject_alternative_name().unwrap().unwrap();
    let name = |name: &GeneralName<'_>| {
        let GeneralName::DNSName(name) = name else {
            return None;
        };
        Some((*name).to_owned())
    };
    names.value.general_names.iter().filter_map(name).collect()
}

#[test]
fn a_request_inside_a_tunnel_is_an_exchange_like_any_other() {
    let world = World::new(ALL);
    let mut met = world.met(&["http/1.1"]);
    assert_eq!(names(&met), ["origin.test", "www.origin.test"]);
    let answer = world.ask(&mut met.wire, "GET", "/a?b=c");
    assert_eq!((answer.status, answer.text().as_str()), (200, "GET /a?b=c"));
    assert!(answer.header("via").is_some(), "{}", answer.head);
    let again = world.ask(&mut met.wire, "GET", "/again");
    assert_eq!(again.text(), "GET /again");
    let seen = world.origin.wait_request(0);
    assert_eq!(seen.header("host"), Some(world.place().as_str()));
    assert!(seen.header("via").is_some());
    drop(met);
    let inner = world
        .egret
        .wait_record("the exchange's record", |r| r["path"] == "/a");
    let outer = world
        .egret
        .wait_record("the tunnel's record", |r| r["method"] == "CONNECT");
    assert_eq!(inner["scheme"], "https");
    assert_eq!(inner["protocol"], "http/1.1");
    assert_eq!(inner["tunnel"], outer["id"]);
    for record in [&inner, &outer] {
        assert_eq!(record["intercepted"], true, "{record}");
        assert_eq!(record["rule"], "seen");
        assert_eq!(record["status"], 200);
    }
    assert_eq!(outer["sni"], "origin.test");
    assert!(outer["fingerprint"].as_str().unwrap().starts_with("t13d"));
}

#[test]
fn what_a_rule_asks_of_requests_is_asked_of_each_one_inside() {
    let world = World::new(
        "name = \"read\"\nallow = { intercept = true }\naddress = \"127.0.0.0/8\"\nmethod = \"GET\"\npath = \"/public/*\"",
    );
    let mut met = world.met(&[]);
    for (method, path, status) in [
        ("GET", "/public/a", 200),
        ("GET", "/private", 403),
        ("GET", "/public/a", 200),
    ] {
        let answer = world.ask(&mut met.wire, method, path);
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
    }
    let denied = world.ask(&mut met.wire, "DELETE", "/public/a");
    assert_eq!(denied.status, 403);
    assert_eq!(world.origin.requests().len(), 2);
}

#[test]
fn what_no_rule_intercepts_is_relayed_untouched() {
    let ca = Ca::mint();
    let world = World::with(
        &ca,
        "name = \"sealed\"\nallow = {}\naddress = \"127.0.0.0/8\"",
        "",
    );
    let wire = tunnel(&world.egret, &world.place());
    let mut met = shake_hands(wire, "origin.test", &[ca.pem()], &[]).expect("the origin's own");
    assert_eq!(world.ask(&mut met.wire, "GET", "/x").status, 200);
    drop(met);
    let record = world
        .egret
        .wait_record("a record", |r| r["method"] == "CONNECT");
    assert_eq!(record["intercepted"], serde_json::Value::Null);
    assert_eq!(record["sni"], "origin.test");
}

#[test]
fn a_request_for_another_origin_is_misdirected() {
    let world = World::new(ALL);
    let mut met = world.met(&[]);
    let port = world.origin.port();
    for host in [
        "other.test".to_owned(),
        "origin.test".to_owned(),
        format!("other.test:{port}"),
    ] {
        let mut met = world.met(&[]);
        let answer = world.ask_host(&mut met.wire, "GET", "/", &host);
        assert_eq!(answer.status, 421, "{host}");
    }
    let path = format!("https://{}/absolute", world.place());
    assert_eq!(
        world.ask(&mut met.wire, "GET", &path).text(),
        "GET /absolute"
    );
    let mut met = world.met(&[]);
    let answer = world.ask(&mut met.wire, "CONNECT", "origin.test:1");
    assert_eq!(answer.status, 400);
    assert_eq!(world.origin.requests().len(), 1);
}

#[test]
fn an_origin_that_can_not_be_trusted_is_told_inside_and_never_asked() {
    let authority = Ca::mint();
    let stranger = Ca::mint();
    let origin = Origin::https(&stranger, &["origin.test"], |_| ok(b"never"));
    let world = World::around(origin, &authority, ALL, "");
    let mut met = world.met(&["http/1.1"]);
    assert_eq!(names(&met), ["origin.test"]);
    let answer = world.ask(&mut met.wire, "GET", "/");
    assert_eq!(answer.status, 502);
    assert_eq!(answer.proxy_error(), Some("tls_certificate_error"));
    assert!(answer.text().contains("not trusted"), "{}", answer.text());
    assert_eq!(world.origin.requests().len(), 0);
}

#[test]
fn a_client_that_rejects_our_certificate_is_spliced_or_refused_as_the_rule_says() {
    for (pinned, spliced) in [("splice", true), ("deny", false)] {
        let ca = Ca::mint();
        let rule = format!(
            "name = \"seen\"\nallow = {{ intercept = {{ pinned = \"{pinned}\" }} }}\naddress = \"127.0.0.0/8\""
        );
        let world = World::with(&ca, &rule, "");
        let pins = |wire| shake_hands(wire, "origin.test", &[ca.pem()], &["http/1.1"]);
        assert!(pins(tunnel(&world.egret, &world.place())).is_err());
        let record = world
            .egret
            .wait_record("the rejection", |r| r["aborted"] == true);
        let reason = record["reason"].as_str().unwrap();
        assert!(reason.contains("rejected our certificate"), "{reason}");
        let second = pins(tunnel(&world.egret, &world.place()));
        if spliced {
            let mut met = second.expect("the origin's own certificate");
            assert_eq!(world.ask(&mut met.wire, "GET", "/").status, 200);
        } else {
            assert!(second.is_err());
            let denied = world.egret.wait_record("the refusal", |r| {
                r["verdict"] == "deny" && r["method"] == "CONNECT"
            });
            let reason = denied["reason"].as_str().unwrap();
            assert!(reason.contains("egret ca export"), "{reason}");
        }
    }
}

#[test]
fn bytes_that_are_not_http_over_tls_are_refused_or_spliced_as_the_rule_says() {
    for (word, passes) in [("deny", false), ("splice", true)] {
        let origin = Origin::echo();
        let config = Config::closed()
            .rule(&format!(
                "name = \"seen\"\nallow = {{ intercept = {{ not-http = \"{word}\" }} }}\naddress = \"127.0.0.0/8\""
            ))
            .more(INTERCEPT);
        let egret = Egret::start_with(&Interception::init().files(), &config);
        let mut wire = tunnel(&egret, &origin.address.to_string());
        wire.send(b"SSH-2.0-x\r\n");
        if passes {
            assert_eq!(wire.exact(11), b"SSH-2.0-x\r\n");
        } else {
            assert!(wire.read_to_end().is_empty());
            let record = egret.wait_record("the refusal", |r| r["verdict"] == "deny");
            assert_eq!(record["rule"], "seen");
        }
    }
}

#[test]
fn a_pinned_origin_must_show_the_key() {
    let ca = Ca::mint();
    let rule = |pin: &str| {
        format!(
            "name = \"seen\"\nallow = {{ intercept = {{ pins = [\"sha256/{pin}\"] }} }}\naddress = \"127.0.0.0/8\""
        )
    };
    let wrong = crate::support::base64("0123456789abcdef0123456789abcdef");
    for (pin, status, told) in [
        (wrong, 502, "that are pinned for it"),
        (ca.pin(), 200, "GET /"),
    ] {
        let world = World::with(&ca, &rule(&pin), "");
        let mut met = world.met(&[]);
        let answer = world.ask(&mut met.wire, "GET", "/");
        assert_eq!(answer.status, status, "{}", answer.text());
        assert!(answer.text().contains(told), "{}", answer.text());
    }
}

#[test]
fn the_proxys_own_host_offers_the_certificate_and_shows_whether_it_is_trusted() {
    let world = World::new(ALL);
    let page = world
        .egret
        .ask("GET http://egret.invalid/ HTTP/1.1\r\nhost: egret.invalid\r\n\r\n");
    assert_eq!(page.status, 200);
    assert!(page.text().contains("https://egret.invalid/trusted.svg"));
    assert!(page.text().contains("update-ca-certificates"));
    let pem = world
        .egret
        .ask("GET http://egret.invalid/ca.pem HTTP/1.1\r\nhost: egret.invalid\r\n\r\n");
    assert_eq!(pem.text().trim(), world.authority.cert.trim());
    let wire = tunnel(&world.egret, "egret.invalid:443");
    let mut met =
        shake_hands(wire, "egret.invalid", &[&world.authority.cert], &[]).expect("trusted");
    let shown = world.ask_host(&mut met.wire, "GET", "/trusted.svg", "egret.invalid");
    assert!(shown.text().contains("trusts the authority"));
    let missing = world.ask_host(&mut met.wire, "GET", "/other", "egret.invalid");
    assert_eq!(missing.status, 404);
}

#[test]
fn a_rule_that_intercepts_needs_an_authority() {
    let config = Config::closed().rule(ALL);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("egret.toml");
    let text = config
        .text()
        .replace("{dir}", &folder.path().display().to_string());
    std::fs::write(&file, text).unwrap();
    let output = crate::support::program()
        .args(["check", "-c"])
        .arg(&file)
        .output()
        .unwrap();
    let said = crate::support::said(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("\"seen\" intercepts, but no authority is named"),
        "{said}"
    );
    assert!(said.contains("egret ca init"), "{said}");
}

#[test]
fn what_is_inside_ends_when_the_policy_permits_it_no_longer() {
    let world = World::new(ALL);
    let mut met = world.met(&[]);
    assert_eq!(world.ask(&mut met.wire, "GET", "/").status, 200);
    let config = std::fs::read_to_string(world.egret.path("egret.toml")).unwrap();
    world
        .egret
        .write("egret.toml", &config.replace("127.0.0.0/8", "127.9.9.9/32"));
    let output = world.egret.command(&["reload"]);
    assert!(output.status.success(), "{}", crate::support::said(&output));
    assert!(met.wire.read_to_end().is_empty());
    let record = world.egret.wait_record("the tunnel's end", |r| {
        r["method"] == "CONNECT" && r["aborted"] == true
    });
    assert!(
        record["reason"]
            .as_str()
            .unwrap()
            .contains("no longer allowed"),
        "{record}"
    );
}

#[test]
fn an_origin_that_asks_for_a_client_certificate_is_refused_spliced_or_met_without_as_the_rule_says()
{
    for word in ["deny", "splice", "without"] {
        let ca = Ca::mint();
        let origin = Origin::https_asking(&ca, &["origin.test"], |_| ok(b"met"));
        let rule = format!(
            "name = \"seen\"\nallow = {{ intercept = {{ client-certificate = \"{word}\" }} }}\naddress = \"127.0.0.0/8\""
        );
        let world = World::around(origin, &ca, &rule, "");
        let wire = tunnel(&world.egret, &world.place());
        let root = if word == "splice" {
            ca.pem()
        } else {
            &world.authority.cert
        };
        let mut met = shake_hands(wire, "origin.test", &[root], &[]).expect(word);
        let answer = world.ask(&mut met.wire, "GET", "/");
        if word == "deny" {
            assert_eq!(answer.status, 403);
            assert!(
                answer.text().contains("client certificate"),
                "{}",
                answer.text()
            );
            assert!(world.origin.requests().is_empty());
        } else {
            assert_eq!(
                (answer.status, answer.text().as_str()),
                (200, "met"),
                "{word}"
            );
        }
    }
}

#[test]
fn a_tunnel_by_socks_is_intercepted_alike() {
    let world = World::new(ALL);
    let wire = socks_tunnel(&world.egret, "origin.test", world.origin.port());
    let mut met = shake_hands(wire, "origin.test", &[&world.authority.cert], &[]).expect("TLS");
    assert_eq!(world.ask(&mut met.wire, "GET", "/s").text(), "GET /s");
    let record = world
        .egret
        .wait_record("the exchange", |r| r["path"] == "/s");
    assert_eq!(record["intercepted"], true);
}

#[test]
fn a_websocket_opens_inside_a_tunnel_by_connect_and_by_socks() {
    let ca = Ca::mint();
    // Behind the switch, what looks like a request is a message, and is sent back.
    let origin = Origin::https(&ca, &["origin.test"], |request| {
        if request.header("upgrade").is_some() {
            return b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfirst".to_vec();
        }
        request.head.clone().into_bytes()
    });
    let world = World::around(origin, &ca, ALL, "");
    let by_socks = socks_tunnel(&world.egret, "origin.test", world.origin.port());
    for (way, wire) in [
        ("connect", tunnel(&world.egret, &world.place())),
        ("socks", by_socks),
    ] {
        let roots = [&*world.authority.cert];
        let met = shake_hands(wire, "origin.test", &roots, &["http/1.1"]);
        let mut wire = met.expect(way).wire;
        let place = world.place();
        wire.send(format!("GET /{way} HTTP/1.1\r\nHost: {place}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").as_bytes());
        assert!(wire.head().starts_with("HTTP/1.1 101 "), "{way}");
        assert_eq!(wire.exact(5), b"first");
        wire.send(b"a message\r\n\r\n");
        assert_eq!(wire.exact(13), b"a message\r\n\r\n");
        drop(wire);
        let path = format!("/{way}");
        let record = world.egret.wait_record("the record", |r| r["path"] == path);
        assert_eq!(record["intercepted"], true, "{record}");
        assert_eq!(record["status"], 101, "{record}");
        assert_eq!(record["bytes_in"], 13, "{record}");
    }
}

#[test]
fn an_authority_signs_for_no_name_outside_its_constraints() {
    let authority = Interception::init_for(&["--permit", "inside.test"]);
    let ca = Ca::mint();
    let origin = Origin::https(&ca, &["origin.test", "a.inside.test"], |_| ok(b"met"));
    let dns = Dns::start(&[("origin.test", "127.0.0.1"), ("a.inside.test", "127.0.0.1")]);
    let files = [&authority.files()[..], &[("ca.pem", ca.pem())]].concat();
    let config = Config::closed().rule(ALL).dns(&dns).roots().more(INTERCEPT);
    let egret = Egret::start_with(&files, &config);
    for (host, signs) in [("a.inside.test", true), ("origin.test", false)] {
        let wire = tunnel(&egret, &format!("{host}:{}", origin.port()));
        let met = shake_hands(wire, host, &[&authority.cert], &[]);
        assert_eq!(met.is_ok(), signs, "{host}");
    }
    let record = egret.wait_record("the refusal", |r| r["verdict"] == "deny");
    let reason = record["reason"].as_str().unwrap();
    assert!(reason.contains("name constraints"), "{reason}");
}

#[test]
fn no_credential_of_a_request_inside_is_ever_written() {
    let world = World::new(ALL);
    let mut met = world.met(&[]);
    let host = world.place();
    met.wire.send(
        format!(
            "GET /x?token=hidden-in-query HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer hidden-token\r\ncookie: a=hidden-cookie\r\n\
             proxy-authorization: Basic aGlkZGVuOmhpZGRlbg==\r\n\r\n"
        )
        .as_bytes(),
    );
    assert_eq!(met.wire.response("GET").status, 200);
    drop(met);
    world
        .egret
        .wait_record("the tunnel", |r| r["method"] == "CONNECT");
    let seen = world.origin.wait_request(0);
    assert_eq!(seen.header("authorization"), Some("Bearer hidden-token"));
    assert_eq!(seen.header("proxy-authorization"), None);
    let written = world.egret.everything_written();
    for secret in ["hidden", "aGlkZGVu", "PRIVATE KEY"] {
        assert!(!written.contains(secret), "{secret} is in {written}");
    }
}

#[test]
fn an_operator_can_end_an_intercepted_tunnel() {
    let world = World::new(ALL);
    let mut met = world.met(&[]);
    assert_eq!(world.ask(&mut met.wire, "GET", "/").status, 200);
    let output = world
        .egret
        .command(&["flows", "kill", "--where", "host=origin.test"]);
    assert!(output.status.success(), "{}", crate::support::said(&output));
    assert!(met.wire.read_to_end().is_empty());
}

#[test]
fn a_tunnel_that_is_spliced_after_all_counts_against_the_rate() {
    let origin = Origin::echo();
    let config = Config::closed()
        .rule("name = \"seen\"\nallow = { intercept = { not-http = \"splice\" }, rate = \"2/h\" }\naddress = \"127.0.0.0/8\"")
        .more(INTERCEPT);
    let egret = Egret::start_with(&Interception::init().files(), &config);
    for passes in [true, true, false] {
        let mut wire = tunnel(&egret, &origin.address.to_string());
        wire.send(b"not TLS");
        if passes {
            assert_eq!(wire.exact(7), b"not TLS");
        } else {
            assert!(wire.read_to_end().is_empty());
        }
    }
    let record = egret.wait_record("the refusal", |r| r["verdict"] == "deny");
    assert!(
        record["reason"]
            .as_str()
            .unwrap()
            .contains("more requests than"),
        "{record}"
    );
}
