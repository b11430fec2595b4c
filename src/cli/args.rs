//! What can be typed; and what is printed from the same table: completions and the pages of the manual.
//! Does no command but these.
//! Start at [`Cli`].

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};

use super::complain;
use crate::fault::{Fault, suggest};
use crate::tls::trust::STORES;

/// Forward proxy and secure egress gateway: decides, explains and records every connection that leaves.
#[derive(Debug, Parser)]
#[command(name = "egret", version, after_help = EXAMPLES, args_conflicts_with_subcommands = false)]
pub struct Cli {
    /// The configuration file; without one, a built-in configuration for this machine alone
    #[arg(short, long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The admin socket of the running process, instead of the configuration's
    #[arg(long, global = true, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// What to do; `run` if nothing is said
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Options of `run`, which may be left out
    #[command(flatten)]
    pub run: Run,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve
    #[command(
        after_help = "Signals: TERM drains and ends, HUP reloads, USR1 opens the access log anew, USR2 upgrades."
    )]
    Run(Run),
    /// Load everything, tell every fault at once, run the [[expect]] cases
    Check,
    /// Run the [[expect]] cases of the policies
    Test,
    /// Say what becomes of a request, and why
    Explain(Explain),
    /// Load the configuration anew in the running process
    Reload {
        /// Reload although [[expect]] cases fail; the log says so
        #[arg(long)]
        ignore_expect: bool,
    },
    /// Accept nothing more, let the running process end when everything has ended
    Drain,
    /// Start the program anew, hand it the listening sockets, and let the running process drain
    Upgrade,
    /// Say how the running process is
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// List live tunnels and exchanges, or end some
    Flows(Flows),
    /// Say what the running process has stored, or take it out
    Cache {
        /// What to do with it
        #[command(subcommand)]
        action: CacheAction,
    },
    /// Say how upstreams and their endpoints are, or change what is wanted of an endpoint
    Upstream {
        /// What to do with it
        #[command(subcommand)]
        action: UpstreamAction,
    },
    /// Make an htpasswd line; the password is read from standard input
    Hash(Hash),
    /// Make the authority that signs for intercepted connections, or hand it out to clients
    Ca {
        /// What to do with it
        #[command(subcommand)]
        action: CaAction,
    },
    /// List the conditions that a rule can have
    Conditions,
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or that of a command
    #[command(after_help = MAN_EXAMPLES)]
    Man {
        /// The command, as it is typed; egret itself if nothing is said
        #[arg(value_name = "COMMAND")]
        command: Vec<String>,
    },
}

/// Options of `run`.
#[derive(Debug, Clone, Default, Args)]
pub struct Run {
    /// Worker threads; one per core if nothing is said
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub workers: Option<u16>,
    /// Start although [[expect]] cases fail
    #[arg(long)]
    pub ignore_expect: bool,
}

