//! A proxy that is spoken to over TLS: certificates by name, clients known by theirs, files that change while it runs.
//! Not TLS towards origins. RFC 8446; RFC 7301; RFC 9525; RFC 5280.

use std::io::{Read as _, Write as _};
use std::process::Command;
use std::sync::Arc;

use rcgen::string::Ia5String;
use rcgen::{DnType, SanType, date_time_ymd};
use rustls::HandshakeKind;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use crate::http2::{self, Peer, request};
use crate::support::{
    Authority, Client, Config, Egret, Origin, Outcome, Wire, base64, connect, contains, get, ok,
    pipe, program, run, said, until,
};

const HOSTS: &[&str] = &["proxy.test", "localhost", "127.0.0.1"];

/// An authority with the certificate of a proxy, `proxy`.
fn authority() -> Authority {
    let authority = Authority::new();
    authority.server("proxy", HOSTS);
    authority
}

fn start(authority: &Authority, more: &str) -> Egret {
    Egret::start(&Config::loopback().listener(&authority.tls(&["proxy"], more)))
}

fn openssl(egret: &Egret, words: &[&str]) -> Option<Outcome> {
    let address = egret.address("egress").to_string();
    let mut command = Command::new("openssl");
    run(command.args(["s_client", "-connect", &address]).args(words))
}

/// One request over TLS, as text; what was read before the connection broke, where it did.
fn ask(wire: &mut Wire, url: &str) -> String {
    if wire.try_send(get(url, "").as_bytes()).is_err() {
        return String::new();
    }
    wire.try_head().unwrap_or_default()
}

fn ended(egret: &Egret, reason: &str) {
    egret.wait_record(reason, |record| record.to_string().contains(reason));
}

#[test]
fn curl_reaches_origins_through_a_proxy_over_tls() {
    let authority = authority();
    let origin = Origin::http(|_| ok(b"answer"));
    let egret = start(&authority, "");
    let proxy = format!("https://{}", egret.address("egress"));
    let help = run(Command::new("curl").args(["--help", "all"]));
    let speaks_http2 = help.is_some_and(|help| help.text().contains("--proxy-http2"));
    let mut ways = vec![vec![], vec!["--proxytunnel"]];
    if speaks_http2 {
        ways.push(vec!["--proxytunnel", "--proxy-http2"]);
    }
    for way in ways {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--proxy", &proxy, "--proxy-cacert"])
            .arg(authority.path("ca.pem"))
            .args(&way)
            .arg(origin.url("/"));
        let Some(outcome) = run(&mut curl) else {
            return;
        };
        assert_eq!(outcome.succeeded().text(), "answer", "{way:?}");
    }
}

#[test]
fn http2_is_agreed_on_by_alpn_for_requests_and_tunnels() {
    let authority = authority();
    let origin = Origin::http(|_| ok(b"answer"));
    let echo = Origin::echo();
    let egret = start(&authority, "");
    let client = Client::new(&authority, None, &["h2", "http/1.1"]);
    http2::run(async {
        let tcp = http2::dial(egret.address("egress"));
        let name = ServerName::try_from("proxy.test").unwrap();
        let connector = TlsConnector::from(client.config());
        let stream = connector.connect(name, tcp).await.unwrap();
        let (_, session) = stream.get_ref();
        assert_eq!(session.alpn_protocol(), Some(&b"h2"[..]));
        let group = session.negotiated_key_exchange_group().unwrap().name();
        assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);
        let mut peer = Peer::over(stream).await;
        let answer = peer.get(&origin.url("/")).await;
        assert_eq!((answer.status, &answer.body[..]), (200, &b"answer"[..]));
        let connect = request("CONNECT", &echo.address.to_string());
        let (answer, mut tunnel) = peer.ask(connect, false).await;
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 200);
        tunnel.send_data("hello".into(), true).unwrap();
        let back = http2::Answer::read(answer).await;
        assert_eq!(back.body, b"hello");
    });
}

