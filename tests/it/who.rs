//! Who the client is: passwords in every form of hash, networks, groups; and where credentials never show up.
//! RFC 9110 §11.7; RFC 7617; RFC 1929.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::support::{
    Config, Egret, Origin, Wire, base64, connect, contains, get, ok, program, run, tunnel,
};

const BASIC: &str = "auth = [{ basic = { file = \"users\", realm = \"the gate\" } }]";

/// Allows one principal.
fn only(principal: &str) -> Config {
    let rule = format!(
        "name = \"{principal}\"\nallow = {{}}\nprincipal = \"{principal}\"\naddress = \"127.0.0.0/8\""
    );
    Config::closed().listener(BASIC).rule(&rule)
}

fn credentials(user: &str, password: &str) -> String {
    let text = base64(&format!("{user}:{password}"));
    format!("Proxy-Authorization: Basic {text}\r\n")
}

/// A line of `egret hash`.
pub(crate) fn hashed(user: &str, password: &str, method: &[&str]) -> String {
    let mut hash = program()
        .arg("hash")
        .arg(user)
        .args(method)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = hash.stdin.take().unwrap();
    stdin.write_all(format!("{password}\n").as_bytes()).unwrap();
    drop(stdin);
    let output = hash.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_password_is_known_by_each_form_of_hash_and_by_no_other_password() {
    let origin = Origin::http(|_| ok(b"answer"));
    let mut users = String::new();
    let mut names = Vec::new();
    for method in ["bcrypt", "argon2id", "sha512"] {
        users += &hashed(method, "secret wörd:1", &["--method", method]);
        names.push(method);
    }
    users += &hashed("by-default", "secret wörd:1", &[]);
    names.push("by-default");
    // Made by another program.
    for (name, form) in [
        ("apr1", "-apr1"),
        ("sha256", "-5"),
        ("sha512-openssl", "-6"),
    ] {
        let mut openssl = Command::new("openssl");
        let Some(outcome) = run(openssl.args(["passwd", form, "secret wörd:1"])) else {
            continue;
        };
        users += &format!("{name}:{}\n", outcome.succeeded().text().trim());
        names.push(name);
    }
    let rule = "name = \"known\"\nallow = {}\nprincipal = \"*\"\naddress = \"127.0.0.0/8\"";
    let config = Config::closed().listener(BASIC).rule(rule);
    let egret = Egret::start_with(&[("users", &users)], &config);
    for name in names {
        // Twice: the second time it is remembered.
        for _ in 0..2 {
            let good = get(&origin.url("/"), &credentials(name, "secret wörd:1"));
            assert_eq!(egret.ask(&good).status, 200, "{name}");
            for bad in ["secret wörd:", "", "Secret wörd:1"] {
                let bad = get(&origin.url("/"), &credentials(name, bad));
                assert_eq!(egret.ask(&bad).status, 407, "{name}");
            }
        }
    }
    let written = egret.everything_written();
    assert!(!written.contains("secret w"), "{written}");
}

#[test]
fn who_says_nothing_wrong_or_garbage_gets_a_challenge_and_no_origin() {
    let origin = Origin::http(|_| ok(b"answer"));
    let users = hashed("alice", "secret", &[]);
    let egret = Egret::start_with(&[("users", &users)], &only("alice"));
    let cases = [
        ("nothing", String::new(), 407),
        ("wrong", credentials("alice", "wrong"), 407),
        ("nobody", credentials("bob", "secret"), 407),
        (
            "another scheme",
            "Proxy-Authorization: Bearer abc\r\n".to_owned(),
            407,
        ),
        (
            "for the origin",
            credentials("alice", "secret").replace("Proxy-", ""),
            407,
        ),
        (
            "no base64",
            "Proxy-Authorization: Basic %%%\r\n".to_owned(),
            400,
        ),
        ("twice", credentials("alice", "secret").repeat(2), 400),
    ];
    for (case, lines, status) in cases {
        for request in [
            get(&origin.url("/"), &lines),
            connect(&origin.address.to_string(), &lines),
        ] {
            let answer = egret.ask(&request);
            let either = answer.status == status || answer.status == 407;
            assert!(either, "{case}: {}", answer.head);
            if answer.status == 407 {
                assert_eq!(
                    answer.header("proxy-authenticate"),
                    Some("Basic realm=\"the gate\", charset=\"UTF-8\""),
                    "{case}"
                );
                assert!(answer.header("proxy-status").is_some(), "{case}");
                assert_eq!(answer.header("www-authenticate"), None, "{case}");
            }
        }
    }
    assert_eq!(origin.connections(), 0);
    egret.wait_record("a refusal", |record| record["status"] == 407);
}

#[test]
fn credentials_reach_neither_the_origin_nor_the_log_at_its_most_talkative() {
    let origin = Origin::http(|_| ok(b"answer"));
    let users = hashed("alice", "open-sesame", &[]);
    let config = only("alice");
    let egret = Egret::start_in(&[("EGRET_LOG", "trace")], &[("users", &users)], &config);
    let url = origin.url("/path?token=query-secret");
    let good = credentials("alice", "open-sesame");
    let own = "Authorization: Bearer origin-secret\r\nCookie: session=cookie-secret\r\n";
    assert_eq!(egret.ask(&get(&url, &format!("{good}{own}"))).status, 200);
    let wrong = credentials("alice", "open-wrong");
    assert_eq!(egret.ask(&get(&url, &wrong)).status, 407);
    // An HTTP/1.1 tunnel, and SOCKS5 with a wrong password.
    let mut wire = egret.connect();
    wire.send(connect(&origin.address.to_string(), &good).as_bytes());
    assert_eq!(wire.response("CONNECT").status, 200);
    drop(wire);
    let mut wire = egret.connect();
    wire.send(b"\x05\x01\x02\x01\x05alice\x0aopen-wrong");
    wire.read_to_any_end();
    // In the URL it is refused, and not shown either.
    let inside = url.replace("http://", "http://alice:open-sesame@");
    assert_eq!(egret.ask(&get(&inside, "")).status, 400);
    // Broken on purpose, so that the reason might quote it.
    let broken = credentials("alice", "open-sesame").replace("Basic ", "Basic  \tx ");
    egret.ask(&get(&url, &broken));

    let seen = origin.wait_request(0);
    assert_eq!(seen.header("proxy-authorization"), None);
    assert_eq!(seen.header("authorization"), Some("Bearer origin-secret"));
    egret.wait_record("alice's tunnel", |record| {
        record["principal"] == "alice" && record["method"] == "CONNECT"
    });
    egret.wait_record("the last one", |record| {
        record["status"] == 400 || record["status"] == 407
    });
    let written = egret.everything_written();
    for secret in [
        "open-sesame",
        "open-wrong",
        &base64("alice:open-sesame"),
        &base64("alice:open-wrong"),
        "query-secret",
        "origin-secret",
        "cookie-secret",
    ] {
        assert!(!written.contains(secret), "{secret} stands in\n{written}");
    }
}

#[test]
fn proxy_credentials_stop_here_even_where_nobody_asks_for_them() {
    let origin = Origin::http(|_| ok(b"answer"));
    let egret = Egret::start(&Config::loopback());
    let lines = credentials("alice", "secret") + "Proxy-Authentication-Info: a\r\n";
    assert_eq!(egret.ask(&get(&origin.url("/"), &lines)).status, 200);
    assert!(!contains(
        origin.wait_request(0).head.as_bytes(),
        b"roxy-Authorization"
    ));
}

#[test]
fn an_origin_can_not_ask_for_the_proxy_s_credentials() {
    let origin = Origin::http(|_| {
        b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"trap\"\r\n\
          Content-Length: 0\r\n\r\n"
            .to_vec()
    });
    let egret = Egret::start(&Config::loopback());
    let answer = egret.ask(&get(&origin.url("/"), ""));
    assert_eq!(answer.header("proxy-authenticate"), None, "{}", answer.head);
}

#[test]
fn a_network_is_a_principal_and_the_longest_prefix_wins() {
    let origin = Origin::http(|_| ok(b"answer"));
    let auth = "proxy-protocol = { accept-from = [\"127.0.0.1\"] }\n\
        auth = [{ network = { \"10.0.0.0/8\" = \"all\", \"10.20.0.0/16\" = \"ci\", \
        \"10.20.0.9\" = { principal = \"prometheus\", groups = [\"metrics\"] } } }]";
    let config = Config::closed()
        .listener(auth)
        .rule("name = \"metrics\"\nallow = {}\ngroup = \"metrics\"\naddress = \"127.0.0.0/8\"")
        .rule("name = \"ci\"\nallow = {}\ngroup = \"ci\"\naddress = \"127.0.0.0/8\"");
    let egret = Egret::start(&config);
    for (client, status, principal, rule) in [
        ("10.20.0.9", 200, Some("prometheus"), "metrics"),
        ("10.20.0.8", 200, Some("ci"), "ci"),
        ("10.1.0.1", 403, Some("all"), "default"),
        ("192.0.2.1", 403, None, "default"),
    ] {
        let mut wire = egret.connect();
        let header = format!("PROXY TCP4 {client} 192.0.2.2 1 3128\r\n");
        wire.send((header + &get(&origin.url("/"), "")).as_bytes());
        assert_eq!(wire.response("GET").status, status, "{client}");
        let record = egret.wait_record(client, |record| record["client"] == format!("{client}:1"));
        assert_eq!(record["principal"].as_str(), principal, "{record}");
        assert_eq!(record["rule"], rule, "{record}");
    }
}

#[test]
fn a_group_file_says_who_is_in_a_group_and_a_reload_reads_it_again() {
    let origin = Origin::http(|_| ok(b"answer"));
    let users = hashed("alice", "a", &[]) + &hashed("bob", "b", &[]);
    let config = Config::closed()
        .listener(BASIC)
        .listener("groups = { file = \"groups\" }")
        .rule("name = \"staff\"\nallow = {}\ngroup = \"staff\"\naddress = \"127.0.0.0/8\"");
    let files = [
        ("users", &*users),
        ("groups", "staff: alice\nothers: bob\n"),
    ];
    let egret = Egret::start_with(&files, &config);
    let ask = |user: &str, password: &str| {
        egret
            .ask(&get(&origin.url("/"), &credentials(user, password)))
            .status
    };
    assert_eq!((ask("alice", "a"), ask("bob", "b")), (200, 403));
    egret.write("groups", "staff: bob\n");
    assert!(egret.command(&["reload"]).status.success());
    assert_eq!((ask("alice", "a"), ask("bob", "b")), (403, 200));
}

#[test]
fn a_user_that_a_reload_takes_away_is_nobody_at_once() {
    let origin = Origin::http(|_| ok(b"answer"));
    let users = hashed("alice", "a", &[]);
    let egret = Egret::start_with(&[("users", &users)], &only("alice"));
    let request = get(&origin.url("/"), &credentials("alice", "a"));
    assert_eq!(egret.ask(&request).status, 200);
    egret.write("users", &hashed("bob", "b", &[]));
    assert!(egret.command(&["reload"]).status.success());
    assert_eq!(
        egret.ask(&request).status,
        407,
        "what was remembered is forgotten"
    );
}

#[test]
fn each_request_of_a_connection_says_who_it_is_for_itself() {
    let origin = Origin::http(|_| ok(b"answer"));
    let users = hashed("alice", "a", &[]);
    let egret = Egret::start_with(&[("users", &users)], &only("alice"));
    let mut wire = egret.connect();
    for (lines, status) in [
        (credentials("alice", "a"), 200),
        (String::new(), 407),
        (credentials("alice", "a"), 200),
    ] {
        wire.send(get(&origin.url("/"), &lines).as_bytes());
        assert_eq!(wire.response("GET").status, status);
    }
}

#[test]
fn socks_5_without_a_password_is_refused_where_one_is_needed_and_not_where_a_network_is_enough() {
    let echo = Origin::echo();
    let users = hashed("alice", "a", &[]);
    let egret = Egret::start_with(&[("users", &users)], &only("alice"));
    let mut wire = egret.connect();
    let place = crate::socks::ipv4(echo.address);
    assert_eq!(crate::socks::open5(&mut wire, 1, &place), 2, "not allowed");
    assert_eq!(echo.connections(), 0);

    let auth =
        "auth = [{ network = { \"127.0.0.0/8\" = \"local\" } }, { basic = { file = \"users\" } }]";
    let rule = "name = \"local\"\nallow = {}\nprincipal = \"local\"\naddress = \"127.0.0.0/8\"";
    let config = Config::closed().listener(auth).rule(rule);
    let egret = Egret::start_with(&[("users", &users)], &config);
    let mut wire = egret.connect();
    assert_eq!(crate::socks::open5(&mut wire, 1, &place), 0);
    tunnel(&egret, &echo.address.to_string());
}

#[test]
fn a_password_file_that_is_faulty_is_told_without_the_hash() {
    let text = only("alice").text();
    let files = [(
        "users",
        "alice:plain-secret\nbob:{SHA}c2hhLXNlY3JldA==\nno colon\n",
    )];
    let mut egret = Egret::spawn(&files, &text);
    assert_eq!(egret.wait_exit().code(), Some(2));
    for place in ["users:1:", "users:2:", "users:3:"] {
        egret.wait_line(place, |line| line.contains(place));
    }
    let log = egret.log();
    assert!(
        !log.contains("plain-secret") && !log.contains("c2hhLXN"),
        "{log}"
    );
}

#[test]
fn a_client_that_guesses_keeps_others_from_their_answer_by_a_guess_or_two() {
    let origin = Origin::http(|_| ok(b"answer"));
    let users = hashed("alice", "a", &["--method", "bcrypt"]);
    let config = only("alice").listener("proxy-protocol = { accept-from = [\"127.0.0.1\"] }");
    let egret = Egret::start_with(&[("users", &users)], &config);
    let ask = |client: &str, password: &str| {
        let mut wire = egret.connect();
        let header = format!("PROXY TCP4 {client} 192.0.2.9 1 3128\r\n");
        let request = get(&origin.url("/"), &credentials("alice", password));
        wire.send((header + &request).as_bytes());
        wire
    };
    let guess = |number: usize| ask("192.0.2.1", &format!("guess {number}"));
    let guesses: Vec<Wire> = (0..100).map(guess).collect();
    assert_eq!(ask("192.0.2.2", "a").response("GET").status, 200);
    let is_answered = |wire: &&Wire| {
        let tcp = wire.tcp();
        tcp.set_nonblocking(true).unwrap();
        tcp.peek(&mut [0]).is_ok()
    };
    let answered = guesses.iter().filter(is_answered).count();
    assert!(answered < 50, "{answered} guesses were answered first");
}

#[test]
fn hash_refuses_what_would_be_cut_short_or_is_empty() {
    let long = "a".repeat(73);
    for (password, method, code) in [
        (&*long, "bcrypt", 2),
        (&long[..72], "bcrypt", 0),
        (&long, "argon2id", 0),
        ("", "argon2id", 2),
    ] {
        let mut hash = program()
            .args(["hash", "alice", "--method", method])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = hash.stdin.take().unwrap();
        stdin.write_all(format!("{password}\n").as_bytes()).unwrap();
        drop(stdin);
        let output = hash.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{method}: {said}");
        assert!(!said.contains("aaaa"), "{said}");
    }
}

#[test]
fn a_tunnel_of_somebody_who_has_lost_the_group_ends_with_the_reload() {
    let after = [("groups", "staff: bob\n"), ("users", "bob:{hash}\n")];
    for (file, text) in after {
        let origin = Origin::echo();
        let Some(users) = crate::socks::htpasswd() else {
            return;
        };
        let config = Config::closed()
            .listener("auth = [{ basic = { file = \"users\" } }]\ngroups = { file = \"groups\" }")
            .rule("name = \"staff\"\nallow = {}\ngroup = \"staff\"\naddress = \"127.0.0.0/8\"");
        let files = [("users", &*users), ("groups", "staff: alice\n")];
        let egret = Egret::start_with(&files, &config);
        let basic = format!("Proxy-Authorization: Basic {}\r\n", base64("alice:secret"));
        let mut wire = egret.connect();
        wire.send(connect(&origin.address.to_string(), &basic).as_bytes());
        assert_eq!(wire.response("CONNECT").status, 200);
        let hash = users.trim().trim_start_matches("alice:");
        egret.write(file, &text.replace("{hash}", hash));
        assert!(egret.command(&["reload"]).status.success());
        let again = egret.ask(&connect(&origin.address.to_string(), &basic));
        assert!([403, 407].contains(&again.status), "{}", again.head);
        assert!(wire.read_to_any_end().is_empty(), "after {file} changed");
    }
}
