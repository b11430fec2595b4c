//! Random policies: the index changes nothing, and the first moment denies nothing that the second would allow.

use proptest::prelude::*;

use super::super::walk::{Outcome, Ruling, Walk};
use super::*;

const HOSTS: [&str; 6] = ["a.x", "b.x", "c.a.x", "x", "a.y", "8.8.8.8"];
const PATTERNS: [&str; 9] = [
    "\"a.x\"",
    "\"*.x\"",
    "\"*.a.x\"",
    "[\"b.x\", \"*.y\"]",
    "\"a*.x\"",
    "\"*\"",
    "\"@registries\"",
    "\"8.8.8.8\"",
    "[\"a.x\", \"*.x\", \"x\"]",
];
const OTHERS: [&str; 14] = [
    "port = 80",
    "port = 443",
    "group = \"ci\"",
    "principal = \"eve\"",
    "address = \"8.8.8.0/24\"",
    "address = \"private\"",
    "path = \"/a/*\"",
    "not = { address = \"8.8.8.8\" }",
    "not = { principal = \"eve\" }",
    "not = { host = \"a.x\" }",
    "client = \"10.0.0.0/8\"",
    "client = [\"10.1.0.0/16\", \"192.0.2.0/25\", \"2001:db8::/32\", \"10.1.2.0/24\"]",
    "client = \"::ffff:192.0.2.0/120\"",
    "not = { client = \"10.1.0.0/16\" }",
];
const CLIENTS: [&str; 5] = [
    "10.1.2.3",
    "192.0.2.9",
    "::ffff:10.9.9.9",
    "2001:db8::1",
    "2001:db9::1",
];
const ADDRESSES: [&str; 4] = ["8.8.8.8", "1.1.1.1", "10.0.0.1", "127.0.0.1"];

prop_compose! {
    fn rule()(
        allow in any::<bool>(),
        report in prop::bool::weighted(0.15),
        host in prop::option::weighted(0.6, 0..PATTERNS.len()),
        other in prop::option::of(0..OTHERS.len()),
    ) -> String {
        let action = if allow { "allow" } else { "deny" };
        let host = host.map_or_else(String::new, |at| format!("host = {}\n", PATTERNS[at]));
        let other = other.map_or("", |at| OTHERS[at]);
        format!("{action} = {{}}\nreport = {report}\n{host}{other}\n")
    }
}

prop_compose! {
    fn random_policy()(
        rules in prop::collection::vec(rule(), 0..12),
        default in prop::bool::weighted(0.2),
        report in prop::bool::weighted(0.1),
    ) -> String {
        let default = if default { "allow" } else { "deny" };
        let mut text = format!("default = \"{default}\"\nreport = {report}\n");
        for (at, rule) in rules.iter().enumerate() {
            text += &format!("[[rule]]\nname = \"r{at}\"\n{rule}");
        }
        text
    }
}

prop_compose! {
    fn ask()(
        host in 0..HOSTS.len(),
        port in prop::bool::ANY,
        who in 0..3,
        tunnel in prop::bool::ANY,
        client in 0..CLIENTS.len(),
    ) -> Ask {
        let authority = format!("{}:{}", HOSTS[host], if port { 80 } else { 443 });
        let mut ask = if tunnel { connect(&authority) } else { get(&authority) };
        ask.client = ip(CLIENTS[client]);
        match who {
            0 => ask,
            1 => ask.by("eve", &[]),
            _ => ask.by("ann", &["ci"]),
        }
    }
}

fn said(outcome: &Outcome) -> String {
    let ruling = match &outcome.ruling {
        Ruling::Allow(rule, _) => format!("allow {}", rule.name),
        Ruling::Deny(denial) => format!("deny {} {:?}", denial.rule.name, denial.reason),
    };
    format!("{ruling} {} {:?}", outcome.settled, outcome.would_deny)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 800, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_index_changes_no_outcome(text in random_policy(), ask in ask(), address in prop::option::of(0..ADDRESSES.len())) {
        let policy = policy(&text);
        let resolved = address.map(|at| ip(ADDRESSES[at]));
        let facts = Facts { resolved, ..ask.facts() };
        let moment = if resolved.is_some() { Moment::Address } else { Moment::Name };
        let walk = Walk::new(&policy, &facts, moment, None);
        prop_assert_eq!(said(&walk.run(&mut ())), said(&walk.run_naively()));
    }

    #[test]
    fn a_denial_by_name_is_a_denial_for_every_address_and_a_settled_grant_keeps_its_rule(
        text in random_policy(), ask in ask(), address in 0..ADDRESSES.len(),
    ) {
        let policy = policy(&text);
        let address = match ask.authority.host.ip() {
            Some(ip) => ip,
            None => ip(ADDRESSES[address]),
        };
        let facts = Facts { resolved: Some(address), ..ask.facts() };
        let strict = Walk::new(&policy, &facts, Moment::Address, None).run(&mut ());
        match (policy.decide(&ask.facts()), strict.ruling) {
            (Verdict::Deny(_), Ruling::Allow(rule, _)) => prop_assert!(false, "denied by name, allowed by {}", rule.name),
            (Verdict::Allow(grant), Ruling::Allow(rule, _)) if grant.is_settled() => {
                // An address that is guarded may pass on to a later rule that names it.
                let guarded = crate::addr::AddrClass::of(address) != crate::addr::AddrClass::Public;
                prop_assert!(guarded || grant.allowance().rule.index == rule.index);
            }
            (Verdict::Allow(_) | Verdict::Deny(_), Ruling::Allow(..) | Ruling::Deny(_)) => {}
        }
    }

    #[test]
    fn an_explanation_says_what_the_decision_says(text in random_policy(), ask in ask(), address in 0..ADDRESSES.len()) {
        let policy = policy(&text);
        let explained = policy.explain(&ask.facts(), None, &|_| false);
        let said = format!("{} {}", explained.verdict, explained.rule);
        let decided = decided(&policy, &ask);
        prop_assert_eq!(said, decided.trim_end_matches(" ?"));
        let texts = [ADDRESSES[address]];
        let explained = policy.explain(&ask.facts(), Some(&addresses(&texts)), &|_| false);
        let said = format!("{} {}:", explained.verdict, explained.rule);
        prop_assert!(confirmed(&policy, &ask, &texts).starts_with(&said));
        prop_assert_eq!(explained.smallest_change.is_some(), explained.verdict == "deny");
    }
}

#[test]
fn ten_thousand_names_are_found_without_asking_ten_thousand_rules() {
    #[derive(Default)]
    struct Count(usize);
    impl Observer for Count {
        const EVERY: bool = false;
        fn tried(&mut self, _: usize, _: walk::Held) {
            self.0 += 1;
        }
    }
    let mut text = String::new();
    for at in 0..10_000 {
        text += &format!(
            "[[rule]]\nname = \"r{at}\"\nallow = {{}}\nhost = [\"h{at}.example\", \"*.s{at}.example\"]\n"
        );
    }
    text += "[[rule]]\nname = \"last\"\ndeny = {}\nport = 443\n";
    let policy = policy(&text);
    for (host, rule) in [("h9999.example", "r9999"), ("a.b.s77.example", "r77")] {
        let mut count = Count(0);
        let ask = get(host);
        let verdict = policy.decide_observed(&ask.facts(), Moment::Name, &mut count);
        assert!(matches!(verdict, Verdict::Allow(grant) if *grant.allowance().rule.name == *rule));
        assert_eq!(count.0, 1, "{host}");
    }
}
