//! Report mode: decide, note, let through.

use super::*;

/// Both moments, with what was noted at the second.
fn outcome(policy: &Policy, ask: &Ask, address: &str) -> String {
    let Verdict::Allow(grant) = policy.decide(&ask.facts()) else {
        return "deny by name".to_owned();
    };
    match policy.confirm(&grant, &ask.facts(), &addresses(&[address]), &|_| false) {
        Ok(permit) => match permit.would_deny() {
            Some(noted) => format!("allow {}, noted {}", permit.rule().name, noted.rule.name),
            None => format!("allow {}", permit.rule().name),
        },
        Err(denial) => format!("deny {}: {:?}", denial.rule.name, denial.reason),
    }
}

#[test]
fn a_reported_denial_is_noted_and_the_walk_goes_on() {
    let policy = policy(
        r#"
[[rule]]
name = "trial"
deny = {}
report = true
host = "*.old.example"
[[rule]]
name = "also"
deny = {}
report = true
address = "8.8.4.4"
[[rule]]
name = "no"
deny = {}
host = "b.old.example"
[[rule]]
name = "web"
allow = {}
"#,
    );
    for (host, address, expected) in [
        ("a.old.example", "8.8.8.8", "allow web, noted trial"),
        ("a.old.example", "8.8.4.4", "allow web, noted trial"),
        ("new.example", "8.8.4.4", "allow web, noted also"),
        ("new.example", "8.8.8.8", "allow web"),
        ("b.old.example", "8.8.8.8", "deny by name"),
    ] {
        assert_eq!(
            outcome(&policy, &get(host), address),
            expected,
            "{host} {address}"
        );
    }
}

#[test]
fn a_reported_allowance_lets_through_only_what_the_rest_denies() {
    let policy = policy(
        r#"
[[rule]]
name = "trial"
allow = {}
report = true
host = "*.example"
[[rule]]
name = "no"
deny = {}
host = "b.example"
[[rule]]
name = "ssl"
allow = { intercept = true }
port = 443
"#,
    );
    for (host, address, expected) in [
        ("a.example", "8.8.8.8", "allow trial, noted default"),
        ("b.example", "8.8.8.8", "allow trial, noted no"),
        ("a.example:443", "8.8.8.8", "allow ssl"),
        ("a.test", "8.8.8.8", "deny by name"),
        (
            "a.example",
            "10.0.0.1",
            "deny default: Guarded(10.0.0.1, Private)",
        ),
    ] {
        assert_eq!(
            outcome(&policy, &get(host), address),
            expected,
            "{host} {address}"
        );
    }
}

#[test]
fn a_reporting_policy_notes_every_denial_but_the_guards() {
    let policy = policy(
        r#"
report = true
[[rule]]
name = "no"
deny = { status = 451 }
host = "b.example"
[[rule]]
name = "named"
allow = {}
address = "10.0.5.9"
"#,
    );
    for (host, address, expected) in [
        ("a.example", "8.8.8.8", "allow default, noted default"),
        ("b.example", "8.8.8.8", "allow no, noted no"),
        ("a.example", "10.0.5.9", "allow named"),
        (
            "a.example",
            "10.0.5.8",
            "deny default: Guarded(10.0.5.8, Private)",
        ),
        ("b.example", "10.0.5.9", "allow named, noted no"),
    ] {
        assert_eq!(
            outcome(&policy, &get(host), address),
            expected,
            "{host} {address}"
        );
    }
}
