//! The operator's own cases.

use super::*;

const RULES: &str = r#"
[[rule]]
name = "malware"
deny = {}
host = "@malware"
[[rule]]
name = "CI fetches packages"
allow = {}
group = "ci"
host = "@registries"
port = 443
[[rule]]
name = "office"
allow = {}
host = "*.partner.example"
method = ["GET", "HEAD"]
path = "/docs/*"
time = "Mon-Fri 08:00-18:00 Europe/Berlin"
[[rule]]
name = "metrics"
allow = {}
principal = "metrics"
address = "10.0.5.9/32"
"#;

fn run(case: &str) -> Outcome {
    let policy = policy(&format!("{RULES}[[expect]]\n{case}\n"));
    let identify = |client: IpAddr| {
        (client == ip("10.20.0.7")).then(|| Principal {
            name: "runner".into(),
            groups: [Arc::from("ci")].into(),
            method: "network",
        })
    };
    let now = "2026-01-07T12:00:00Z".parse().expect("a time");
    policy.expectations()[0].run(&policy, now, &identify)
}

/// A case, whether it passes, and what the policy says.
const CASES: &[(&str, bool, &str)] = &[
    (
        r#"request = { client = "10.20.0.7", url = "https://packages.example/simple/" }
verdict = "allow"
rule = "CI fetches packages""#,
        true,
        "allow by rule \"CI fetches packages\"",
    ),
    (
        r#"request = { client = "10.20.0.8", url = "https://packages.example/simple/" }
verdict = "allow""#,
        false,
        "deny by default",
    ),
    (
        r#"request = { url = "connect://packages.example:443", user = "x", groups = ["ci"] }
verdict = "allow""#,
        true,
        "allow by rule \"CI fetches packages\"",
    ),
    (
        r#"request = { url = "packages.example:443", method = "CONNECT", groups = "ci" }
verdict = "deny""#,
        false,
        "allow by rule \"CI fetches packages\"",
    ),
    (
        r#"request = { client = "10.20.0.7", url = "http://169.254.169.254/latest/meta-data/" }
verdict = "deny""#,
        true,
        "deny by default",
    ),
    (
        r#"request = { url = "https://x.partner.example/docs/a?q=1", method = "GET" }
verdict = "allow"
rule = "office""#,
        true,
        "allow by rule \"office\"",
    ),
    (
        r#"request = { url = "https://x.partner.example/docs/a", method = "GET", at = 2026-01-10T12:00:00Z }
verdict = "deny"
rule = "default""#,
        true,
        "deny by default",
    ),
    (
        r#"request = { url = "https://x.partner.example/docs/a", method = "GET", at = "2026-01-09T18:30:00+01:00" }
verdict = "deny""#,
        true,
        "deny by default",
    ),
    (
        r#"request = { url = "https://x.partner.example/docs/a" }
verdict = "deny""#,
        true,
        "deny by default",
    ),
    (
        r#"request = { url = "http://m.example:9090", user = "metrics", address = "10.0.5.9" }
verdict = "allow"
rule = "metrics""#,
        true,
        "allow by rule \"metrics\"",
    ),
    (
        r#"request = { url = "http://m.example:9090", user = "metrics", address = ["10.0.5.8"] }
verdict = "deny"
rule = "default""#,
        true,
        "deny by default",
    ),
    (
        r#"request = { url = "http://bad.example", user = "metrics" }
verdict = "deny"
rule = "CI fetches packages""#,
        false,
        "deny by rule \"malware\"",
    ),
];

#[test]
fn cases_say_whether_the_policy_does_what_it_must() {
    for &(case, passed, got) in CASES {
        let outcome = run(case);
        assert_eq!(outcome.got, got, "{case}");
        assert_eq!(outcome.passed, passed, "{case}");
    }
}

const GATEWAY: &str = r#"
[[rule]]
name = "admin"
deny = {}
path = "/admin/*"
not = { client = "10.9.0.0/16" }
[[rule]]
name = "near"
allow = {}
port = 443
address = "10.0.0.0/24"
[[rule]]
name = "by name"
allow = { tls = { sni = "required" } }
sni = "www.example"
[[rule]]
name = "sealed"
allow = { tls = { required = true } }
path = "/sealed"
[[rule]]
name = "plain"
allow = {}
host = ["192.0.2.7", "127.0.0.1"]
port = 80
"#;

/// Request, verdict, and what the policy says: of a gateway, and of a proxy.
const AT_A_GATEWAY: &[(&str, &str, &str)] = &[
    // An address as the host names nothing that would be dialled, and guards nothing.
    (
        "url = \"http://127.0.0.1/\"",
        "allow by rule \"plain\"",
        "deny by default",
    ),
    // `https` is a request there, with a path.
    (
        "url = \"https://a.example/admin/x\"",
        "deny by rule \"admin\"",
        "allow by rule \"near\"",
    ),
    (
        "url = \"https://a.example/\", address = \"10.0.0.7\"",
        "allow by rule \"near\"",
        "allow by rule \"near\"",
    ),
    (
        "url = \"https://a.example/\", address = \"10.0.1.7\", hello = { sni = \"a.example\" }",
        "deny by default",
        "deny by default",
    ),
    // Of an endpoint, `address` is a condition and no guard.
    (
        "url = \"http://192.0.2.7/\", address = \"10.0.1.7\"",
        "allow by rule \"plain\"",
        "deny by default",
    ),
    // What the connection began with: of a gateway, before its requests.
    (
        "url = \"https://www.example:8443/\", hello = { sni = \"www.example\" }",
        "allow by rule \"by name\"",
        "allow by rule \"by name\"",
    ),
    (
        "url = \"https://other.example:8443/\", hello = { sni = \"www.example\" }",
        "deny by rule \"by name\"",
        "deny by rule \"by name\"",
    ),
    (
        "url = \"https://www.example:8443/sealed\", method = \"GET\"",
        "allow by rule \"by name\"",
        "allow by rule \"sealed\"",
    ),
    (
        "url = \"http://www.example:8080/sealed\"",
        "deny by rule \"sealed\"",
        "allow by rule \"sealed\"",
    ),
];

