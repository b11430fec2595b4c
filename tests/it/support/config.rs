//! The configuration of a test: what every test needs, and what it adds.

use std::fmt::Write as _;

use super::Dns;

/// A configuration with one listener, `egress`, and one policy, `test`.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    top: String,
    opening: String,
    log: String,
    workers: usize,
    listener: String,
    limits: String,
    policy: String,
    more: String,
}

impl Config {
    /// Denies everything.
    pub(crate) fn closed() -> Self {
        Self {
            top: String::new(),
            opening: String::new(),
            log: "format = \"json\"\nto = \"stdout\"".to_owned(),
            workers: 2,
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

    /// Runs with so many workers; each has a cache and a pool of its own.
    pub(crate) fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Adds lines at the top, before any table.
    pub(crate) fn top(mut self, lines: &str) -> Self {
        writeln!(self.top, "{lines}").unwrap();
        self
    }

    /// Adds lines to `[policy.test]`, before its rules.
    pub(crate) fn policy(mut self, lines: &str) -> Self {
        writeln!(self.opening, "{lines}").unwrap();
        self
    }

    /// Writes these lines into `[log.access]`, instead of JSON to standard output.
    pub(crate) fn log(mut self, lines: &str) -> Self {
        lines.clone_into(&mut self.log);
        self
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

    /// Has a cache in memory, with this process's defaults for all else.
    pub(crate) fn cache(self) -> Self {
        self.more("[cache]\nmemory = \"64MiB\"")
    }

    /// Adds tables at the end.
    pub(crate) fn more(mut self, lines: &str) -> Self {
        writeln!(self.more, "{lines}").unwrap();
        self
    }

    /// The text of the file, with `{dir}` still in it.
    pub(crate) fn text(&self) -> String {
        let Self {
            top,
            opening,
            log,
            workers,
            listener,
            limits,
            policy,
            more,
        } = self;
        format!(
            r#"workers = {workers}
{top}
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
{opening}
{policy}
{more}
[log.access]
{log}

[admin]
socket = "{{dir}}/admin.sock"
"#
        )
    }
}
