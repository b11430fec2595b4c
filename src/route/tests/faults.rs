//! What is wrong with routes, and what is told about it.

use super::read_text;

/// A text, and the one thing that is told of it.
const WRONG: &[(&str, &str)] = &[
    ("", "does nothing"),
    ("to = \"ap\"", "there is no upstream \"ap\""),
    ("to = \"app\"\nredirect = \"/x\"", "more than one thing"),
    ("redirect = \"/x\"\nrespond = {}", "more than one thing"),
    (
        "redirect = \"/x\"\nmaintenance = true",
        "more than one thing",
    ),
    ("to = []", "some requests have no upstream"),
    (
        "to = [{ upstream = \"app\", weight = 0 }, { upstream = \"old\", weight = 0 }]",
        "weight 0",
    ),
    (
        "to = [{ upstream = \"app\", when = { header = { x = \"1\" } } }]",
        "some requests have no",
    ),
    (
        "to = [\"app\", { upstream = \"new\", when = {} }]",
        "asks for nothing",
    ),
    (
        "to = [\"app\", { upstream = \"new\", weight = 2, when = { cookie = { c = true } } }]",
        "both when and weight",
    ),
    ("to = [\"app\", { weight = 2 }]", "\"upstream\" is missing"),
    ("to = 7", "expected the name of an upstream"),
    ("to = \"app\"\nlistener = \"wbe\"", "no listener \"wbe\""),
    ("to = \"app\"\nhost = \"a*.example\"", "is a glob"),
    (
        "to = \"app\"\nhost = \"http://a.example\"",
        "more than a host",
    ),
    ("to = \"app\"\nhost = \"a.example:443\"", "more than a host"),
    ("to = \"app\"\nhost = []", "no host is named"),
    ("to = \"app\"\npath = \"api\"", "no slash in front"),
    ("to = \"app\"\npath = []", "no path is named"),
    ("to = \"app\"\npath = \"/a/../b\"", "dot segments"),
    ("to = \"app\"\npath = \"/a b\"", "visible ASCII"),
    ("to = \"app\"\npath = \"/a//*\"", "empty segment"),
    ("to = \"app\"\npath = \"/a?b=c\"", "without query"),
    ("to = \"app\"\npath = \"/{a\"", "not a valid glob"),
    (
        "to = \"app\"\npath = { regex = \"(\" }",
        "not a regular expression",
    ),
    ("to = \"app\"\npath = {}", "\"regex\" is missing"),
    ("to = \"app\"\nmethod = \"get\"", "case-sensitive"),
    ("to = \"app\"\nmethod = []", "no method is named"),
    (
        "to = \"app\"\nheader = { \"a b\" = \"1\" }",
        "not a field name",
    ),
    (
        "to = \"app\"\nheader = { a = false }",
        "only be asked to be there",
    ),
    ("to = \"app\"\nheader = {}", "nothing is named"),
    ("to = \"app\"\nquery = { a = [] }", "no value is named"),
    ("to = \"app\"\nnmae = \"x\"", "unknown key \"nmae\""),
    ("to = \"app\"\nname = \"a\\nb\"", "is not a name"),
    ("redirect = { to = \"ftp://x\" }", "no place to redirect to"),
    ("redirect = { to = \"//x\" }", "no place to redirect to"),
    (
        "redirect = { to = \"https://{path}\" }",
        "no place to redirect to",
    ),
    (
        "redirect = { to = \"https://x/{user}\" }",
        "no variable \"{user}\"",
    ),
    (
        "redirect = { to = \"/x\", status = 304 }",
        "not a redirect's status",
    ),
    ("respond = { status = 99 }", "not the status of an answer"),
    ("respond = { status = 204, body = \"x\" }", "has no content"),
    (
        "respond = { body = \"x\", file = \"small.html\" }",
        "body and file",
    ),
    ("respond = { file = \"none.html\" }", "cannot read"),
    (
        "respond = { file = \"large.html\" }",
        "larger than 1024 KiB",
    ),
    (
        "respond = { headers = { content-length = \"7\" } }",
        "belongs to framing",
    ),
    (
        "maintenance = { allow = [\"10.0.0.0/8\"] }",
        "nowhere to go",
    ),
    ("maintenance = false", "does nothing"),
    (
        "maintenance = { allow = [\"x\"] }\nto = \"app\"",
        "neither an address",
    ),
    (
        "to = \"app\"\nrewrite = { strip-prefix = \"/\" }",
        "beginning of every path",
    ),
    (
        "to = \"app\"\nrewrite = { strip-prefix = \"api\" }",
        "no slash in front",
    ),
    (
        "to = \"app\"\nrewrite = { strip-prefix = \"/api/*\" }",
        "no wildcards",
    ),
    (
        "to = \"app\"\nrewrite = { strip-prefix = \"/a\", path = \"/b\" }",
        "in two ways",
    ),
    ("to = \"app\"\nrewrite = { path = \"//b\" }", "two slashes"),
    (
        "to = \"app\"\nrewrite = { path = \"/b?c\" }",
        "query is not rewritten",
    ),
    (
        "to = \"app\"\nrewrite = { replace = { regex = \"/a\", with = \"/$1\" } }",
        "no group \"1\"",
    ),
    (
        "to = \"app\"\nrewrite = { replace = { regex = \"/(a)\", with = \"/$1x\" } }",
        "no group \"1x\"",
    ),
    (
        "to = \"app\"\nrewrite = { replace = { regex = \"/(a)\", with = \"$1\" } }",
        "no slash in front",
    ),
    ("to = \"app\"\nrewrite = { host = \"a b\" }", "host"),
    ("to = \"app\"\nrate = \"x\"", "is not a rate"),
    (
        "to = \"app\"\nheaders = { request = { set = { x = \"{clinet}\" } } }",
        "no variable \"{clinet}\"",
    ),
    (
        "to = \"app\"\ntimeouts = { connect = \"0s\" }",
        "\"connect\" can not be no time",
    ),
    (
        "to = \"app\"\ntimeouts = { read = \"1s\" }",
        "unknown key \"read\"",
    ),
    (
        "to = \"app\"\nbuffer = { request = \"1GiB\" }",
        "not the size of a buffer",
    ),
    (
        "to = \"app\"\nmirror = { to = \"apq\" }",
        "there is no upstream",
    ),
    (
        "to = \"app\"\nmirror = { to = \"old\", share = \"101%\" }",
        "not a share",
    ),
    (
        "to = \"app\"\nmirror = { to = \"old\", share = \"0%\" }",
        "not a share",
    ),
    (
        "to = \"app\"\nerror-pages = { 200 = \"small.html\" }",
        "not the status of an error",
    ),
    (
        "to = \"app\"\nerror-pages = { 502 = \"none.html\" }",
        "cannot read",
    ),
    (
        "to = \"app\"\nlimits = { body = \"1KiB\" }",
        "unknown key \"body\"",
    ),
    ("to = \"app\"\nretry = { tries = 0 }", "not sent 0 times"),
    (
        "to = \"app\"\nretry = { on = [200] }",
        "not the status of an error",
    ),
];