#[test]
fn a_case_may_be_about_a_request_to_a_gateway() {
    for &(request, of_gateway, of_proxy) in AT_A_GATEWAY {
        for (mode, got) in [("reverse", of_gateway), ("forward", of_proxy)] {
            let verdict = got.split(' ').next().unwrap_or_default();
            let case = format!(
                "[[expect]]\nrequest = {{ mode = \"{mode}\", {request} }}\nverdict = \"{verdict}\"\n"
            );
            let policy = policy(&format!("{GATEWAY}{case}"));
            let case = &policy.expectations()[0];
            let outcome = case.run(&policy, Timestamp::UNIX_EPOCH, &|_| None);
            assert_eq!(outcome.got, got, "{mode}: {request}");
            assert!(outcome.passed, "{mode}: {request}");
        }
    }
}

#[test]
fn a_case_that_fails_is_a_fault_at_its_place() {
    let text = "[[expect]]\nrequest = { url = \"http://a.example\" }\nverdict = \"allow\"\n[[rule]]\nname = \"web\"\nallow = {}\nport = 81\n";
    let policy = policy(text);
    let case = &policy.expectations()[0];
    let outcome = case.run(&policy, Timestamp::UNIX_EPOCH, &|_| None);
    let fault = case.fault(&outcome).expect("the case fails");
    assert_eq!(
        fault.to_string(),
        "p.toml:1:1: expected allow, got deny by default"
    );
    assert_eq!(
        fault.remedy,
        "to allow it, in rule \"web\" (p.toml:4:1), add 80 to port"
    );
}

#[test]
fn a_policy_under_trial_passes_for_what_it_would_deny() {
    for (verdict, passed) in [("deny", true), ("allow", true)] {
        let text = format!(
            "report = true\n[[expect]]\nrequest = {{ url = \"http://a.example\" }}\nverdict = \"{verdict}\"\n"
        );
        let policy = policy(&text);
        let case = &policy.expectations()[0];
        let outcome = case.run(&policy, Timestamp::UNIX_EPOCH, &|_| None);
        assert_eq!(outcome.passed, passed, "{}", outcome.got);
        assert_eq!(outcome.got, "allow by default (reported: deny by default)");
    }
}

#[test]
fn a_case_that_is_not_understood_is_a_fault() {
    for (case, problem) in [
        ("verdict = \"deny\"", "\"request\" is missing"),
        (
            "request = { url = \"http://a.example\" }",
            "\"verdict\" is missing",
        ),
        (
            "request = { client = \"10.0.0.7\" }\nverdict = \"deny\"",
            "\"url\" is missing",
        ),
        (
            "request = { url = \"ftp://a.example\" }\nverdict = \"deny\"",
            "not the URL of a request",
        ),
        (
            "request = { url = \"connect://a.example\" }\nverdict = \"deny\"",
            "not a port",
        ),
        (
            "request = { url = \"http://0x7f.1/\" }\nverdict = \"deny\"",
            "ambiguous",
        ),
        (
            "request = { url = \"http://u@a.example/\" }\nverdict = \"deny\"",
            "user information",
        ),
        (
            "request = { url = \"http://a.example\", mode = \"revers\" }\nverdict = \"deny\"",
            "\"revers\" is not known",
        ),
        (
            "request = { url = \"connect://a.example:443\", mode = \"reverse\" }\nverdict = \"deny\"",
            "is a tunnel, which no gateway takes",
        ),
        (
            "request = { url = \"https://a.example/\", method = \"CONNECT\", mode = \"reverse\" }\nverdict = \"deny\"",
            "is a tunnel, which no gateway takes",
        ),
        (
            "request = { url = \"http://a.example\", at = \"noon\" }\nverdict = \"deny\"",
            "not a time",
        ),
        (
            "request = { url = \"http://a.example\", clint = \"::1\" }\nverdict = \"deny\"",
            "unknown key \"clint\"",
        ),
        (
            "request = { url = \"http://a.example\" }\nverdict = \"drop\"",
            "\"drop\" is not known",
        ),
        (
            "request = { url = \"http://a.example\" }\nverdict = \"deny\"\nrule = \"malwar\"",
            "no rule \"malwar\"",
        ),
    ] {
        let faults = read(&format!("{RULES}[[expect]]\n{case}\n"));
        let faults = faults.map(|_| ()).expect_err(case);
        assert_eq!(faults.len(), 1, "{case}\n{faults:?}");
        assert!(faults[0].contains(problem), "{case}\n{}", faults[0]);
    }
}
