//! From files to checked values: everything an operator wrote is read, and every fault is told at once.
//! Builds no socket and starts nothing (engine).
//! Start at [`load`].

mod balanced;
mod cache;
mod circles;
mod explain;
mod gateway;
mod listener;
mod policies;
mod upstreams;

pub use balanced::Balanced;
pub use gateway::Forwarded;
pub use listener::ListenerConfig;
pub use policies::PolicyConfig;
pub use upstreams::{UpstreamConfig, Upstreams};

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::cache::Settings;
use crate::fault::{Fault, Faults, Source, quoted};
use crate::message::Via;
use crate::policy::list::List;
use crate::route::RouteTable;
use crate::settings::{Located, Table};
use crate::tls::certificates::Expiring;
use crate::tls::connector;
use crate::{pool, relay, report, resolve};

/// A configuration that was read and is free of faults.
#[derive(Debug)]
pub struct Config {
    /// The file, or `<built-in>`.
    pub path: PathBuf,
    /// Worker threads; `None` for one per core.
    pub workers: Option<usize>,
    /// The listeners, in the file's order.
    pub listeners: Vec<ListenerConfig>,
    /// The policies, by name.
    pub policies: Vec<PolicyConfig>,
    /// The upstreams.
    pub upstreams: Upstreams,
    /// The routes of gateways.
    pub routes: Arc<RouteTable>,
    /// How names are resolved.
    pub dns: resolve::Plan,
    /// How origins are reached.
    pub origin: pool::Origin,
    /// How tunnels are intercepted, where that is set up.
    pub intercept: Option<relay::InterceptSettings>,
    /// The cache, where there is one.
    pub cache: Option<Settings>,
    /// Where access records go.
    pub access: report::Settings,
    /// The admin socket, where one is named.
    pub admin: Option<PathBuf>,
    /// How long exchanges and tunnels may go on after the drain began.
    pub drain: Duration,
}

impl Config {
    /// The lists of all policies.
    pub fn lists(&self) -> impl Iterator<Item = &Arc<List>> {
        self.policies.iter().flat_map(|policy| &policy.lists)
    }

    /// Runs the `[[expect]]` cases of all policies; the faults of those that fail.
    pub fn failed_expectations(&self) -> Vec<Fault> {
        self.outcomes()
            .into_iter()
            .filter_map(|(_, case)| case.err())
            .collect()
    }

    /// What ends on a day that is known: the certificates of the listeners, as they are in force, and the authority's.
    pub fn expiring(&self) -> Vec<Expiring> {
        let servers = self
            .listeners
            .iter()
            .filter_map(|listener| listener.tls.as_ref());
        let authority = self.intercept.as_ref();
        servers
            .flat_map(|server| server.expiring())
            .chain(authority.map(|intercept| intercept.authorities.expiring()))
            .collect()
    }

    /// Each case with its place: passed, or its fault.
    pub fn outcomes(&self) -> Vec<(String, Result<(), Fault>)> {
        let now = Timestamp::now();
        let mut outcomes = Vec::new();
        for policy in &self.policies {
            let listener = self
                .listeners
                .iter()
                .find(|listener| listener.policy_name == policy.name);
            let identify =
                |ip| listener.and_then(|listener| listener.auth.as_ref()?.by_address(ip));
            for case in policy.policy.expectations() {
                let outcome = case.run(&policy.policy, now, &identify);
                let result = case.fault(&outcome).map_or(Ok(()), Err);
                outcomes.push((format!("{} {}", case.at(), outcome.expected), result));
            }
        }
        outcomes
    }
}

/// Reads a configuration file, or the built-in one. Blocks on the disk. Errors: every fault that was found.
pub fn load(path: Option<&Path>) -> Result<Config, Vec<Fault>> {
    let source = match path {
        None => Source::new(BUILT_IN, DEFAULT),
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| {
                vec![Fault::new(
                    format!("cannot read {}: {error}", path.display()),
                    "name a configuration file with -c FILE",
                )]
            })?;
            Source::new(path, text)
        }
    };
    let faults = Faults::new();
    let config = read(&source, &faults);
    match config {
        Some(config) if faults.is_empty() => Ok(config),
        Some(_) | None => Err(faults.into_vec()),
    }
}