/// Options of `explain`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXPLAIN_EXAMPLES)]
pub struct Explain {
    /// A URL, host:port for a tunnel, a whole request line, or the id of a record of the running process
    #[arg(value_name = "URL|LINE|ID")]
    pub what: String,
    /// The client's address
    #[arg(long, value_name = "IP")]
    pub from: Option<IpAddr>,
    /// The client's principal
    #[arg(long)]
    pub user: Option<String>,
    /// A group of the client; may be said again
    #[arg(long)]
    pub group: Vec<String>,
    /// The method; without one, https URLs are tunnels as clients of a proxy make them, and GET for a gateway
    #[arg(long)]
    pub method: Option<String>,
    /// When it is asked, as 2026-11-24T10:00:00Z
    #[arg(long, value_name = "TIME")]
    pub at: Option<jiff::Timestamp>,
    /// A field of the request, as "name: value"; may be said again
    #[arg(long, value_name = "FIELD")]
    pub header: Vec<String>,
    /// An address that the name resolves to, or of a gateway's endpoint; may be said again
    #[arg(long, value_name = "IP")]
    pub address: Vec<IpAddr>,
    /// The listener; if nothing is said, the first one that takes such a request (of gateways, one that has a route for it)
    #[arg(long, value_name = "NAME")]
    pub listener: Option<String>,
    /// Ask the running process, which resolves the name too
    #[arg(long)]
    pub live: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Options of `flows`.
#[derive(Debug, Clone, Args)]
pub struct Flows {
    /// End the flows instead of listing them
    #[arg(value_parser = ["kill"], value_name = "kill")]
    pub action: Option<String>,
    /// Which: user=alice, client=10.0.0.0/8, host=*.example.com, rule=…, kind=tunnel, age>10m; joined by commas
    #[arg(long = "where", value_name = "FILTER")]
    pub filter: Option<String>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// What `cache` does.
#[derive(Debug, Clone, Subcommand)]
pub enum CacheAction {
    /// Take stored responses out, so that they are not used again
    #[command(after_help = PURGE_EXAMPLES)]
    Purge(CachePurge),
    /// Say what is stored of a URL, each variant; exit code 1 if nothing is
    Inspect {
        /// The URL, whole
        #[arg(value_name = "URL")]
        url: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Say how much is stored, and what has become of requests
    Stats {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

/// Options of `cache purge`.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub struct CachePurge {
    /// One URL, whole: all its variants
    #[arg(value_name = "URL")]
    pub url: Option<String>,
    /// All URLs that begin so
    #[arg(long, value_name = "URL")]
    pub prefix: Option<String>,
    /// All that bears this tag, in Surrogate-Key or Cache-Tag
    #[arg(long)]
    pub tag: Option<String>,
    /// Everything
    #[arg(long)]
    pub all: bool,
}

/// What `upstream` does.
#[derive(Debug, Clone, Subcommand)]
pub enum UpstreamAction {
    /// List the endpoints, how they are and what they do
    List {
        /// One upstream; all if nothing is said
        #[arg(value_name = "UPSTREAM")]
        upstream: Option<String>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Give an endpoint no new requests, but those of sessions that are bound to it by cookie
    #[command(after_help = UPSTREAM_NOTE)]
    Drain(OfEndpoint),
    /// Give an endpoint no requests at all; sessions that are bound to it go elsewhere
    #[command(after_help = UPSTREAM_NOTE)]
    Disable(OfEndpoint),
    /// Give an endpoint requests again
    Enable(OfEndpoint),
    /// Give an endpoint another part of the requests than the configuration says
    #[command(after_help = UPSTREAM_NOTE)]
    Weight {
        /// Which endpoint
        #[command(flatten)]
        of: OfEndpoint,
        /// The weight, 0 to 1000, or `reset` for the configured one
        #[arg(value_parser = weight)]
        weight: Weight,
    },
}

/// An endpoint of an upstream.
#[derive(Debug, Clone, Args)]
pub struct OfEndpoint {
    /// The upstream
    #[arg(value_name = "UPSTREAM")]
    pub upstream: String,
    /// Its endpoint: address and port, or the name that it was found under
    #[arg(value_name = "ENDPOINT")]
    pub endpoint: String,
}

/// A weight as it is typed; `None` for the configured one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weight(pub Option<u32>);

fn weight(text: &str) -> Result<Weight, String> {
    if text == "reset" {
        return Ok(Weight(None));
    }
    let number = text.parse().ok().filter(|number| *number <= 1000);
    let number: u32 = number.ok_or("write a number from 0 to 1000, or reset")?;
    Ok(Weight(Some(number)))
}

/// Options of `hash`.
#[derive(Debug, Clone, Args)]
pub struct Hash {
    /// The user's name; without one, only the hash is printed
    pub user: Option<String>,
    /// How: bcrypt, argon2id or sha512
    #[arg(long, default_value = "bcrypt", value_parser = ["bcrypt", "argon2id", "sha512"])]
    pub method: String,
}

/// What `ca` does.
#[derive(Debug, Clone, Subcommand)]
pub enum CaAction {
    /// Make a root of its own
    #[command(after_help = CA_EXAMPLES)]
    Init(CaInit),
    /// Make a request for another authority to certify: an intermediate of the company's
    Request(CaRequest),
    /// Write the certificate for clients, or the commands with which they trust it
    Export(CaExport),
}

/// Options of `ca init`.
#[derive(Debug, Clone, Args)]
pub struct CaInit {
    /// The file of its certificate
    #[arg(long, default_value = "ca.pem", value_name = "FILE")]
    pub cert: PathBuf,
    /// Days that it is valid
    #[arg(long, default_value_t = 3650, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_950))]
    pub days: u32,
    /// A name (with all below it), address or network that it may sign for, and for nothing else; may be said again
    #[arg(long, value_name = "NAME")]
    pub permit: Vec<String>,
    /// Its key
    #[command(flatten)]
    pub key: CaKey,
}

/// Options of `ca request`.
#[derive(Debug, Clone, Args)]
pub struct CaRequest {
    /// The file of the request
    #[arg(long, default_value = "ca.csr", value_name = "FILE")]
    pub request: PathBuf,
    /// Its key
    #[command(flatten)]
    pub key: CaKey,
}

/// How an authority is called, and where its key is written.
#[derive(Debug, Clone, Args)]
pub struct CaKey {
    /// The file of its private key
    #[arg(long, default_value = "ca.key", value_name = "FILE")]
    pub key: PathBuf,
    /// What it is called
    #[arg(long, default_value = "Egret CA")]
    pub name: String,
    /// Encrypt the key with a passphrase of the environment
    #[arg(long, value_name = "VAR", conflicts_with = "passphrase_file")]
    pub passphrase_env: Option<String>,
    /// Encrypt the key with a passphrase in a file
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// Replace files that are there
    #[arg(long)]
    pub force: bool,
}

/// Options of `ca export`.
#[derive(Debug, Clone, Args)]
pub struct CaExport {
    /// The file of its certificate, instead of those that the configuration names
    #[arg(long, value_name = "FILE")]
    pub cert: Option<PathBuf>,
    /// As what: pem, der (the one that signs), or commands
    #[arg(long, value_parser = ["pem", "der", "commands"])]
    pub form: Option<String>,
    /// The commands for one system
    #[arg(long = "for", value_name = "SYSTEM", value_parser = clap::builder::PossibleValuesParser::new(STORES.iter().map(|store| store.name)))]
    pub system: Option<String>,
    /// Where to; standard output if nothing is said
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

pub(super) fn completions(shell: clap_complete::Shell) -> ExitCode {
    clap_complete::generate(shell, &mut Cli::command(), "egret", &mut std::io::stdout());
    ExitCode::SUCCESS
}

/// The page of a command, by the words that are typed for it; every page that another one names can be had so.
pub(super) fn man(words: &[String]) -> ExitCode {
    let mut page = Cli::command().disable_help_subcommand(true);
    page.build();
    for word in words {
        let Some(command) = page.find_subcommand(word) else {
            let known: Vec<&str> = page.get_subcommands().map(|one| one.get_name()).collect();
            let remedy = if known.is_empty() {
                "leave it out".to_owned()
            } else {
                suggest(word, &known)
            };
            complain(&Fault::new(format!("there is no command \"{word}\""), remedy).render());
            return ExitCode::from(2);
        };
        page = command.clone();
    }
    let page = clap_mangen::Man::new(page).source(concat!("egret ", env!("CARGO_PKG_VERSION")));
    match page.render(&mut std::io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

const EXAMPLES: &str = "Examples:
  egret                                   serve on 127.0.0.1:3128 with the built-in configuration
  egret run -c egret.toml                 serve with a configuration
  egret check -c egret.toml               tell every fault of a configuration
  egret explain -c egret.toml https://example.com/
  egret flows kill --where user=alice     end what alice has running

Exit codes: 0 fine; 1 a case of `test` failed, `cache inspect` found nothing, or a worker broke down; 2 wrong usage, or a configuration that is faulty or refused.";

const PURGE_EXAMPLES: &str = "Examples:
  egret cache purge https://packages.example/simple/requests/
  egret cache purge --prefix https://packages.example/simple/
  egret cache purge --tag release-42

Exit codes: 0 purged, or nothing was stored; 1 the disk could not note it; 2 wrong usage, or there is no process or no cache.";

const UPSTREAM_NOTE: &str = "Examples:
  egret upstream list
  egret upstream drain app 10.0.0.11:8080
  egret upstream weight app 10.0.0.11:8080 5
  egret upstream weight app 10.0.0.11:8080 reset

Requests that are under way are not touched. It holds over reloads, until it is taken back or the process ends.

Exit codes: 0 done; 2 wrong usage, or there is no process, upstream or endpoint of the name.";

const MAN_EXAMPLES: &str = "Examples:
  egret man > /usr/local/share/man/man1/egret.1
  egret man ca init > /usr/local/share/man/man1/egret-ca-init.1";

const CA_EXAMPLES: &str = "Examples:
  egret ca init --cert /etc/egret/ca.pem --key /etc/egret/ca.key
  egret ca init --permit example.com --permit 10.0.0.0/8
  egret ca export -c egret.toml -o egret-ca.pem
  egret ca export --cert ca.pem --for debian";

const EXPLAIN_EXAMPLES: &str = "Examples:
  egret explain -c egret.toml --from 10.20.0.7 --group ci https://packages.example/simple/
  egret explain -c egret.toml --method GET --address 10.0.5.9 http://metrics.example:9090/
  egret explain -c egret.toml 'CONNECT packages.example:443 HTTP/1.1'
  egret explain -c gateway.toml --listener web --header 'X-Version: 2' https://www.example/api/users
  egret explain 01k6x3v9q2r8t4m0c5hb";
