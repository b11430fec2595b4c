//! Explanations: the whole text, the smallest change, and what must not be in them.

use super::*;

const TEXT: &str = r#"
[condition.ci]
group = "ci"
[[rule]]
name = "known malware"
deny = { status = 403 }
host = "@malware"
[[rule]]
name = "packages"
allow = { rate = "50/s" }
when = "ci"
host = ["@registries", "*.packages.example"]
port = 443
not = { address = "8.8.4.0/24" }
"#;

#[test]
fn a_denial_by_name_is_explained_condition_by_condition() {
    let ask = connect("code.example:8443").by("ann", &["ci"]);
    let explained = policy(TEXT).explain(&ask.facts(), None, &|_| false);
    assert_eq!(
        explained.to_string(),
        r#"CONNECT code.example:8443 (tunnel)
  from 10.0.0.7, ann in ci, listener "egress", at 2026-01-07T12:00:00Z
by name:
  no       deny "known malware" (p.toml:4:1)
      no       host = "@malware"  [code.example]
  no       allow "packages" (p.toml:8:1)
      no       port = 443  [8443]
      yes      host = ["@registries", "*.packages.example"]  [code.example]
      yes      group = "ci" by "ci"  [ci]
      unknown  not address = "8.8.4.0/24"  [not known]
deny by "default": no rule allows it, and the default is deny
smallest change: in rule "packages" (p.toml:8:1), add 8443 to port
"#
    );
}

#[test]
fn an_allowance_is_explained_for_each_address() {
    let ask = connect("code.example:443").by("ann", &["ci"]);
    let resolved = addresses(&["8.8.8.8", "10.0.0.1"]);
    let explained = policy(TEXT).explain(&ask.facts(), Some(&resolved), &|_| false);
    assert_eq!(
        explained.to_string(),
        r#"CONNECT code.example:443 (tunnel)
  from 10.0.0.7, ann in ci, listener "egress", at 2026-01-07T12:00:00Z
by name:
  no       deny "known malware" (p.toml:4:1)
      no       host = "@malware"  [code.example]
  open     allow "packages" (p.toml:8:1)
      yes      port = 443  [443]
      yes      host = ["@registries", "*.packages.example"]  [code.example]
      yes      group = "ci" by "ci"  [ci]
      unknown  not address = "8.8.4.0/24"  [not known]
for the address 8.8.8.8:443:
  no       deny "known malware" (p.toml:4:1)
      no       host = "@malware"  [code.example]
  yes      allow "packages" (p.toml:8:1)
      yes      port = 443  [443]
      yes      host = ["@registries", "*.packages.example"]  [code.example]
      yes      group = "ci" by "ci"  [ci]
      yes      not address = "8.8.4.0/24"  [8.8.8.8, public]
for the address 10.0.0.1:443:
  no       deny "known malware" (p.toml:4:1)
      no       host = "@malware"  [code.example]
  guarded  allow "packages" (p.toml:8:1)
      yes      port = 443  [443]
      yes      host = ["@registries", "*.packages.example"]  [code.example]
      yes      group = "ci" by "ci"  [ci]
      yes      not address = "8.8.4.0/24"  [10.0.0.1, private]
allow by "packages" (p.toml:8:1): the rule holds
  with rate = 50 each second
  to 8.8.8.8:443
"#
    );
    let json = serde_json::to_value(&explained).expect("an explanation is plain data");
    assert_eq!(json["verdict"], "allow");
    assert_eq!(
        json["walks"][1]["rules"][1]["conditions"][3]["outcome"],
        "yes"
    );
    assert_eq!(json["permitted"][0], "8.8.8.8:443");
}

#[test]
fn endpoints_of_a_gateway_are_explained_one_by_one_and_none_is_guarded() {
    let text = "[[rule]]\nname = \"near\"\nallow = {}\naddress = \"10.0.0.0/24\"\n[[rule]]\nname = \"far\"\nallow = {}\naddress = \"10.0.1.0/24\"\n";
    let ask = Ask {
        named_by: NamedBy::Operator,
        ..get("127.0.0.1")
    };
    let policy = policy(text);
    let endpoints = addresses(&["10.0.0.7", "10.0.1.7", "10.0.2.7"]);
    let explained = policy.explain(&ask.facts(), Some(&endpoints), &|_| true);
    assert_eq!((explained.verdict, &*explained.rule), ("allow", "near"));
    assert_eq!(explained.permitted, addresses(&["10.0.0.7", "10.0.1.7"]));
    assert_eq!(explained.walks.len(), 4);
    let explained = policy.explain(&ask.facts(), Some(&endpoints[2..]), &|_| true);
    assert_eq!((explained.verdict, &*explained.rule), ("deny", "default"));
    assert_eq!(
        explained.reason,
        "the name might be allowed, but no rule allows 10.0.2.7"
    );
}