#[test]
fn what_alpn_agreed_on_is_what_must_be_spoken() {
    let authority = authority();
    let origin = Origin::http(|_| ok(b"answer"));
    let egret = start(&authority, "");
    let address = egret.address("egress");
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let http1 = get(&origin.url("/"), "");
    for (alpn, bytes, served) in [
        (&["http/1.1"][..], &http1[..], true),
        (&[], &http1, true),
        (&[], preface, true),
        (&["h2"], &http1, false),
        (&["http/1.1"], preface, false),
    ] {
        let mut wire = Client::new(&authority, None, alpn).connect(address, "proxy.test");
        wire.send(bytes.as_bytes());
        let answered = wire.try_exact(1).is_ok();
        assert_eq!(answered, served, "{alpn:?} {bytes}");
    }
    ended(&egret, "agreed on h2 by ALPN");
    ended(&egret, "agreed on http/1.1 by ALPN");
    let mut wire = Client::new(&authority, None, &["spdy/1"]).connect(address, "proxy.test");
    assert!(wire.try_send(b"x").is_err());
    ended(&egret, "no protocol in common (ALPN)");
}

#[test]
fn socks_is_spoken_inside_tls() {
    let authority = authority();
    let echo = Origin::echo();
    let egret = start(&authority, "");
    let mut wire =
        Client::new(&authority, None, &[]).connect(egret.address("egress"), "proxy.test");
    let port = echo.port().to_be_bytes();
    wire.send(&[5, 1, 0]);
    assert_eq!(wire.exact(2), [5, 0]);
    wire.send(&[5, 1, 0, 1, 127, 0, 0, 1, port[0], port[1]]);
    assert_eq!(wire.exact(10)[..2], [5, 0]);
    wire.send(b"hello");
    assert_eq!(wire.exact(5), b"hello");
}

#[test]
fn the_certificate_is_chosen_by_the_name_that_is_asked_for() {
    let authority = authority();
    authority.server("wild", &["*.example.test"]);
    authority.server("exact", &["a.example.test"]);
    let tls = authority.tls(&["proxy", "wild", "exact"], "");
    let egret = Egret::start(&Config::loopback().listener(&tls));
    for (words, expected) in [
        (&["-servername", "a.example.test"][..], "CN = exact"),
        (&["-servername", "B.Example.test"], "CN = wild"),
        (&["-servername", "unknown.test"], "CN = proxy"),
        (&["-noservername"], "CN = proxy"),
    ] {
        let Some(outcome) = openssl(&egret, words) else {
            return;
        };
        let text = outcome.text();
        let subject = text.lines().find(|line| line.starts_with("subject="));
        assert_eq!(subject, Some(&*format!("subject={expected}")), "{words:?}");
    }
}

#[test]
fn plain_text_on_a_port_that_speaks_tls_is_told_so() {
    let authority = authority();
    let egret = start(&authority, "");
    let answer = egret.ask(&get("http://a.test/", ""));
    assert_eq!(answer.status, 400);
    assert!(
        answer.text().contains("this port speaks TLS"),
        "{}",
        answer.text()
    );
    ended(&egret, "this port speaks TLS");
    // SOCKS can not be told.
    let mut wire = egret.connect();
    wire.send(&[5, 1, 0]);
    assert!(wire.read_to_any_end().is_empty());
    ended(&egret, "the port speaks TLS, and the client did not");
}

