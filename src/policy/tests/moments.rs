//! The two moments: by name before DNS, by address before dialling.

use super::*;

const TEXT: &str = r#"
[[rule]]
name = "blocked"
deny = {}
address = ["8.8.4.0/24", "@malware"]
[[rule]]
name = "metrics"
allow = { intercept = true }
host = "metrics.example"
address = "10.0.5.9/32"
[[rule]]
name = "web"
allow = {}
host = "*.example"
"#;

#[test]
fn what_the_address_decides_is_taken_in_the_clients_favour_before_it_is_known() {
    let policy = policy(TEXT);
    for (host, verdict) in [
        ("metrics.example", "allow metrics ?"),
        ("a.example", "allow web ?"),
        ("secret.evil.test", "deny default"),
        ("8.8.4.4", "deny blocked"),
    ] {
        assert_eq!(decided(&policy, &get(host)), verdict, "{host}");
    }
}

#[test]
fn a_permit_holds_the_addresses_of_one_rule_and_no_others() {
    let policy = policy(TEXT);
    for (host, ips, verdict) in [
        (
            "a.example",
            &["8.8.8.8", "8.8.4.4", "1.1.1.1"][..],
            "allow web: 8.8.8.8 1.1.1.1",
        ),
        ("a.example", &["8.8.4.4"], "deny blocked: Rule"),
        ("a.example", &["::ffff:8.8.4.4"], "deny blocked: Rule"),
        ("a.example", &["::ffff:8.8.8.8"], "allow web: 8.8.8.8"),
        (
            "metrics.example",
            &["8.8.8.8", "10.0.5.9"],
            "allow web: 8.8.8.8",
        ),
        (
            "metrics.example",
            &["10.0.5.9", "8.8.8.8"],
            "allow metrics: 10.0.5.9",
        ),
        (
            "a.example",
            &["10.0.5.9"],
            "deny default: Guarded(10.0.5.9, Private)",
        ),
        ("a.example", &[], "deny default: Default"),
    ] {
        assert_eq!(
            confirmed(&policy, &get(host), ips),
            verdict,
            "{host} {ips:?}"
        );
    }
    let policy = super::policy("[[rule]]\nname = \"one\"\nallow = {}\naddress = \"8.8.8.8\"\n");
    assert_eq!(
        confirmed(&policy, &get("a.example"), &["8.8.4.4"]),
        "deny default: Address(8.8.4.4)"
    );
}

#[test]
fn a_fact_that_no_moment_will_know_does_not_let_a_name_be_resolved() {
    let policy = policy(
        r#"
[[rule]]
name = "not bob"
allow = {}
not = { principal = "bob" }
[[rule]]
name = "not that path"
allow = {}
not = { path = "/admin/*" }
port = 443
[[rule]]
name = "ci"
allow = {}
group = "ci"
port = 443
"#,
    );
    let anonymous = connect("a.example:443");
    assert_eq!(decided(&policy, &anonymous), "deny default");
    assert_eq!(
        decided(&policy, &anonymous.clone().by("bob", &["ci"])),
        "allow ci"
    );
    assert_eq!(
        decided(&policy, &anonymous.clone().by("eve", &[])),
        "allow not bob"
    );
}

#[test]
fn an_open_tunnel_is_judged_again_by_the_address_it_has() {
    let (before, after) = (
        policy("[[rule]]\nname = \"web\"\nallow = {}\n"),
        policy(
            "[[rule]]\nname = \"no\"\ndeny = {}\naddress = \"8.8.8.0/24\"\n[[rule]]\nname = \"web\"\nallow = {}\n",
        ),
    );
    let ask = connect("a.example:443");
    assert_eq!(confirmed(&before, &ask, &["8.8.8.8"]), "allow web: 8.8.8.8");
    assert_eq!(confirmed(&after, &ask, &["8.8.8.8"]), "deny no: Rule");
}

#[test]
fn deny_all_but_staff_denies_the_anonymous() {
    let policy = policy(
        "default = \"allow\"\n[[rule]]\nname = \"no\"\ndeny = {}\nnot = { group = \"staff\" }\n",
    );
    let ask = get("a.example");
    assert_eq!(decided(&policy, &ask), "deny no");
    let staff = ask.clone().by("ann", &["staff"]);
    assert_eq!(decided(&policy, &staff), "allow default");
    assert_eq!(decided(&policy, &ask.by("bob", &[])), "deny no");
}