/// The admin socket that a configuration names, whatever else is wrong with it.
pub fn admin_socket(path: &Path) -> Option<PathBuf> {
    let source = Source::new(path, std::fs::read_to_string(path).ok()?);
    let ignored = Faults::new();
    Table::parse(&source, &ignored)
        .take::<Table>("admin", &ignored)?
        .take("socket", &ignored)
}

fn read(source: &Arc<Source>, faults: &Faults) -> Option<Config> {
    let root = Table::parse(source, faults);
    // What a file with broken syntax does not have is not reported as missing: the syntax is the fault.
    if !faults.is_empty() {
        return None;
    }
    if let Some(fault) = policy_instead(&root) {
        faults.push(fault);
        return None;
    }
    let of_policies = root.take::<Table>("policy", faults);
    let declared: Vec<String> = of_policies
        .iter()
        .flat_map(Table::remaining)
        .map(|name| name.value)
        .collect();
    let policies = policies::read(of_policies, faults);
    let via = root.take_or("via", Via::default(), faults);
    let origin = read_origin(&root, faults);
    let upstreams = upstreams::read(root.take("upstream", faults), &origin, faults);
    let of_listeners = ((&policies[..], &declared[..]), &upstreams);
    let listeners = listener::read_all(&root, of_listeners, &via, faults);
    let routes = root.take_value("route");
    let routes = gateway::read_routes(routes, &listeners, &upstreams, faults);
    circles::check(&listeners, &routes, &upstreams, faults);
    let workers = read_workers(&root, faults);
    let intercept = read_intercept(root.take("intercept", faults), &policies, faults);
    let dns = resolve::Plan::load(&resolve::Settings::read(root.take_value("dns"), faults));
    let cache = cache::read(root.take("cache", faults), faults);
    let access = read_log(root.take("log", faults), faults);
    let admin = root.take::<Table>("admin", faults).and_then(|table| {
        let socket = table.take("socket", faults);
        table.finish(faults);
        socket
    });
    let drain = root.take_or("drain", DRAIN, faults);
    let dns = dns.map_err(|fault| faults.push(fault)).ok();
    let path = source.path.clone();
    root.finish(faults);
    Some(Config {
        path,
        workers,
        listeners,
        policies,
        upstreams,
        routes: routes.into(),
        dns: dns?,
        origin,
        intercept,
        cache,
        access,
        admin,
        drain,
    })
}

fn read_workers(root: &Table, faults: &Faults) -> Option<usize> {
    let workers = root.take::<Located<usize>>("workers", faults)?;
    if workers.value == 0 || workers.value > MOST_WORKERS {
        faults.push(Fault::at(
            &workers.at,
            "there are 1 to 1024 workers",
            "leave it out for one per core",
        ));
    }
    Some(workers.value)
}

/// The fault where a policy's own file is given in the place of the configuration that names it: no key of either is one of the
/// other.
fn policy_instead(root: &Table) -> Option<Fault> {
    let keys = root.remaining();
    if !keys
        .iter()
        .all(|key| POLICY_KEYS.contains(&key.value.as_str()))
    {
        return None;
    }
    let key = keys.iter().min_by_key(|key| key.at.span.start)?;
    let path = &key.at.source.path;
    let beside = path.with_extension("egret.toml");
    let remedy = if beside.is_file() {
        let beside = quoted(&beside.display().to_string());
        format!("give the configuration that serves it: -c {beside}")
    } else {
        let name = path.display();
        format!(
            "name it in a configuration, and give that: a [[listener]] with policy = \"NAME\", and [policy.NAME] file = \"{name}\""
        )
    };
    let problem = "this is a policy, and no configuration: it has no [[listener]]";
    Some(Fault::at(&key.at, problem, remedy))
}

/// How origins are reached, where nothing else is said of one.
fn read_origin(root: &Table, faults: &Faults) -> pool::Origin {
    let settings = root.take::<Table>("pool", faults);
    let settings = settings.map(|table| pool::Settings::read(table, faults));
    pool::Origin {
        settings: settings.unwrap_or_default(),
        trust: connector::read(root.take("tls", faults), faults),
    }
}