#[test]
fn a_handshake_that_takes_too_long_is_ended_and_one_that_breaks_is_recorded() {
    let authority = authority();
    // A proxy for each limit: what a limit is not for must not run into it, however slow the machine is.
    let limited = |limits: &str| {
        let config = Config::loopback().listener(&authority.tls(&["proxy"], ""));
        Egret::start(&config.limits(limits))
    };
    let egret = limited("header-time = \"200ms\"");
    let mut slow = egret.connect();
    slow.send(&[0x16, 3, 1, 0, 200, 1]);
    assert!(slow.read_to_any_end().is_empty());
    ended(&egret, "the TLS handshake did not end in time");
    let egret = limited("");
    let mut broken = egret.connect();
    broken.send(&[0x16, 3, 1, 0, 200, 1]);
    broken.reset();
    ended(&egret, "during the TLS handshake");
    let mut odd = egret.connect();
    odd.send(b"\x16\x03\x01\xff\xff\xff\xff");
    assert!(!odd.read_to_any_end().is_empty(), "an alert");
    ended(&egret, "the TLS handshake failed");
    let egret = limited("first-byte = \"1s\"");
    let mut silent = egret.connect();
    assert!(silent.read_to_any_end().is_empty());
    ended(&egret, "the first byte did not arrive in time");
    // Silence after the handshake is answered: HTTP is likely there.
    let mut wire =
        Client::new(&authority, None, &[]).connect(egret.address("egress"), "proxy.test");
    assert!(wire.head().starts_with("HTTP/1.1 408"));
}

