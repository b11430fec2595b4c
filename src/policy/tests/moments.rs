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
