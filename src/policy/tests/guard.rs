//! The guard: what is not public is opened by address or not at all.

use super::*;

/// A guarded address in each class and wrapping.
const GUARDED: &[&str] = &[
    "127.0.0.1",
    "127.8.8.8",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "169.254.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "198.18.0.1",
    "203.0.113.1",
    "240.0.0.1",
    "::1",
    "::",
    "fe80::1",
    "fc00::1",
    "ff02::1",
    "2001:db8::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a00:1",
    "2002:7f00:1::1",
    "2002:a00:1::1",
    "2001:0:0:0:0:0:f5ff:fffe",
    "2606:4700::200:5efe:c0a8:1",
];

#[test]
fn no_guarded_address_is_opened_by_a_rule_that_does_not_name_it() {
    for text in [
        "default = \"allow\"",
        "[[rule]]\nname = \"all\"\nallow = {}\n",
        "[[rule]]\nname = \"all\"\nallow = {}\naddress = [\"0.0.0.0/0\", \"::/0\", \"::ffff:0:0/96\"]\n",
        "[[rule]]\nname = \"all\"\nallow = {}\nnot = { address = \"8.8.8.8\" }\n",
        "[[rule]]\nname = \"all\"\nallow = {}\nhost = [\"*\", \"10.0.0.1\"]\n",
        "report = true",
        "report = true\n[[rule]]\nname = \"no\"\ndeny = {}\n",
        "[[rule]]\nname = \"try\"\nallow = {}\nreport = true\n",
        "default = \"allow\"\n[[rule]]\nname = \"no\"\ndeny = {}\nreport = true\n",
    ] {
        let policy = policy(text);
        for address in GUARDED {
            let ask = get("a.example");
            let verdict = confirmed(&policy, &ask, &[address]);
            assert!(verdict.contains("Guarded("), "{text} {address}: {verdict}");
            let literal = Ask {
                authority: Authority::new(Host::from_ip(ip(address)), 80),
                ..ask
            };
            let verdict = decided(&policy, &literal);
            assert!(verdict.starts_with("deny"), "{text} {address}: {verdict}");
        }
    }
}

#[test]
fn a_rule_opens_what_it_names_by_network_class_or_list() {
    for (address, opened, closed) in [
        ("10.0.5.9/32", "10.0.5.9", "10.0.5.8"),
        ("10.0.0.0/8", "::ffff:10.0.5.8", "11.0.0.1"),
        ("::ffff:10.0.0.0/104", "10.9.9.9", "127.0.0.1"),
        ("private", "192.168.3.4", "127.0.0.1"),
        ("private", "64:ff9b::a00:1", "64:ff9b::7f00:1"),
        ("metadata", "169.254.169.254", "169.254.1.1"),
        ("@internal", "10.0.5.9", "10.0.5.8"),
        ("fd00::/8", "fd12::1", "fe80::1"),
        ("64:ff9b::/96", "64:ff9b::a00:1", "10.0.0.1"),
    ] {
        let policy = policy(&format!(
            "[[rule]]\nname = \"r\"\nallow = {{}}\naddress = \"{address}\"\n"
        ));
        let ask = get("a.example");
        let verdict = confirmed(&policy, &ask, &[opened]);
        assert!(
            verdict.starts_with("allow"),
            "{address} {opened}: {verdict}"
        );
        let verdict = confirmed(&policy, &ask, &[closed]);
        assert!(verdict.starts_with("deny"), "{address} {closed}: {verdict}");
    }
}

#[test]
fn the_word_public_beside_a_network_opens_both_and_nothing_more() {
    let policy =
        policy("[[rule]]\nname = \"r\"\nallow = {}\naddress = [\"public\", \"10.0.5.9/32\"]\n");
    assert_eq!(
        confirmed(
            &policy,
            &get("a.example"),
            &["8.8.8.8", "10.0.5.8", "10.0.5.9"]
        ),
        "allow r: 8.8.8.8 10.0.5.9"
    );
}

