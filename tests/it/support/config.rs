//! The configuration of a test: what every test needs, and what it adds.

use std::fmt::Write as _;

use super::Dns;

/// A configuration with one listener, `egress`, and one policy, `test`.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    listener: String,
    limits: String,
    policy: String,
    more: String,
}

impl Config {
    /// Denies everything.
    pub(crate) fn closed() -> Self {
        Self {
            listener: String::new(),
            limits: String::new(),
            policy: String::new(),
            more: String::new(),
        }
    }

    /// Allows whatever is at a loopback address, where the origins of the tests are.
    pub(crate) fn loopback() -> Self {
        Self::closed().rule("name = \"loopback\"\nallow = {}\naddress = \"127.0.0.0/8\"")
    }

    /// Adds lines to `[[listener]]`.
    pub(crate) fn listener(mut self, lines: &str) -> Self {
        writeln!(self.listener, "{lines}").unwrap();
        self
    }

    /// Adds lines to `[listener.limits]`.
    pub(crate) fn limits(mut self, lines: &str) -> Self {
        writeln!(self.limits, "{lines}").unwrap();
        self
    }

    /// Adds a rule after those that are there.
    pub(crate) fn rule(mut self, lines: &str) -> Self {
        writeln!(self.policy, "[[policy.test.rule]]\n{lines}").unwrap();
        self
    }

    /// Asks this server for names.
    pub(crate) fn dns(self, dns: &Dns) -> Self {
        let address = dns.address;
        self.more(&format!("[dns]\nservers = [\"{address}\"]"))
    }

    /// Trusts the authority in `{dir}/ca.pem`.
    pub(crate) fn roots(self) -> Self {
        self.more("[tls]\nroots = [\"{dir}/ca.pem\"]")
    }

    /// Adds tables at the end.
    pub(crate) fn more(mut self, lines: &str) -> Self {
        writeln!(self.more, "{lines}").unwrap();
        self
    }

    /// The text of the file, with `{dir}` still in it.
    pub(crate) fn text(&self) -> String {
        let Self {
            listener,
            limits,
            policy,
            more,
        } = self;
        format!(
            r#"workers = 2

[[listener]]
name = "egress"
bind = "127.0.0.1:0"
mode = "forward"
policy = "test"
{listener}
[listener.limits]
{limits}
[policy.test]
default = "deny"
{policy}
{more}
[log.access]
format = "json"
to = "stdout"

[admin]
socket = "{{dir}}/admin.sock"
"#
        )
    }
}
