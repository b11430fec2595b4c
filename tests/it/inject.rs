//! Credentials that the workload never has: added at the proxy, over verified TLS, and taken out of whatever comes back.
//! Not the spellings of a secret, which the filter's own tests try.

use crate::support::{
    Ca, Config, Egret, Interception, Origin, get, ok, program, said, shake_hands, tunnel,
};

const SECRET: &str = "s3cret-of-the-model";

fn rule(more: &str) -> String {
    format!(
        "name = \"model\"\nallow = {{ inject = {{ header = \"Authorization\", prefix = \"Bearer \", value = {{ env = \"MODEL\" }}{more} }} }}\n\
         host = \"127.0.0.1\"\naddress = \"127.0.0.0/8\""
    )
}

fn start(config: &Config) -> Egret {
    Egret::start_in(&[("MODEL", SECRET)], &[], config)
}

#[test]
fn the_origin_gets_the_credential_and_the_workload_never_sees_it() {
    let origin = Origin::http(|request| {
        let sent = request.header("authorization").unwrap_or_default();
        format!(
            "HTTP/1.1 103 Early Hints\r\nlink: <https://a.example/?k={sent}>\r\n\r\n\
             HTTP/1.1 200 OK\r\nx-echo: {sent}\r\ntransfer-encoding: chunked\r\ntrailer: x-last\r\n\r\n\
             2\r\nok\r\n0\r\nx-last: {sent}\r\n\r\n"
        )
        .into_bytes()
    });
    let egret = start(&Config::closed().rule(&rule(", insecure = true")));
    let mut wire = egret.connect();
    wire.send(
        get(
            &origin.url("/"),
            "Authorization: Bearer of-the-workload\r\n",
        )
        .as_bytes(),
    );
    let hint = wire.response("GET");
    assert_eq!(hint.status, 103);
    assert!(hint.head.contains("(hidden)"), "{}", hint.head);
    let answer = wire.response("GET");
    assert_eq!(answer.header("x-echo"), Some("Bearer (hidden)"));
    assert_eq!(
        answer.trailers,
        [("x-last".to_owned(), "Bearer (hidden)".to_owned())]
    );
    let seen = origin.wait_request(0);
    assert_eq!(
        seen.header("authorization"),
        Some(format!("Bearer {SECRET}").as_str())
    );
    drop(wire);
    egret.wait_record("the record", |r| r["status"] == 200);
    let explained = egret.command(&["explain", "--live", &origin.url("/")]);
    for text in [
        egret.everything_written(),
        said(&explained),
        hint.head,
        answer.head,
    ] {
        assert!(!text.contains(SECRET), "{text}");
    }
}

#[test]
fn a_placeholder_is_filled_where_the_workload_sends_it_and_nowhere_else() {
    let origin = Origin::http(|_| ok(b""));
    let egret = start(&Config::closed().rule(&rule(", insecure = true, placeholder = \"TOKEN\"")));
    for (at, (sent, got)) in [
        (
            Some("Bearer TOKEN"),
            Some("Bearer Bearer s3cret-of-the-model"),
        ),
        (Some("Basic other"), Some("Basic other")),
        (None, None),
    ]
    .into_iter()
    .enumerate()
    {
        let line = sent.map_or_else(String::new, |sent| format!("Authorization: {sent}\r\n"));
        assert_eq!(egret.ask(&get(&origin.url("/"), &line)).status, 200);
        let seen = origin.wait_request(at);
        assert_eq!(seen.header("authorization"), got, "{sent:?}");
    }
}

#[test]
fn a_credential_does_not_leave_over_plain_http_nor_into_a_sealed_tunnel() {
    let origin = Origin::http(|_| ok(b"never"));
    let egret = start(&Config::closed().rule(&rule("")));
    let refused = egret.ask(&get(&origin.url("/"), ""));
    assert_eq!(refused.status, 403);
    assert!(
        refused.text().contains("does not leave over plain HTTP"),
        "{}",
        refused.text()
    );
    let connect = crate::support::connect(&origin.address.to_string(), "");
    assert_eq!(egret.ask(&connect).status, 403);
    assert!(origin.requests().is_empty());
}

#[test]
fn a_credential_is_added_to_what_is_decrypted() {
    let ca = Ca::mint();
    let origin = Origin::https(&ca, &["127.0.0.1"], |request| {
        let sent = request.header("authorization").unwrap_or_default();
        format!("HTTP/1.1 200 OK\r\nx-echo: {sent}\r\ncontent-length: 0\r\n\r\n").into_bytes()
    });
    let authority = Interception::init();
    let files = [&authority.files()[..], &[("ca.pem", ca.pem())]].concat();
    let allow = rule("").replace("allow = { ", "allow = { intercept = true, ");
    let config = Config::closed().rule(&allow).roots().more(
        "[intercept]\nauthority = { cert = \"{dir}/intercept.pem\", key = { file = \"{dir}/intercept.key\" } }",
    );
    let egret = Egret::start_in(&[("MODEL", SECRET)], &files, &config);
    let place = origin.address.to_string();
    let wire = tunnel(&egret, &place);
    let mut met = shake_hands(wire, "127.0.0.1", &[&authority.cert], &[]).expect("TLS");
    met.wire
        .send(format!("GET / HTTP/1.1\r\nhost: {place}\r\n\r\n").as_bytes());
    let answer = met.wire.response("GET");
    assert_eq!(answer.header("x-echo"), Some("Bearer (hidden)"));
    let seen = origin.wait_request(0);
    assert_eq!(
        seen.header("authorization"),
        Some(format!("Bearer {SECRET}").as_str())
    );
    drop(met);
    egret.wait_record("the tunnel", |r| r["method"] == "CONNECT");
    assert!(!egret.everything_written().contains(SECRET));
}

#[test]
fn a_reload_reads_the_secret_anew_and_a_missing_one_changes_nothing() {
    let origin = Origin::http(|_| ok(b""));
    let rule =
        rule(", insecure = true").replace("{ env = \"MODEL\" }", "{ file = \"{dir}/secret\" }");
    let egret = Egret::start_with(&[("secret", "first")], &Config::closed().rule(&rule));
    let sent = |at: usize| {
        assert_eq!(egret.ask(&get(&origin.url("/"), "")).status, 200);
        let seen = origin.wait_request(at);
        seen.header("authorization").unwrap_or_default().to_owned()
    };
    assert_eq!(sent(0), "Bearer first");
    egret.write("secret", "second\n");
    assert!(egret.command(&["reload"]).status.success());
    assert_eq!(sent(1), "Bearer second");
    std::fs::remove_file(egret.path("secret")).unwrap();
    let output = egret.command(&["reload"]);
    assert!(!output.status.success());
    assert!(said(&output).contains("cannot read"), "{}", said(&output));
    assert_eq!(sent(2), "Bearer second");
}

#[test]
fn a_credential_must_have_a_named_origin() {
    for host in ["", "host = \"*\""] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("egret.toml");
        let rule = rule("").replace("host = \"127.0.0.1\"", host);
        std::fs::write(&file, Config::closed().rule(&rule).text()).unwrap();
        let output = program()
            .args(["check", "-c"])
            .arg(&file)
            .env("MODEL", SECRET)
            .output()
            .unwrap();
        let told = said(&output);
        assert!(
            told.contains("a credential to requests to any host"),
            "{told}"
        );
        assert!(!told.contains(SECRET), "{told}");
    }
}
