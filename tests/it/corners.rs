//! Corners that once did not hold, each from another part of the proxy. Start at any test.

use crate::support::{Config, Egret, Origin, base64, get, ok, tunnel};

#[test]
fn the_limit_of_a_client_is_of_the_one_behind_the_balancer() {
    let origin = Origin::http(|_| ok(b"answer"));
    let config = Config::loopback()
        .listener("proxy-protocol = { accept-from = [\"127.0.0.1\"] }")
        .limits("connections-per-client = 1");
    let egret = Egret::start(&config);
    let ask = |client: &str| {
        let mut wire = egret.connect();
        let header = format!("PROXY TCP4 {client} 192.0.2.200 1 3128\r\n");
        wire.send((header + &get(&origin.url("/"), "")).as_bytes());
        let answer = wire.response("GET");
        (wire, answer.status)
    };
    let (_first, status) = ask("192.0.2.1");
    assert_eq!(status, 200);
    let (_second, status) = ask("192.0.2.2");
    assert_eq!(status, 200);
    let (_third, status) = ask("192.0.2.1");
    assert_eq!(status, 503);
}

#[test]
fn a_refused_connection_is_recorded_with_the_status_that_it_got() {
    let origin = Origin::http(|_| ok(b""));
    let egret = Egret::start(&Config::loopback().limits("connections = 1"));
    let mut first = egret.connect();
    first.send(get(&origin.url("/"), "").as_bytes());
    assert_eq!(first.response("GET").status, 200);
    let answer = egret.connect().response("GET");
    assert_eq!(answer.status, 503, "{}", answer.head);
    let record = egret.wait_record("the refusal", |record| record["reason"].is_string());
    assert_eq!(record["status"], 503, "{record}");
}

#[test]
fn where_a_listener_is_said_after_a_reload_too() {
    let second = "[[listener]]\nname = \"second\"\nbind = \"127.0.0.1:0\"\nmode = \"forward\"\npolicy = \"test\"";
    let egret = Egret::start(&Config::loopback());
    egret.write("egret.toml", &Config::loopback().more(second).text());
    assert!(egret.command(&["reload"]).status.success());
    egret.address("second");
}

#[test]
fn a_policy_that_reports_lets_through_what_a_rule_would_deny_where_a_later_one_names_the_address() {
    let origin = Origin::http(|_| ok(b"answer"));
    let named = Config::closed()
        .policy("report = true")
        .rule("name = \"never\"\ndeny = {}\npath = \"/no\"")
        .rule("name = \"loopback\"\nallow = {}\naddress = \"127.0.0.0/8\"");
    let egret = Egret::start(&named);
    assert_eq!(egret.ask(&get(&origin.url("/no"), "")).status, 200);
    let record = egret.wait_record("the report", |record| record["path"] == "/no");
    assert_eq!(record["verdict"], "would-deny", "{record}");
    tunnel(&egret, &origin.address.to_string());
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn a_list_is_not_taken_for_a_form_in_which_it_has_no_entry() {
    let config = Config::closed()
        .rule("name = \"blocked\"\ndeny = {}\nhost = \"@blocked\"")
        .more("[policy.test.list.blocked]\nfile = \"{dir}/blocked.txt\"");
    let files = [("blocked.txt", "bad.test\nnot a name at all\n")];
    let egret = Egret::start_with(&files, &config);
    assert_eq!(egret.ask(&get("http://bad.test/", "")).status, 403);
    egret.wait_record("the denial", |record| record["rule"] == "blocked");
}

#[test]
fn a_list_that_can_not_be_read_is_one_fault_and_not_two() {
    let config = Config::closed()
        .rule("name = \"blocked\"\ndeny = {}\nhost = \"@blocked\"")
        .more("[policy.test.list.blocked]\nfile = \"{dir}/missing.txt\"");
    let mut egret = Egret::spawn(&[], &config.text());
    assert_eq!(egret.wait_exit().code(), Some(2));
    egret.wait_line("the number of faults", |line| line.contains("1 fault"));
    assert!(!egret.log().contains("there is no list"), "{}", egret.log());
}

#[test]
fn the_media_type_of_an_answer_is_recorded() {
    let origin = Origin::http(|_| {
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 0\r\n\r\n"
            .to_vec()
    });
    let egret = Egret::start(&Config::loopback());
    egret.ask(&get(&origin.url("/"), ""));
    let record = egret.wait_record("the exchange", |record| record["status"] == 200);
    assert_eq!(
        record["content_type"], "text/html; charset=utf-8",
        "{record}"
    );
    let squid = "format = \"squid\"\nto = \"{dir}/access.log\"";
    let egret = Egret::start(&Config::loopback().log(squid));
    egret.ask(&get(&origin.url("/"), ""));
    let text = egret.wait_file("access.log", |text| text.ends_with('\n'));
    assert!(text.ends_with(" text/html\n"), "{text}");
}

#[test]
fn a_reset_inside_a_head_is_recorded_as_an_end_inside_a_head_is() {
    let egret = Egret::start(&Config::closed());
    let mut wire = egret.connect();
    wire.send(b"GET http://a.test/ HT");
    wire.reset();
    let record = egret.wait_record("the reset", |record| record["protocol"] == "http/1.1");
    assert!(record["reason"].is_string(), "{record}");
}

#[test]
fn credentials_are_asked_for_over_http_2_and_stop_here() {
    let Some(users) = crate::socks::htpasswd() else {
        return;
    };
    let origin = Origin::http(|_| ok(b"answer"));
    let config = Config::closed()
        .listener("auth = [{ basic = { file = \"users\" } }]")
        .rule("name = \"alice\"\nallow = {}\nprincipal = \"alice\"\naddress = \"127.0.0.0/8\"");
    let egret = Egret::start_with(&[("users", &users)], &config);
    crate::http2::run(async {
        let mut peer = crate::http2::Peer::connect(egret.address("egress")).await;
        let authority = origin.address.to_string();
        for (method, url) in [("GET", &*origin.url("/")), ("CONNECT", &*authority)] {
            let (answer, _) = peer.ask(crate::http2::request(method, url), true).await;
            let answer = crate::http2::Answer::read(answer.await.unwrap()).await;
            assert_eq!(answer.status, 407, "{method}");
            let challenge = answer.header("proxy-authenticate");
            assert!(challenge.starts_with("Basic realm="), "{challenge}");
            let mut good = crate::http2::request(method, url);
            let basic = format!("Basic {}", base64("alice:secret"));
            good.headers_mut()
                .insert("proxy-authorization", basic.parse().unwrap());
            let (answer, stream) = peer.ask(good, method == "GET").await;
            assert_eq!(answer.await.unwrap().status(), 200, "{method}");
            drop(stream);
        }
    });
    let seen = origin.wait_request(0);
    assert_eq!(seen.header("proxy-authorization"), None, "{}", seen.head);
}