#[test]
fn a_policy_is_shared_by_workers() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Policy>();
}

fn hello(name: Option<&str>) -> Hello {
    Hello {
        server_name: name.map(|name| Host::parse_bare(name).expect("a host")),
        alpn: vec!["h2".into(), "http/1.1".into()],
        version: "1.3",
        ech: false,
        fingerprint: "t13d1516h2_8daaf6152771_e5627efa2ab1".into(),
    }
}

#[test]
fn what_a_hello_decides_is_in_the_clients_favour_until_it_is_seen() {
    let policy = policy(
        r#"
[[rule]]
name = "no old clients"
deny = {}
tls-version = ["1.0", "1.1"]
[[rule]]
name = "no robots"
deny = {}
fingerprint = "t12*"
[[rule]]
name = "web"
allow = {}
host = "*.example"
sni = "*.example"
alpn = "h2"
ech = false
"#,
    );
    let old = Hello {
        version: "1.1",
        ..hello(Some("a.example"))
    };
    let robot = Hello {
        fingerprint: "t12i00".into(),
        ..hello(Some("a.example"))
    };
    let other = Hello {
        alpn: vec!["smtp".into()],
        ..hello(Some("a.example"))
    };
    let hidden = Hello {
        ech: true,
        ..hello(Some("a.example"))
    };
    for (ask, verdict) in [
        (connect("a.example:443"), "allow web ?"),
        (connect("a.test:443"), "deny default"),
        (get("a.example"), "deny default"),
        (
            connect("a.example:443").saying(hello(Some("b.example"))),
            "allow web",
        ),
        (connect("a.example:443").saying(hello(None)), "deny default"),
        (connect("a.example:443").saying(old), "deny no old clients"),
        (connect("a.example:443").saying(robot), "deny no robots"),
        (connect("a.example:443").saying(other), "deny default"),
        (connect("a.example:443").saying(hidden), "deny default"),
    ] {
        assert_eq!(decided(&policy, &ask), verdict, "{ask:?}");
    }
}

#[test]
fn a_tunnel_is_allowed_by_what_a_rule_asks_of_requests_only_where_they_will_be_seen() {
    let rules = |allow: &str| {
        policy(&format!(
            "[[rule]]\nname = \"admin\"\ndeny = {{}}\npath = \"/admin/*\"\n\
             [[rule]]\nname = \"read\"\nallow = {allow}\nhost = \"a.example\"\nmethod = \"GET\"\npath = \"/public/*\"\nscheme = \"https\"\n"
        ))
    };
    let inside = |path: &str, method: Method| Ask {
        scheme: Scheme::Https,
        path: Some(path.to_owned()),
        method: Some(method),
        ..get("a.example")
    };
    let seen = rules("{ intercept = true }");
    let unseen = rules("{}");
    let tunnel = connect("a.example:443");
    assert_eq!(decided(&seen, &tunnel), "allow read ?");
    assert_eq!(decided(&unseen, &tunnel), "deny default");
    for (ask, verdict) in [
        (inside("/public/x", Method::GET), "allow read"),
        (inside("/public/x", Method::POST), "deny default"),
        (inside("/private", Method::GET), "deny default"),
        (inside("/admin/x", Method::GET), "deny admin"),
    ] {
        assert_eq!(decided(&seen, &ask), verdict, "{ask:?}");
    }
}

#[test]
fn a_rule_that_is_about_requests_can_not_let_a_tunnel_through_unseen() {
    for (rule, told) in [
        (
            "allow = { intercept = { pinned = \"splice\" } }\nmethod = \"GET\"",
            true,
        ),
        (
            "allow = { intercept = { not-http = \"splice\" } }\nnot = { path = \"/x\" }",
            true,
        ),
        (
            "allow = { intercept = { pinned = \"splice\" }, headers = { request = { remove = [\"x\"] } } }",
            true,
        ),
        (
            "allow = { intercept = { pinned = \"splice\" } }\nhost = \"a.example\"",
            false,
        ),
        (
            "allow = { intercept = { pinned = \"deny\" } }\nmethod = \"GET\"",
            false,
        ),
    ] {
        let text = format!("[[rule]]\nname = \"r\"\n{rule}\n");
        let faults = read(&text).map_or_else(|faults| faults.concat(), |_| String::new());
        assert_eq!(
            faults.contains("not seen in a tunnel"),
            told,
            "{rule}: {faults}"
        );
    }
}