#[test]
fn what_never_comes_to_the_policy_is_explained_as_that() {
    let reason = "404, no route".to_owned();
    let explained = policy(WEB).unasked(&get("a.example").facts(), reason);
    assert_eq!(
        explained.to_string(),
        "GET a.example:80/ (http)\n  from 10.0.0.7, anonymous, listener \"egress\", at 2026-01-07T12:00:00Z\n\
         refused before the policy is asked: 404, no route\n"
    );
}

/// Policy, request, address, change.
type Row<'a> = (&'a str, Ask, Option<&'a str>, &'a str);

fn check_changes(rows: &[Row<'_>]) {
    for (text, ask, address, change) in rows {
        let resolved = address.map(|address| addresses(&[address]));
        let policy = policy(text);
        let explained = policy.explain(&ask.facts(), resolved.as_deref(), &|_| false);
        assert_eq!(
            explained.smallest_change.as_deref(),
            Some(*change),
            "{text}"
        );
    }
}

const WEB: &str = "[[rule]]\nname = \"web\"\nallow = {}\nport = [80, 443]\n";

#[test]
fn a_guarded_address_is_to_be_named_where_it_would_be_allowed() {
    let narrow = "[[rule]]\nname = \"n\"\nallow = {}\naddress = [\"0.0.0.0/0\"]\n";
    let name = "in rule \"web\" (p.toml:1:1), write address = [\"public\", \"10.0.5.9/32\"]";
    let add = "in rule \"n\" (p.toml:1:1), add \"127.0.0.1/32\" to address";
    check_changes(&[
        (WEB, get("10.0.5.9"), None, name),
        (WEB, get("a.example"), Some("10.0.5.9"), name),
        (narrow, get("a.example"), Some("127.0.0.1"), add),
    ]);
}

#[test]
fn the_one_condition_that_fails_is_to_be_completed() {
    let office = "[[rule]]\nname = \"office\"\nallow = {}\ntime = \"Mon 08:00-09:00 UTC\"\n";
    let named = "[condition.c]\nport = 1\n[[rule]]\nname = \"r\"\nallow = {}\nwhen = \"c\"\n";
    let not = "[[rule]]\nname = \"r\"\nallow = {}\nnot = { port = 80 }\n";
    let two = "[[rule]]\nname = \"far\"\nallow = {}\nhost = \"far.example\"\n[[rule]]\nname = \"near\"\nallow = {}\nhost = \"a.example\"\nmethod = \"PUT\"\n";
    let group = "[[rule]]\nname = \"ci\"\nallow = {}\ngroup = \"ci\"\n";
    let ask = get("a.example");
    let ann = ask.clone().by("ann", &["dev"]);
    let add_port = "in rule \"web\" (p.toml:1:1), add 8080 to port";
    let wait = "rule \"office\" (p.toml:1:1) would allow it if time = \"Mon 08:00-09:00 UTC\" held, which saw: Wed 12:00 UTC";
    let who =
        "rule \"ci\" (p.toml:1:1) would allow it if group = \"ci\" held, which saw: not known";
    let in_named = "in condition \"c\" of rule \"r\" (p.toml:3:1), add 80 to port";
    let out = "in rule \"r\" (p.toml:1:1), take port = 80 out of not";
    check_changes(&[
        (WEB, get("a.example:8080"), None, add_port),
        (office, ask.clone(), None, wait),
        (group, ask.clone(), None, who),
        (
            group,
            ann,
            None,
            "in rule \"ci\" (p.toml:1:1), add \"dev\" to group",
        ),
        (named, ask.clone(), None, in_named),
        (not, ask.clone(), None, out),
        (
            two,
            ask,
            None,
            "in rule \"near\" (p.toml:5:1), add \"GET\" to method",
        ),
    ]);
}

#[test]
fn a_request_is_to_be_exempted_from_a_denial_or_given_a_rule() {
    let deny = format!("[[rule]]\nname = \"bad\"\ndeny = {{}}\nhost = \"*.example\"\n{WEB}");
    let deny_not =
        format!("[[rule]]\nname = \"bad\"\ndeny = {{}}\nnot = {{ host = \"b.example\" }}\n{WEB}");
    let last = "[[rule]]\nname = \"last\"\ndeny = {}\n";
    let rule = "[[rule]]\nname = \"allow a.example:80\"\nallow = {}\nclient = \"10.0.0.7/32\"\nhost = \"a.example\"\nport = 80";
    let new = "in rule \"bad\" (p.toml:1:1), write not = { host = \"a.example\" }";
    let add = "in rule \"bad\" (p.toml:1:1), add \"a.example\" to host under not";
    let loopback = "add\n[[rule]]\nname = \"allow [::1]:22\"\nallow = {}\nprincipal = \"ann\"\naddress = \"::1/128\"\nport = 22";
    let ask = get("a.example");
    let ann = get("[::1]:22").by("ann", &[]);
    check_changes(&[
        (&deny, ask.clone(), None, new),
        (&deny_not, ask.clone(), None, add),
        ("", ask.clone(), None, &format!("add\n{rule}")),
        (
            last,
            ask,
            None,
            &format!("before rule \"last\" (p.toml:1:1), add\n{rule}"),
        ),
        ("default = \"allow\"", ann, None, loopback),
    ]);
}

#[test]
fn a_rule_that_is_proposed_is_one_that_allows() {
    for (text, ask, address) in [
        ("", get("a.example"), None),
        (
            "[[rule]]\nname = \"x\"\nallow = {}\nport = 1\nhost = \"b.example\"\n",
            get("a.example:81"),
            None,
        ),
        ("default = \"allow\"", get("[::1]:22"), None),
        ("default = \"allow\"", get("a.example:22"), Some("10.0.5.9")),
    ] {
        let resolved = address.map(|address| addresses(&[address]));
        let explained = policy(text).explain(&ask.facts(), resolved.as_deref(), &|_| false);
        let change = explained.smallest_change.expect("a denial has one");
        let rule = change.strip_prefix("add\n").expect("a rule is proposed");
        let changed = policy(&format!("{text}\n{rule}\n"));
        let explained = changed.explain(&ask.facts(), resolved.as_deref(), &|_| false);
        assert_eq!(explained.verdict, "allow", "{explained}");
    }
}

#[test]
fn no_credential_is_ever_shown() {
    let policy = policy(
        r#"
[[rule]]
name = "r"
allow = {}
header = { authorization = "Bearer secret*", cookie = true, proxy-authorization = ["Basic secret"], x-build = "7*" }
not = { header = { cookie = "secret=*" } }
"#,
    );
    let mut ask = get("a.example");
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("authorization", "Bearer secret1"),
        ("proxy-authorization", "Basic secret"),
        ("cookie", "secret=1"),
        ("x-build", "7\u{1b}[2J".replace('\u{1b}', "\t").as_str()),
    ] {
        headers.append(name, value.parse().expect("a field value"));
    }
    ask.headers = Some(headers);
    let explained = policy.explain(&ask.facts(), None, &|_| false);
    let json = serde_json::to_string(&explained).expect("an explanation is plain data");
    for text in [explained.to_string(), json, format!("{policy:?}")] {
        assert!(!text.contains("Bearer"), "{text}");
        assert!(!text.contains("secret="), "{text}");
        assert!(!text.contains("Basic secret"), "{text}");
    }
    assert!(
        explained.to_string().contains("x-build: 7\\t[2J"),
        "{explained}"
    );
}

#[test]
fn what_a_connection_to_a_gateway_lacks_is_a_denial_by_the_rule_that_demands_it() {
    let text = "[[rule]]\nname = \"sealed\"\nallow = { tls = { required = true } }\n";
    let ask = get("www.example");
    for (named_by, verdict, permitted) in [
        (NamedBy::Operator, "deny", 0),
        // A proxy's client is asked over TLS or not, as it likes: the demand is one of tunnels.
        (NamedBy::Client, "allow", 1),
    ] {
        let facts = Facts {
            named_by,
            ..ask.facts()
        };
        for addresses in [None, Some(addresses(&["8.8.8.8"]))] {
            let explained = policy(text).explain(&facts, addresses.as_deref(), &|_| false);
            assert_eq!(explained.verdict, verdict, "{named_by:?} {addresses:?}");
            assert_eq!(explained.rule, "sealed");
            let expected = addresses.map_or(0, |_| permitted);
            assert_eq!(explained.permitted.len(), expected);
            assert_eq!(explained.smallest_change, None);
        }
    }
}
