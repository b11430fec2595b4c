//! Reading: what is not understood is refused, all at once, each at its place.

use super::*;

/// A text, how its one fault begins, and a part of the remedy.
const MISTAKES: &[(&str, &str, &str)] = &[
    (
        "[[rule]]\nname = \"a\"\nallow = {}\nhosts = \"x\"\n",
        "p.toml:4:1: unknown key \"hosts\"",
        "\"host\"",
    ),
    (
        "[[rule]]\nname = \"a\"\nallow = {}\nuser = \"x\"\n",
        "p.toml:4:1: unknown key \"user\"",
        "\"principal\"",
    ),
    (
        "[[rule]]\nname = \"a\"\nallow = {}\nnot = { hst = \"x\" }\n",
        "p.toml:4:9: unknown key \"hst\"",
        "\"host\"",
    ),
    (
        "[[rule]]\nallow = {}\n",
        "p.toml:1:1: \"name\" is missing",
        "by its name",
    ),
    (
        "[[rule]]\nname = \"default\"\nallow = {}\n",
        "p.toml:2:8: a rule can not be named",
        "no rule decides",
    ),
    (
        "[[rule]]\nname = \"a\"\n",
        "p.toml:1:1: the rule neither allows nor denies",
        "allow = {}",
    ),
    (
        "[[rule]]\nname = \"a\"\nallow = {}\ndeny = {}\n",
        "p.toml:4:8: a rule both",
        "keep one",
    ),
    (
        "[[rule]]\nname = \"a\"\nallow = false\n",
        "p.toml:3:9: false says nothing",
        "deny = {}",
    ),
    (
        "[[rule]]\nname = \"a\"\nallow = { rate = \"5\" }\n",
        "p.toml:3:18: \"5\" is not a rate",
        "50/s",
    ),
    (
        "[[rule]]\nname = \"a\"\nallow = { bandwidth = \"5MiB\" }\n",
        "p.toml:3:23: \"5MiB\" is not a bandwidth",
        "10MiB/s",
    ),
    (
        "[[rule]]\nname = \"a\"\ndeny = { status = 200 }\n",
        "p.toml:3:19: 200 is not the status",
        "400 to 599",
    ),
    (
        "[[rule]]\nname = \"a\"\ndeny = { redirect = \"https://a/\\r\\nx: y\" }\n",
        "p.toml:3:21:",
        "help.example",
    ),
    (
        "[[rule]]\nname = \"a\"\ndeny = { stat = 404 }\n",
        "p.toml:3:10: unknown key \"stat\"",
        "\"status\"",
    ),
    (
        "[[rule]]\nname = \"a\"\nallow = {}\nwhen = \"ofice\"\n[condition.office]\nport = 1\n",
        "p.toml:4:8: there is no condition \"ofice\"",
        "\"office\"",
    ),
    (
        "[condition.office]\n",
        "p.toml:1:12: the condition \"office\" asks for nothing",
        "everything",
    ),
    (
        "[[rule]]\nname = \"a\"\nallow = {}\nhost = \"@malwar\"\n",
        "p.toml:4:8: there is no list \"malwar\"",
        "\"@malware\"",
    ),
    (
        "[[rule]]\nname = \"a\"\nallow = {}\nhost = []\n",
        "p.toml:4:8: an empty array",
        "at least one",
    ),
    (
        "defualt = \"allow\"\n",
        "p.toml:1:1: unknown key \"defualt\"",
        "\"default\"",
    ),
    (
        "default = \"alow\"\n",
        "p.toml:1:11: \"alow\" is not known",
        "\"allow\"",
    ),
];

#[test]
fn every_mistake_is_told_at_its_place_with_a_remedy() {
    for &(text, place, remedy) in MISTAKES {
        let faults = read(text).map(|_| ()).expect_err(text);
        assert_eq!(faults.len(), 1, "{text}\n{faults:?}");
        assert!(faults[0].starts_with(place), "{text}\n{}", faults[0]);
        assert!(faults[0].contains(remedy), "{text}\n{}", faults[0]);
    }
}

#[test]
fn two_rules_of_one_name_are_refused_and_all_faults_come_at_once() {
    let text = "[[rule]]\nname = \"a\"\nallow = {}\n[[rule]]\nname = \"a\"\ndeny = {}\nport = 0\n";
    let faults = read(text).map(|_| ()).expect_err(text);
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(
        faults[0].contains("there are two rules \"a\""),
        "{}",
        faults[0]
    );
    assert!(faults[0].contains("p.toml:1:1"), "{}", faults[0]);
    assert!(faults[1].contains("not a port"), "{}", faults[1]);
}

#[test]
fn lists_in_the_file_are_left_to_their_reader() {
    let text = "[list.own]\nhosts = [\"a.example\"]\n[[rule]]\nname = \"a\"\nallow = {}\nhost = \"@registries\"\n";
    assert_eq!(decided(&policy(text), &get("code.example")), "allow a");
}

#[test]
fn a_rule_with_a_credential_names_its_hosts() {
    for (conditions, allowed) in [
        ("host = \"api.example\"", true),
        (
            "host = [\"192.0.2.1\", \"*.example\", \"@registries\"]",
            true,
        ),
        ("host = \"api-*.example\"", true),
        ("when = \"api\"", true),
        ("", false),
        ("port = 443", false),
        ("host = \"*\"", false),
        ("host = [\"api.example\", \"*\"]", false),
        ("host = [\"api.example\", \"**.[a-z]*\"]", false),
        ("not = { host = \"api.example\" }", false),
    ] {
        let text = format!(
            "[condition.api]\nhost = \"api.example\"\n[[rule]]\nname = \"a\"\n{conditions}\n\
             allow = {{ inject = {{ header = \"x-key\", value = {{ env = \"PATH\" }} }} }}\n"
        );
        let faults = read(&text).map(|_| ()).err().unwrap_or_default();
        assert_eq!(faults.is_empty(), allowed, "{conditions}: {faults:?}");
        let named = |fault: &String| fault.contains("host = \"api.example\"");
        assert!(faults.iter().all(named), "{conditions}: {faults:?}");
    }
}