/// A rule that intercepts without an authority could only deny.
fn read_intercept(
    table: Option<Table>,
    policies: &[PolicyConfig],
    faults: &Faults,
) -> Option<relay::InterceptSettings> {
    if let Some(table) = table {
        return relay::InterceptSettings::read(table, faults);
    }
    let mut rules = policies
        .iter()
        .filter_map(|policy| policy.policy.intercepts());
    if let Some((rule, at)) = rules.find_map(|rule| Some((rule, rule.at.as_ref()?))) {
        faults.push(Fault::at(
            at,
            format!("rule \"{}\" intercepts, but no authority is named", rule.name),
            "make one with `egret ca init`, and add: [intercept] authority = { cert = \"ca.pem\", key = { file = \"ca.key\" } }",
        ));
    }
    None
}

fn read_log(table: Option<Table>, faults: &Faults) -> report::Settings {
    let Some(table) = table else {
        return report::Settings::default();
    };
    let access = table.take::<Table>("access", faults);
    table.finish(faults);
    access.map_or_else(report::Settings::default, |table| {
        report::Settings::read(table, faults)
    })
}

/// What faults call the configuration of a process without a file.
pub const BUILT_IN: &str = "<built-in>";
/// The configuration of a process without a file.
pub const DEFAULT: &str = include_str!("default.toml");

/// What stands at the top of a policy's file: what `policy/source` takes, and `list`.
const POLICY_KEYS: [&str; 6] = ["default", "report", "list", "condition", "rule", "expect"];
const DRAIN: Duration = Duration::from_secs(30);
const MOST_WORKERS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_configuration_is_without_fault() {
        let config = load(None).expect("the built-in configuration loads");
        assert_eq!(config.listeners.len(), 1);
    }

    #[test]
    fn all_faults_are_told_at_once_each_at_its_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("egret.toml");
        let text = "drian = \"5s\"\nworkers = 0\n[[listener]]\nname = \"a\"\nbind = \"127.0.0.1\"\nmode = \"forwrd\"\npolicy = \"b\"\n\
                    [[listener]]\nname = \"a\"\nbind = \"127.0.0.1:1\"\nmode = \"forward\"\npolicy = \"none\"\n[policy.b]\n[[policy.b.rule]]\nname = \"x\"\nallow = {}\nhosts = \"y\"\n";
        std::fs::write(&path, text).expect("written");
        let faults = load(Some(&path)).expect_err("it is faulty");
        let shown: Vec<String> = faults.iter().map(ToString::to_string).collect();
        let all = shown.join("\n");
        for part in [
            ":1:1: unknown key \"drian\"",
            ":2:11: there are 1 to 1024 workers",
            ":5:8:",
            ":6:8: \"forwrd\"",
            ":9:8: there are two listeners named \"a\"",
            ":12:10: there is no policy \"none\"",
            "\"hosts\"",
        ] {
            assert!(all.contains(part), "{part} is missing in\n{all}");
        }
    }

    #[test]
    fn an_address_that_is_bound_twice_is_a_fault_at_its_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("egret.toml");
        let faults = |first: &str, second: &str| -> Vec<String> {
            let listener = |name: &str, bind: &str| {
                format!(
                    "[[listener]]\nname = \"{name}\"\nbind = {bind}\nmode = \"forward\"\npolicy = \"p\"\n"
                )
            };
            let text = format!(
                "{}{}[policy.p]\n",
                listener("a", first),
                listener("b", second)
            );
            std::fs::write(&path, text).expect("written");
            let faults = load(Some(&path)).err().unwrap_or_default();
            faults.iter().map(ToString::to_string).collect()
        };
        let twice = faults("\"127.0.0.1:3128\"", "[\"[::1]:3128\", \"127.0.0.1:3128\"]");
        assert_eq!(twice.len(), 1);
        assert!(
            twice[0].contains(":8:23: 127.0.0.1:3128 is bound twice"),
            "{twice:?}"
        );
        let wide = faults("\"0.0.0.0:3128\"", "\"127.0.0.1:3128\"");
        assert!(
            wide[0].contains("127.0.0.1:3128 meets 0.0.0.0:3128"),
            "{wide:?}"
        );
        for (first, second) in [
            ("\"127.0.0.1:0\"", "\"127.0.0.1:0\""),
            ("\"0.0.0.0:3128\"", "\"[::]:3128\""),
            ("\"127.0.0.1:3128\"", "\"127.0.0.2:3128\""),
        ] {
            assert_eq!(
                faults(first, second),
                Vec::<String>::new(),
                "{first} {second}"
            );
        }
    }
}
