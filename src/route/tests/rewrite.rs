//! What becomes of targets, in tables.

use super::super::{HostRewrite, Unrewritable};
use super::one;

#[test]
fn targets_are_rewritten_and_keep_the_spelling_of_the_rest() {
    const INVALID: Result<&str, Unrewritable> = Err(Unrewritable::Invalid);
    const AMBIGUOUS: Result<&str, Unrewritable> = Err(Unrewritable::Ambiguous);
    let strip = "strip-prefix = \"/api\"";
    let deep = "strip-prefix = \"/caf%C3%A9/x/\"";
    let prefix = "replace-prefix = { from = \"/old\", to = \"/new/\" }";
    let regex = "replace = { regex = \"/user/([^/]+)(/.*)?\", with = \"/u/${1}$2\" }";
    let swap = "replace = { regex = \"/(.*)/([^/]*)\", with = \"/$2/$1\" }";
    let loose = "replace = { regex = \"/x/(.*)\", with = \"/$1\" }";
    let cut = "replace = { regex = \"/(..)(.*)\", with = \"/$1/$2\" }";
    for (rewrite, sent, expected) in [
        ("host = \"endpoint\"", "/a%2fb?c", Ok("/a%2fb?c")),
        (strip, "/api", Ok("/")),
        (strip, "/api/", Ok("/")),
        (strip, "/api?x=/api", Ok("/?x=/api")),
        (strip, "/api/a%2fb;c?d", Ok("/a%2fb;c?d")),
        (strip, "/%61pi/x", Ok("/x")),
        (strip, "//api///evil.example/x", Ok("/evil.example/x")),
        (strip, "/apix", Ok("/apix")),
        (strip, "/x/api", Ok("/x/api")),
        (strip, "/api%2Fx", AMBIGUOUS),
        (strip, "/api;v=1/x", AMBIGUOUS),
        (strip, "/api/x%2Fy", Ok("/x%2Fy")),
        (strip, "*", Ok("*")),
        (deep, "/caf%c3%A9//x/%7ey", Ok("/%7ey")),
        (prefix, "/old", Ok("/new")),
        (prefix, "/old/", Ok("/new/")),
        (prefix, "/old/a?b", Ok("/new/a?b")),
        (prefix, "/older", Ok("/older")),
        (regex, "/user/7/x?y=$1", Ok("/u/7/x?y=$1")),
        (regex, "/user/a%2fb", Ok("/u/a%2Fb")),
        (swap, "/a/b", Ok("/b/a")),
        (swap, "/a/b%2fc", AMBIGUOUS),
        (swap, "/a/b;c", Ok("/b;c/a")),
        (regex, "/user/%41", Ok("/u/A")),
        (regex, "/users/7", Ok("/users/7")),
        (loose, "/x/y", Ok("/y")),
        // `/` and what was cut out of the path must not make an authority, a dot segment or half an encoding.
        (loose, "/x//y", Ok("/y")),
        (cut, "/.a./x", Ok("/.a/./x").and(INVALID)),
        (cut, "/a%20", INVALID),
        ("path = \"/always\"", "/x?y", Ok("/always?y")),
    ] {
        let route = one(&format!("to = \"app\"\nrewrite = {{ {rewrite} }}"));
        let target = route.rewrite.target(sent);
        assert_eq!(
            target.as_deref().map_err(|e| *e),
            expected,
            "{rewrite} {sent}"
        );
    }
}

#[test]
fn a_result_that_starts_like_an_authority_is_not_sent() {
    let route = one("to = \"app\"\nrewrite = { replace = { regex = \"/x(.*)\", with = \"/$1\" } }");
    assert_eq!(
        route.rewrite.target("/x/evil.example"),
        Err(Unrewritable::Invalid)
    );
}

#[test]
fn the_host_is_the_client_s_unless_another_one_is_named() {
    for (text, expected) in [
        ("", HostRewrite::Preserve),
        ("rewrite = { host = \"preserve\" }", HostRewrite::Preserve),
        ("rewrite = { host = \"endpoint\" }", HostRewrite::Endpoint),
        (
            "rewrite = { host = \"APP.example\" }",
            HostRewrite::Set("app.example".into()),
        ),
        (
            "rewrite = { host = \"app.example:81\" }",
            HostRewrite::Set("app.example:81".into()),
        ),
        (
            "rewrite = { host = \"[::1]\" }",
            HostRewrite::Set("[::1]".into()),
        ),
    ] {
        assert_eq!(
            one(&format!("to = \"app\"\n{text}")).rewrite.host,
            expected,
            "{text}"
        );
    }
}