#[test]
fn the_proxys_own_listeners_are_refused_unless_they_are_named() {
    let own = |address: SocketAddr| {
        ["203.1.1.1:443", "127.0.0.1:443"].contains(&address.to_string().as_str())
    };
    for (rule, address, expected) in [
        ("", "203.1.1.1", Err("OwnListener(203.1.1.1:443)")),
        ("", "::ffff:203.1.1.1", Err("OwnListener(203.1.1.1:443)")),
        (
            "address = \"public\"",
            "203.1.1.1",
            Err("OwnListener(203.1.1.1:443)"),
        ),
        ("address = \"203.1.1.1\"", "203.1.1.1", Ok(1)),
        ("", "203.1.1.2", Ok(1)),
        ("", "127.0.0.1", Err("OwnListener(127.0.0.1:443)")),
        ("address = \"127.0.0.1/32\"", "127.0.0.1", Ok(1)),
        // Whoever allows a whole network does not mean the proxy itself.
        (
            "address = \"loopback\"",
            "127.0.0.1",
            Err("OwnListener(127.0.0.1:443)"),
        ),
        (
            "address = \"127.0.0.0/8\"",
            "127.0.0.1",
            Err("OwnListener(127.0.0.1:443)"),
        ),
    ] {
        for report in ["", "report = true\n"] {
            let text = format!("{report}[[rule]]\nname = \"r\"\nallow = {{}}\n{rule}\n");
            let policy = policy(&text);
            let ask = get("a.example");
            let Verdict::Allow(grant) = policy.decide(&ask.facts()) else {
                panic!("{text}");
            };
            let got = policy.confirm(&grant, &ask.facts(), &addresses(&[address]), &own);
            let got = got
                .map(|permit| permit.addresses().len())
                .map_err(|denial| format!("{:?}", denial.reason));
            assert_eq!(got, expected.map_err(str::to_owned), "{text} {address}");
        }
    }
}

/// The verdict of both moments for endpoints that the operator named.
fn endpoint(policy: &Policy, ask: &Ask, texts: &[&str]) -> String {
    let facts = Facts {
        named_by: NamedBy::Operator,
        ..ask.facts()
    };
    let grant = match policy.decide(&facts) {
        Verdict::Allow(grant) => grant,
        Verdict::Deny(denial) => return format!("deny {} by name", denial.rule.name),
    };
    match policy.confirm_endpoint(&grant, &facts, &addresses(texts)) {
        Ok(permit) => format!("allow {}: {}", permit.rule().name, permit.addresses().len()),
        Err(denial) => format!("deny {}: {:?}", denial.rule.name, denial.reason),
    }
}

#[test]
fn an_endpoint_that_the_operator_named_is_not_guarded_but_judged_by_the_rules() {
    // Named by the client, none of these could be reached.
    for authority in ["a.example", "10.0.0.1", "[::1]", "203.0.113.9"] {
        let ask = get(authority);
        let open = Policy::open("routes");
        assert_eq!(
            endpoint(&open, &ask, GUARDED),
            format!("allow default: {}", GUARDED.len())
        );
        let rules = "[[rule]]\nname = \"ours\"\nallow = {}\naddress = \"10.0.0.0/8\"\n";
        let ours = policy(rules);
        // 10.0.0.1, and four addresses that lead to it: mapped, translated, by 6to4 and by Teredo.
        assert_eq!(
            endpoint(&ours, &ask, GUARDED),
            "allow ours: 5",
            "{authority}"
        );
        let other = endpoint(&ours, &ask, &["8.8.8.8"]);
        assert!(
            other.starts_with("deny default: Address("),
            "{authority}: {other}"
        );
    }
}

#[test]
fn what_a_client_writes_as_its_authority_is_not_where_a_gateway_goes() {
    let denies =
        policy("default = \"allow\"\n[[rule]]\nname = \"no\"\ndeny = {}\naddress = \"10.0.0.1\"\n");
    assert_eq!(
        endpoint(&denies, &get("10.0.0.1"), &["8.8.8.8"]),
        "allow default: 1"
    );
    let other = endpoint(&denies, &get("8.8.8.8"), &["10.0.0.1"]);
    assert_eq!(other, "deny no: Rule");
}

#[test]
fn the_guard_stays_on_for_what_a_client_named_whatever_the_facts_say() {
    let open = policy("default = \"allow\"");
    let ask = Ask {
        named_by: NamedBy::Operator,
        ..get("a.example")
    };
    for address in GUARDED {
        let verdict = confirmed(&open, &ask, &[address]);
        assert!(verdict.contains("Guarded("), "{address}: {verdict}");
    }
}