#[test]
fn a_proxy_header_comes_before_tls() {
    let authority = authority();
    let origin = Origin::http(|_| ok(b"answer"));
    let tls = authority.tls(&["proxy"], "");
    let lines = format!("{tls}\nproxy-protocol = {{ accept-from = [\"127.0.0.1\"] }}");
    let egret = Egret::start(&Config::loopback().listener(&lines));
    let mut wire = egret.connect();
    wire.send(b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 3128\r\n");
    let client = Client::new(&authority, None, &[]);
    let mut wire = wire.wrapped(|tcp| client.over(tcp, "proxy.test"));
    assert!(ask(&mut wire, &origin.url("/")).starts_with("HTTP/1.1 200"));
    egret.wait_record("the client of the header", |record| {
        record["client"].to_string().contains("192.0.2.7")
    });
}

#[test]
fn only_versions_and_suites_that_are_let_in_are_spoken() {
    let authority = authority();
    let egret = start(&authority, ", min-version = \"1.3\"");
    let Some(old) = openssl(&egret, &["-tls1_2"]) else {
        return;
    };
    assert!(!old.success, "{}", old.text());
    ended(&egret, "there is no version of TLS in common");
    openssl(&egret, &["-tls1_3"]).unwrap().succeeded();
    let suite = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256";
    let egret = start(&authority, &format!(", suites = [\"{suite}\"]"));
    let text = openssl(&egret, &["-tls1_2"]).unwrap().succeeded().text();
    assert!(text.contains("ECDHE-ECDSA-AES128-GCM-SHA256"), "{text}");
    assert!(!openssl(&egret, &["-tls1_3"]).unwrap().success);
    let other = ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"];
    assert!(!openssl(&egret, &other).unwrap().success);
    ended(&egret, "there is no cipher suite in common");
}

#[test]
fn an_ocsp_response_is_stapled() {
    let authority = authority();
    let ocsp = |words: &[&str]| {
        let mut command = Command::new("openssl");
        run(command
            .current_dir(authority.path(""))
            .arg("ocsp")
            .args(words))
    };
    let request = ["-issuer", "ca.pem", "-cert", "proxy.pem", "-reqout", "req"];
    let Some(made) = ocsp(&request) else { return };
    made.succeeded();
    let mut serial = Command::new("openssl");
    let serial = run(serial
        .args(["x509", "-noout", "-serial", "-in"])
        .arg(authority.path("proxy.pem")));
    let serial = serial.unwrap().text();
    let serial = serial.trim().trim_start_matches("serial=");
    let line = format!("V\t391231235959Z\t\t{serial}\tunknown\t/CN=proxy\n");
    authority.put("index.txt", line);
    ocsp(&[
        "-index",
        "index.txt",
        "-CA",
        "ca.pem",
        "-rsigner",
        "ca.pem",
        "-rkey",
        "ca.key",
        "-reqin",
        "req",
        "-respout",
        "proxy.ocsp",
        "-ndays",
        "7",
    ])
    .unwrap()
    .succeeded();
    let entry = authority.entry("proxy");
    let staple = authority.path("proxy.ocsp").display().to_string();
    let entry = entry.replace(" } }", &format!(" }}, ocsp = \"{staple}\" }}"));
    let tls = format!("tls = {{ certificates = [{entry}] }}");
    let egret = Egret::start(&Config::loopback().listener(&tls));
    let text = openssl(&egret, &["-status"]).unwrap().text();
    assert!(text.contains("OCSP Response Status: successful"), "{text}");
    assert!(text.contains("Cert Status: good"), "{text}");
}

fn ia5(text: &str) -> Ia5String {
    Ia5String::try_from(text).unwrap()
}

#[test]
fn a_required_certificate_names_the_client_and_without_a_good_one_nobody_gets_in() {
    let authority = authority();
    authority.client("alice", vec![]);
    authority.client("mallory", vec![]);
    authority.mint("old", |params| params.not_after = date_time_ymd(2021, 1, 1));
    authority.revoke("revoked.pem", &["mallory"]);
    let stranger = Authority::named("Another authority");
    stranger.client("alice", vec![]);
    let origin = Origin::http(|_| ok(b"answer"));
    let crl = authority.path("revoked.pem").display().to_string();
    let clients = authority.clients(&format!("required = true, crl = [\"{crl}\"]"));
    let rule = "name = \"alice\"\nallow = {}\nprincipal = \"alice\"\naddress = \"127.0.0.0/8\"";
    let config = Config::closed()
        .listener(&authority.tls(&["proxy"], &clients))
        .rule(rule);
    let egret = Egret::start(&config);
    let address = egret.address("egress");
    let connect = |own| Client::new(&authority, own, &[]).connect(address, "proxy.test");
    let mut alice = connect(Some((&authority, "alice")));
    assert!(ask(&mut alice, &origin.url("/")).starts_with("HTTP/1.1 200"));
    let record = egret.wait_record("the record", |record| record["status"] == 200);
    assert_eq!(record["principal"], "alice");
    for (own, reason) in [
        (None, "the client gave no certificate"),
        (
            Some((&authority, "mallory")),
            "the client's certificate is revoked",
        ),
        (
            Some((&authority, "old")),
            "the client's certificate has expired",
        ),
        (Some((&stranger, "alice")), "not among the listener's roots"),
    ] {
        assert_eq!(ask(&mut connect(own), &origin.url("/")), "", "{reason}");
        ended(&egret, reason);
    }
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn the_principal_is_the_name_that_the_listener_says() {
    let authority = authority();
    let origin = Origin::http(|_| ok(b"answer"));
    authority.mint("ci", |params| {
        params
            .distinguished_name
            .push(DnType::OrganizationName, "Example, Inc.");
        params.subject_alt_names = vec![
            SanType::DnsName(ia5("ci.example.org")),
            SanType::Rfc822Name(ia5("ci@example.org")),
            SanType::URI(ia5("spiffe://example.org/ci")),
        ];
    });
    authority.client("plain", vec![]);
    for (setting, own, expected) in [
        ("", "ci", "spiffe://example.org/ci"),
        ("", "plain", "plain"),
        (", principal = \"spiffe\"", "ci", "spiffe://example.org/ci"),
        (", principal = \"dns\"", "ci", "ci.example.org"),
        (", principal = \"email\"", "ci", "ci@example.org"),
        (", principal = \"common-name\"", "ci", "ci"),
        (", principal = \"subject\"", "ci", "O=Example\\, Inc.,CN=ci"),
        (", principal = \"dns\"", "plain", ""),
    ] {
        let clients = authority.clients(&format!("required = true{setting}"));
        let egret = start(&authority, &clients);
        let client = Client::new(&authority, Some((&authority, own)), &[]);
        let mut wire = client.connect(egret.address("egress"), "proxy.test");
        let answer = ask(&mut wire, &origin.url("/"));
        if expected.is_empty() {
            assert_eq!(answer, "");
            ended(&egret, "has no DNS name that could name it");
            continue;
        }
        assert!(answer.starts_with("HTTP/1.1 200"), "{setting} {answer}");
        let record = egret.wait_record("the record", |record| record["status"] == 200);
        assert_eq!(record["principal"], expected, "{setting}");
    }
}

#[test]
fn a_certificate_wins_over_credentials_and_without_one_the_other_methods_go_on() {
    let authority = authority();
    authority.client("alice", vec![]);
    let origin = Origin::http(|_| ok(b"answer"));
    let echo = Origin::echo();
    let tls = authority.tls(&["proxy"], &authority.clients("required = false"));
    let lines = format!(
        "{tls}\nauth = [{{ basic = {{ file = \"users\" }} }}]\ngroups = {{ file = \"groups\" }}"
    );
    let rule = "name = \"staff\"\nallow = {}\ngroup = \"staff\"\naddress = \"127.0.0.0/8\"";
    let config = Config::closed().listener(&lines).rule(rule);
    let bob = program()
        .args(["hash", "bob", "--method", "sha512"])
        .stdin(pipe("secret\n"))
        .output();
    let users = said(&bob.unwrap());
    let files = [("users", &*users), ("groups", "staff: alice bob\n")];
    let egret = Egret::start_with(&files, &config);
    let address = egret.address("egress");
    let url = origin.url("/");
    let bobs = format!("Proxy-Authorization: Basic {}\r\n", base64("bob:secret"));
    let wrong = "Proxy-Authorization: Basic !!!\r\n";
    for (certificate, lines, status, principal) in [
        (true, "", 200, "alice"),
        (true, &*bobs, 200, "alice"),
        (true, wrong, 200, "alice"),
        (false, &*bobs, 200, "bob"),
        (false, "", 407, ""),
        (false, wrong, 407, ""),
    ] {
        let own = certificate.then_some((&authority, "alice"));
        let mut wire = Client::new(&authority, own, &[]).connect(address, "proxy.test");
        wire.send(get(&url, lines).as_bytes());
        let answer = wire.response("GET");
        assert_eq!(answer.status, status, "{certificate} {lines}");
        if !principal.is_empty() {
            let seen = origin.wait_request(origin.requests().len() - 1);
            assert!(seen.header("proxy-authorization").is_none());
        }
    }
    // SOCKS with a certificate asks for no password, whatever the client could do.
    let client = Client::new(&authority, Some((&authority, "alice")), &[]);
    let mut wire = client.connect(address, "proxy.test");
    let port = echo.port().to_be_bytes();
    wire.send(&[5, 2, 0, 2]);
    assert_eq!(wire.exact(2), [5, 0]);
    wire.send(&[5, 1, 0, 1, 127, 0, 0, 1, port[0], port[1]]);
    assert_eq!(wire.exact(10)[..2], [5, 0]);
    drop(wire);
    for (principal, protocol) in [("bob", "http/1.1"), ("alice", "socks5")] {
        egret.wait_record(principal, |record| {
            record["principal"] == principal && record["protocol"] == protocol
        });
    }
    // Each worker writes its own records, so they come in any order.
    let of_alice = |record: &serde_json::Value| record["principal"] == "alice";
    until(
        "the records of the four that showed the certificate",
        || egret.records().into_iter().filter(of_alice).count() == 4,
    );
}

/// The common name that the proxy shows, and whether the session was resumed. The exchange is done, so that tickets came.
fn shown(client: &Client, egret: &Egret, url: &str) -> (String, bool) {
    let wire = Wire::connect(egret.address("egress"));
    let tcp = std::net::TcpStream::connect(wire.peer()).unwrap();
    let mut stream = client.over(tcp, "proxy.test");
    let request = get(url, "Connection: close\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(
        contains(&answer, b" 200 "),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    let certificate = &stream.conn.peer_certificates().unwrap()[0];
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).unwrap();
    let name = parsed.subject().iter_common_name().next().unwrap();
    let resumed = stream.conn.handshake_kind() == Some(HandshakeKind::Resumed);
    (name.as_str().unwrap().to_owned(), resumed)
}

#[test]
fn files_that_change_are_taken_by_the_running_process_and_bad_ones_are_not() {
    let authority = authority();
    authority.server("next", HOSTS);
    authority.server("other", HOSTS);
    let origin = Origin::http(|_| ok(b"answer"));
    let egret = start(&authority, "");
    let url = origin.url("/");
    let client = Client::new(&authority, None, &[]);
    assert_eq!(shown(&client, &egret, &url), ("proxy".to_owned(), false));
    assert_eq!(shown(&client, &egret, &url), ("proxy".to_owned(), true));
    let mut open = client.connect(egret.address("egress"), "proxy.test");
    assert!(ask(&mut open, &url).starts_with("HTTP/1.1 200"));
    authority.copy("next", "proxy");
    egret.wait_line("the swap", |line| {
        line.contains("certificates were read anew")
    });
    assert_eq!(shown(&client, &egret, &url), ("next".to_owned(), false));
    // What was open stays so.
    assert_eq!(open.exact(6), b"answer");
    assert!(ask(&mut open, &url).starts_with("HTTP/1.1 200"));
    // A certificate without its key.
    let text = std::fs::read(authority.path("other.pem")).unwrap();
    authority.put("proxy.pem", text);
    egret.wait_line("the fault", |line| {
        line.contains("not the one of the certificate")
    });
    egret.wait_line("what stays", |line| {
        line.contains("last good certificates stay")
    });
    let fault = &egret.status()["certificates"][0]["fault"];
    assert!(fault.to_string().contains("not the one"), "{fault}");
    assert_eq!(shown(&client, &egret, &url).0, "next");
    authority.copy("other", "proxy");
    until("the third certificate", || {
        shown(&client, &egret, &url).0 == "other"
    });
    assert_eq!(
        egret
            .log()
            .matches("not the one of the certificate")
            .count(),
        1
    );
}

#[test]
fn a_certificate_that_is_revoked_while_its_client_is_connected_loses_what_it_had() {
    let authority = authority();
    authority.client("alice", vec![]);
    authority.client("bob", vec![]);
    authority.revoke("revoked.pem", &[]);
    let origin = Origin::http(|_| ok(b"answer"));
    let echo = Origin::echo();
    let crl = authority.path("revoked.pem").display().to_string();
    let clients = authority.clients(&format!("required = false, crl = [\"{crl}\"]"));
    let egret = start(&authority, &clients);
    let address = egret.address("egress");
    let client = |name| Client::new(&authority, Some((&authority, name)), &[]);
    let url = origin.url("/");
    let mut kept: Vec<(Wire, Wire)> = Vec::new();
    let (alice, bob) = (client("alice"), client("bob"));
    for client in [&alice, &bob] {
        let mut requests = client.connect(address, "proxy.test");
        assert!(ask(&mut requests, &url).starts_with("HTTP/1.1 200"));
        requests.exact(6);
        let mut tunnel = client.connect(address, "proxy.test");
        tunnel.send(connect(&echo.address.to_string(), "").as_bytes());
        assert_eq!(tunnel.response("CONNECT").status, 200);
        kept.push((requests, tunnel));
    }
    let tunnels = |name: &str| {
        let filter = format!("principal={name}");
        let flows = egret.command(&["flows", "--where", &filter]);
        said(&flows).lines().count() - 1
    };
    assert_eq!((tunnels("alice"), tunnels("bob")), (1, 1));
    authority.revoke("revoked.pem", &["alice"]);
    egret.wait_line("the swap", |line| {
        line.contains("certificates were read anew")
    });
    let (bobs, alices) = (kept.pop().unwrap(), kept.pop().unwrap());
    let (mut requests, mut tunnel) = alices;
    assert!(tunnel.read_to_any_end().is_empty());
    ended(
        &egret,
        "no longer allowed: the client is not known any more",
    );
    let answer = ask(&mut requests, &url);
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    // The connection is closed, and a new one is not let in by the session of the old one.
    assert_eq!(ask(&mut alice.connect(address, "proxy.test"), &url), "");
    ended(&egret, "the client's certificate is revoked");
    let (mut requests, mut tunnel) = bobs;
    assert!(ask(&mut requests, &url).starts_with("HTTP/1.1 200"));
    tunnel.send(b"hello");
    assert_eq!(tunnel.exact(5), b"hello");
    assert!(ask(&mut bob.connect(address, "proxy.test"), &url).starts_with("HTTP/1.1 200"));
}

#[test]
fn a_reload_that_takes_client_certificates_away_takes_their_clients_away() {
    let authority = authority();
    authority.client("alice", vec![]);
    let origin = Origin::http(|_| ok(b"answer"));
    let config = |more: &str| Config::loopback().listener(&authority.tls(&["proxy"], more));
    let egret = Egret::start(&config(&authority.clients("required = true")));
    let client = Client::new(&authority, Some((&authority, "alice")), &[]);
    let mut wire = client.connect(egret.address("egress"), "proxy.test");
    for _ in 0..2 {
        assert!(ask(&mut wire, &origin.url("/")).starts_with("HTTP/1.1 200"));
        wire.exact(6);
        // One without any change, which its client outlives.
        assert!(egret.command(&["reload"]).status.success());
    }
    egret.write("egret.toml", &config("").text());
    assert!(egret.command(&["reload"]).status.success());
    assert!(ask(&mut wire, &origin.url("/")).starts_with("HTTP/1.1 503"));
    let mut wire = client.connect(egret.address("egress"), "proxy.test");
    assert!(ask(&mut wire, &origin.url("/")).starts_with("HTTP/1.1 200"));
}

#[test]
fn tickets_can_be_off() {
    let authority = authority();
    let origin = Origin::http(|_| ok(b"answer"));
    let egret = start(&authority, ", tickets = \"off\"");
    let client = Client::new(&authority, None, &[]);
    for _ in 0..2 {
        assert_eq!(
            shown(&client, &egret, &origin.url("/")),
            ("proxy".to_owned(), false)
        );
    }
}

fn check(config: &Config) -> std::process::Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("egret.toml");
    let text = config
        .text()
        .replace("{dir}", &folder.path().display().to_string());
    std::fs::write(&file, text).unwrap();
    program().args(["check", "-c"]).arg(&file).output().unwrap()
}

/// Checks each listener setting, which is faulty in one way.
fn assert_faults(cases: &[(String, &str)]) {
    for (tls, problem) in cases {
        let output = check(&Config::loopback().listener(tls));
        let text = said(&output);
        assert_eq!(output.status.code(), Some(2), "{tls}: {text}");
        assert!(text.contains(problem), "{tls}: {text}");
        assert!(text.contains("egret.toml:"), "{text}");
    }
}

#[test]
fn every_mistake_with_a_certificate_is_a_fault_at_its_place() {
    let authority = authority();
    authority.server("other", &["proxy.test"]);
    authority.mint("old", |params| params.not_after = date_time_ymd(2021, 1, 1));
    let disordered = ["ca.pem", "proxy.pem"]
        .map(|file| std::fs::read_to_string(authority.path(file)).unwrap())
        .concat();
    authority.put("disordered.pem", disordered);
    let proxy = authority.entry("proxy");
    let swapped = proxy.replace("proxy.key", "other.key");
    let chain = proxy.replace("proxy.pem", "disordered.pem");
    let (old, other) = (authority.entry("old"), authority.entry("other"));
    let none = "{ cert = \"none.pem\", key = { file = \"none.key\" } }";
    let of = |entries: &str| format!("tls = {{ certificates = [{entries}] }}");
    assert_faults(&[
        (
            of(&swapped),
            "the private key is not the one of the certificate",
        ),
        (of(&old), "expired at 2021-01-01"),
        (of(&chain), "which did not issue it"),
        (
            of(&format!("{proxy}, {other}")),
            "second certificate for \"proxy.test\"",
        ),
        (of(""), "\"certificates\" is empty"),
        (of(none), "cannot read"),
    ]);
}

#[test]
fn every_mistake_with_a_setting_is_a_fault_at_its_place() {
    let authority = authority();
    authority.put("none.pem", "nothing");
    let one = |more: &str| authority.tls(&["proxy"], more);
    let client = |more: &str| one(&authority.clients(more));
    let crl = |file: &str| {
        let path = authority.path(file).display().to_string();
        client(&format!("required = true, crl = [\"{path}\"]"))
    };
    let old = ", min-version = \"1.3\", suites = [\"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\"]";
    let mistyped = ", suites = [\"TLS_AES_128_GCM_SHA265\"]";
    let http1 = format!("accept = [\"http\"]\n{}", one(", alpn = [\"h2\"]"));
    let unnamed = client("required = true, principal = \"uid\"");
    let unrooted = ", client = { roots = [], required = true }";
    assert_faults(&[
        (one(", min-version = \"1.1\""), "\"1.1\" is not known here"),
        (one(mistyped), "Did you mean \"TLS_AES_128_GCM_SHA256\""),
        (one(old), "none of \"suites\" is of a version"),
        (one(", alpn = [\"h3\"]"), "\"h3\" is not known here"),
        (http1, "leaves HTTP/2 out"),
        (one(", tickets = \"12\""), "has no unit of time"),
        (one(", tickets = \"30d\""), "from one minute to three days"),
        (
            one(", client = { required = true }"),
            "\"roots\" is missing",
        ),
        (one(unrooted), "no client's certificate is trusted"),
        (client(""), "\"required\" is missing"),
        (unnamed, "\"uid\" is not known here"),
        (crl("missing.pem"), "cannot read"),
        (crl("none.pem"), "holds no revocation list"),
        (crl("ca.pem"), "holds no revocation list"),
        (one(", certificate = []"), "unknown key \"certificate\""),
    ]);
}

#[test]
fn certificates_that_end_soon_are_warned_of_and_listed() {
    let authority = authority();
    let soon = x509_parser::time::ASN1Time::now().to_datetime()
        + std::time::Duration::from_secs(10 * 86_400 + 43_200);
    authority.mint("proxy", |params| {
        params.subject_alt_names = vec![SanType::DnsName(ia5("proxy.test"))];
        params.not_after = soon;
    });
    let config = Config::loopback().listener(&authority.tls(&["proxy"], ""));
    let output = check(&config);
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("warning: listener \"egress\""), "{text}");
    assert!(text.contains("(proxy.test) expires in 10 days"), "{text}");
    let egret = Egret::start(&config);
    egret.wait_line("the warning", |line| {
        line.contains("WARN") && line.contains("expires in 10 days")
    });
    let certificate = &egret.status()["certificates"][0];
    assert_eq!(certificate["listener"], "egress");
    assert_eq!(certificate["names"], "proxy.test");
    assert_eq!(certificate["days_left"], 10);
    let text = said(&egret.command(&["status"]));
    assert!(text.contains("days_left=10"), "{text}");
}

#[test]
fn many_clients_share_what_a_listener_has() {
    let authority = authority();
    let origin = Origin::http(|_| ok(b"answer"));
    let egret = start(&authority, "");
    let client = Arc::new(Client::new(&authority, None, &[]));
    let (address, url) = (egret.address("egress"), origin.url("/"));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let mut wire = client.connect(address, "proxy.test");
                    assert!(ask(&mut wire, &url).starts_with("HTTP/1.1 200"));
                }
            });
        }
    });
}