#[test]
fn each_mistake_is_one_fault_with_a_place() {
    let folder = tempfile::tempdir().expect("a folder for the pages");
    std::fs::write(folder.path().join("small.html"), "x").expect("the folder is ours");
    std::fs::write(folder.path().join("large.html"), vec![b'x'; (1 << 20) + 1])
        .expect("the folder is ours");
    for (text, problem) in WRONG {
        let (_, faults) = read_text(&format!("[[route]]\n{text}\n"), folder.path());
        let told = faults.len() == 1
            && faults
                .iter()
                .all(|fault| fault.problem.contains(problem) && fault.at.is_some());
        assert!(told, "{text}\nexpected: {problem}\n{faults:#?}");
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let text = "[[route]]\nto = \"x\"\nhost = \"*a\"\nrate = \"fast\"\n[[route]]\nredirect = \"x\"\nmethod = \"get\"\n";
    let (_, faults) = read_text(text, std::path::Path::new(""));
    assert_eq!(faults.len(), 5, "{faults:#?}");
}

#[test]
fn a_route_that_is_never_reached_is_a_fault_and_one_that_may_be_is_none() {
    let cases: &[(&str, &str, &str)] = &[
        ("", "", "two default routes"),
        (
            "listener = \"web\"",
            "listener = [\"web\", \"admin\"]",
            "two default routes",
        ),
        ("listener = \"web\"", "", ""),
        ("listener = \"web\"", "listener = \"admin\"", ""),
        ("method = \"GET\"", "", ""),
        ("path = \"/*\"", "host = \"default\"", "two default routes"),
        ("path = \"/a\"", "path = \"/a\"", "\"one\" takes all of it"),
        (
            "path = \"/%61\"",
            "path = [\"/b\", \"/a\"]",
            "\"one\" takes all of it",
        ),
        (
            "path = \"/a/*\"",
            "path = \"/a/**\"",
            "\"one\" takes all of it",
        ),
        ("path = \"/a/*\"", "path = \"/a\"", ""),
        (
            "host = \"A.example\"",
            "host = \"a.example.\"",
            "\"one\" takes all of it",
        ),
        ("host = \"*.example\"", "host = \"a.example\"", ""),
        (
            "method = [\"GET\", \"POST\"]",
            "method = [\"POST\", \"GET\"]",
            "two default routes",
        ),
        (
            "header = { a = \"1\" }",
            "header = { A = [\"1\", \"1\"] }",
            "two default routes",
        ),
        ("header = { a = \"1\" }", "header = { a = \"2\" }", ""),
        (
            "path = \"/a/*\"",
            "path = { regex = \"/a/b+\" }",
            "\"one\" takes all of it",
        ),
        (
            "path = { regex = \"^/a/b/.*\" }",
            "path = \"/a/b/*\"",
            "\"two\" takes all of it",
        ),
        ("path = \"/a/*\"", "path = { regex = \"/a/?b\" }", ""),
        ("path = \"/a/*\"", "path = { regex = \"/a|/b\" }", ""),
        (
            "path = \"/a/*\"\nmethod = \"GET\"",
            "path = { regex = \"/a/b\" }",
            "",
        ),
        (
            "path = { regex = \"/.*\" }",
            "path = { regex = \"/x\" }",
            "\"one\" takes all of it",
        ),
        (
            "path = { regex = \"/x\" }",
            "path = { regex = \"/.*\" }",
            "",
        ),
        (
            "path = { regex = \"/x\" }",
            "path = { regex = \"/x\" }",
            "\"one\" takes all of it",
        ),
    ];
    for (one, two, problem) in cases {
        let text = format!(
            "[[route]]\nname = \"one\"\nto = \"app\"\n{one}\n[[route]]\nname = \"two\"\nto = \"old\"\n{two}\n"
        );
        let (_, faults) = read_text(&text, std::path::Path::new(""));
        let told = match problem.is_empty() {
            true => faults.is_empty(),
            false => {
                faults.len() == 1 && faults.iter().all(|fault| fault.problem.contains(problem))
            }
        };
        assert!(told, "{text}\nexpected: {problem}\n{faults:#?}");
    }
}

#[test]
fn two_routes_of_one_name_are_a_fault() {
    let route = "[[route]]\nname = \"x\"\nto = \"app\"\n";
    let (_, faults) = read_text(
        &format!("{route}{route}host = \"a.b\"\n"),
        std::path::Path::new(""),
    );
    assert_eq!(faults.len(), 1, "{faults:#?}");
    assert!(
        faults
            .iter()
            .all(|fault| fault.problem.contains("have the name \"x\""))
    );
}
