//! Ways round a rule that were found by attacking it: spellings of paths, connections that outlive their permission, bytes
//! that cost more than they weigh. Start at any test.

use crate::support::{Config, Egret, Origin, ok};

#[test]
fn a_rule_on_paths_holds_by_every_reading() {
    let origin = Origin::http(|_| ok(b"reached"));
    let allow = "name = \"public\"\nallow = {}\naddress = \"127.0.0.0/8\"\npath = [\"/public/*\"]";
    let deny = "name = \"no admin\"\ndeny = {}\npath = [\"/admin\", \"/admin/*\"]";
    let rest = "name = \"rest\"\nallow = {}\naddress = \"127.0.0.0/8\"";
    let cases: &[(&[&str], &[&str], &[&str])] = &[
        (
            &[allow],
            &[
                "/public/a",
                "/public//a",
                "/public/git%2Frepo",
                "/public/a;v=1",
            ],
            &[
                "/public/..%2fadmin",
                "/public/%2e%2e%2fadmin",
                "/public/..%5cadmin",
                "/public/..;/admin",
                "/public/.%00./admin",
                "/admin",
            ],
        ),
        (
            &[deny, rest],
            &["/x", "/administrator", "/x/admin"],
            &[
                "//admin/x",
                "///admin",
                "/%2fadmin/x",
                "/admin%2fx",
                "/admin;a=b/x",
                "/admin%00",
                "/x/..%2fadmin/",
                "/x/..;/admin/x",
                "/%61dmin",
            ],
        ),
    ];
    for (rules, allowed, refused) in cases {
        let config = rules
            .iter()
            .fold(Config::closed(), |config, rule| config.rule(rule));
        let egret = Egret::start(&config);
        let status = |path: &str| {
            let mut wire = egret.connect();
            wire.send(
                format!(
                    "GET {} HTTP/1.1\r\nHost: {}\r\n\r\n",
                    origin.url(path),
                    origin.address
                )
                .as_bytes(),
            );
            wire.response("GET").status
        };
        for path in *allowed {
            assert_eq!(status(path), 200, "{path}");
        }
        for path in *refused {
            assert!([400, 403].contains(&status(path)), "{path} was let through");
        }
    }
}

#[test]
fn a_tunnel_ends_when_its_user_is_taken_away() {
    let origin = Origin::echo();
    let users = "alice:$apr1$abcdefgh$FBwExRW4dCc8aL.OvjpIE1\n";
    let config = Config::closed()
        .listener("auth = [{ basic = { file = \"users\" } }]")
        .rule("name = \"anyone known\"\nallow = {}\nprincipal = \"*\"\naddress = \"127.0.0.0/8\"");
    let bob = "bob:$apr1$abcdefgh$FBwExRW4dCc8aL.OvjpIE1\n";
    let egret = Egret::start_with(&[("users", format!("{users}{bob}").as_str())], &config);
    let open = |credentials: &str| {
        let mut wire = egret.connect();
        let head = format!(
            "CONNECT {0} HTTP/1.1\r\nHost: {0}\r\nProxy-Authorization: Basic {credentials}\r\n\r\n",
            origin.address
        );
        wire.send(head.as_bytes());
        assert_eq!(wire.response("CONNECT").status, 200);
        wire
    };
    let (mut alice, mut bob_wire) = (open("YWxpY2U6cGFzc3dvcmQ="), open("Ym9iOnBhc3N3b3Jk"));
    egret.write("users", bob);
    assert!(egret.command(&["reload"]).status.success());
    egret.wait_record("the end", |record| {
        record["principal"] == "alice"
            && record["reason"] == "no longer allowed: the client is not known any more"
    });
    alice.read_to_any_end();
    bob_wire.send(b"still here");
    assert_eq!(bob_wire.exact(10), b"still here");
}

#[test]
fn tiny_chunks_cost_what_they_weigh() {
    let origin = Origin::http(|_| ok(b""));
    let egret = Egret::start(&Config::loopback());
    // The second request of each client goes over a kept connection, where its beginning is kept for sending again.
    let mut wire = egret.connect();
    wire.send(
        format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\n\r\n",
            origin.url("/"),
            origin.address
        )
        .as_bytes(),
    );
    assert_eq!(wire.response("GET").status, 200);
    let before = egret.resident();
    let head = format!(
        "PUT {} HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\r\n",
        origin.url("/"),
        origin.address
    );
    wire.send(head.as_bytes());
    for _ in 0..20_000 {
        wire.send(b"1\r\nx\r\n");
    }
    let during = egret.resident();
    wire.send(b"0\r\n\r\n");
    assert_eq!(wire.response("PUT").status, 200);
    assert!(
        during < before + (16 << 20),
        "{before} bytes before, {during} during"
    );
}

#[test]
fn a_connection_that_authenticates_itself_is_not_shared() {
    let origin = Origin::http(|_| ok(b"who"));
    let egret = Egret::start(&Config::loopback());
    for _ in 0..2 {
        let mut wire = egret.connect();
        let head = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nAuthorization: NTLM TlRMTVNTUAAB\r\n\r\n",
            origin.url("/"),
            origin.address
        );
        wire.send(head.as_bytes());
        assert_eq!(wire.response("GET").status, 200);
    }
    assert_eq!(origin.connections(), 2);
}
