//! The request of a case: what it says, from its text to facts.
//! Not what the policy must say of it.
//! Start at [`Request::read`].

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::Timestamp;

use crate::addr::{Authority, Host};
use crate::auth::Principal;
use crate::fault::{Fault, Faults};
use crate::policy::{Hello, NamedBy, Scheme};
use crate::settings::{FromValue, Kind, Located, Table, one_of};

/// A request as a case writes it.
#[derive(Debug)]
pub(super) struct Request {
    /// Who names the addresses: the client of a proxy, or the operator of a gateway.
    pub(super) named_by: NamedBy,
    pub(super) client: IpAddr,
    pub(super) listener: String,
    pub(super) principal: Option<Principal>,
    pub(super) authority: Authority,
    pub(super) scheme: Scheme,
    pub(super) method: Method,
    pub(super) path: Option<String>,
    pub(super) headers: HeaderMap,
    pub(super) hello: Option<Hello>,
    pub(super) at: Option<Timestamp>,
    pub(super) addresses: Option<Vec<IpAddr>>,
}

impl Request {
    pub(super) fn read(table: Table, faults: &Faults) -> Option<Self> {
        let before = faults.len();
        let client = parsed::<IpAddr>(&table, "client", ADDRESS, faults);
        let url: Option<Located<String>> =
            table.require("url", "write url = \"https://host.example/\"", faults);
        let method: Option<Method> = parsed(&table, "method", METHOD, faults);
        let mode: Option<Located<String>> = table.take("mode", faults);
        let named_by = mode.map_or(Some(NamedBy::Client), |mode| one_of(&mode, MODES, faults));
        let target = match named_by {
            Some(NamedBy::Operator) => url.and_then(|url| Target::of_gateway(&url, method, faults)),
            Some(NamedBy::Client) | None => url.and_then(|url| Target::parse(&url, method, faults)),
        };
        let listener = table.take_or("listener", String::new(), faults);
        let user: Option<String> = table.take("user", faults);
        let groups: Option<Vec<String>> = table.take("groups", faults);
        let at = read_time(&table, faults);
        let addresses: Option<Vec<Located<String>>> = table.take("address", faults);
        let addresses = addresses.map(|texts| read_addresses(&texts, faults));
        let headers: Option<Table> = table.take("headers", faults);
        let headers = headers.map(|table| read_headers(&table, faults));
        let hello: Option<Table> = table.take("hello", faults);
        let hello = hello.map(|table| read_hello(table, faults));
        table.finish(faults);
        let target = target.filter(|_| faults.len() == before)?;
        let principal = (user.is_some() || groups.is_some()).then(|| Principal {
            name: user.unwrap_or_default().into(),
            groups: groups
                .unwrap_or_default()
                .into_iter()
                .map(Arc::from)
                .collect(),
            method: "expect",
        });
        Some(Self {
            named_by: named_by?,
            client: client.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            listener,
            principal,
            authority: target.authority,
            scheme: target.scheme,
            method: target.method,
            path: target.path,
            headers: headers.unwrap_or_default(),
            hello,
            at,
            addresses,
        })
    }
}

/// Where a case's request goes, from its URL and method.
#[derive(Debug)]
struct Target {
    authority: Authority,
    scheme: Scheme,
    method: Method,
    path: Option<String>,
}

impl Target {
    /// What a client sends to a gateway, which it takes for the origin: no tunnel, and `https://…` is a request.
    fn of_gateway(url: &Located<String>, method: Option<Method>, faults: &Faults) -> Option<Self> {
        if method == Some(Method::CONNECT) || url.value.starts_with("connect://") {
            let problem = format!("\"{}\" is a tunnel, which no gateway takes", url.value);
            let remedy =
                "write \"http://…\" or \"https://…\" and another method, or leave mode out";
            faults.push(Fault::at(&url.at, problem, remedy));
            return None;
        }
        Self::parse(url, method.or(Some(Method::GET)), faults)
    }

    /// `connect://host:port`, `host:port` with CONNECT, and `https://…` without a method are tunnels, as clients make
    /// them of such URLs; `https://…` with a method is a request in absolute-form.
    fn parse(url: &Located<String>, method: Option<Method>, faults: &Faults) -> Option<Self> {
        let refuse = |problem: String, remedy: &str| {
            faults.push(Fault::at(&url.at, problem, remedy));
            None
        };
        let is_connect = method == Some(Method::CONNECT);
        let (scheme, rest) = url.value.split_once("://").unwrap_or(("", &url.value));
        let (default_port, scheme) = match (scheme, &method) {
            ("connect", None) => (None, Scheme::Tunnel),
            ("connect" | "", _) if is_connect => (None, Scheme::Tunnel),
            ("https", None) => (Some(443), Scheme::Tunnel),
            ("https", _) if is_connect => (Some(443), Scheme::Tunnel),
            ("https", Some(_)) => (Some(443), Scheme::Https),
            ("http", _) if !is_connect => (Some(80), Scheme::Http),
            _ => {
                return refuse(
                    format!("\"{}\" is not the URL of a request here", url.value),
                    "write \"http://…\", \"https://…\" or \"connect://host:port\"",
                );
            }
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let path = if path.is_empty() { "/" } else { path };
        match Authority::parse(authority, default_port) {
            Ok(authority) => Some(Self {
                authority,
                method: match scheme {
                    Scheme::Tunnel => Method::CONNECT,
                    Scheme::Http | Scheme::Https => method.unwrap_or(Method::GET),
                },
                path: (scheme != Scheme::Tunnel).then(|| path.to_owned()),
                scheme,
            }),
            Err(error) => refuse(error.to_string(), "write \"host.example:443\""),
        }
    }
}

/// The modes of listeners, as cases name them.
const MODES: &[(&str, NamedBy)] = &[("forward", NamedBy::Client), ("reverse", NamedBy::Operator)];

/// What a text must be, and how that is written.
type Form = (&'static str, &'static str);

const METHOD: Form = (
    "a method",
    "write \"GET\", \"POST\", \"CONNECT\" or another token",
);
const ADDRESS: Form = ("an address", "write \"192.0.2.7\" or \"2001:db8::7\"");

fn parsed<T: std::str::FromStr>(
    table: &Table,
    key: &'static str,
    form: Form,
    faults: &Faults,
) -> Option<T> {
    let text: Located<String> = table.take(key, faults)?;
    parse(&text, form, faults)
}

fn parse<T: std::str::FromStr>(text: &Located<String>, form: Form, faults: &Faults) -> Option<T> {
    let (form, remedy) = form;
    let value = text.value.parse().ok();
    if value.is_none() {
        let problem = format!("\"{}\" is not {form}", text.value);
        faults.push(Fault::at(&text.at, problem, remedy));
    }
    value
}

fn read_addresses(texts: &[Located<String>], faults: &Faults) -> Vec<IpAddr> {
    let texts = texts.iter();
    texts
        .filter_map(|text| parse(text, ADDRESS, faults))
        .collect()
}

/// A string, or a TOML date and time with its offset.
fn read_time(table: &Table, faults: &Faults) -> Option<Timestamp> {
    let value = table.take_value("at")?;
    let at = value.at.clone();
    let value = match value.kind {
        Kind::Datetime(text) | Kind::Text(text) => text,
        Kind::Integer(_) | Kind::Float(_) | Kind::Bool(_) | Kind::List(_) | Kind::Table(_) => {
            return value.mismatch("a time such as \"2026-03-29T01:30:00Z\"", faults);
        }
    };
    let form = (
        "a time with its offset",
        "write at = \"2026-03-29T01:30:00Z\"",
    );
    parse(&Located { value, at }, form, faults)
}

/// `hello = { sni, alpn, tls-version, ech, fingerprint }`; without `tls-version` it offers 1.3.
fn read_hello(table: Table, faults: &Faults) -> Hello {
    const HOST: Form = ("a host name", "write \"a.example\"");
    let sni: Option<Located<String>> = table.take("sni", faults);
    let server_name = sni.and_then(|text| {
        let host = Host::parse_bare(&text.value).ok();
        if host.is_none() {
            let problem = format!("\"{}\" is not {}", text.value, HOST.0);
            faults.push(Fault::at(&text.at, problem, HOST.1));
        }
        host
    });
    let versions = [
        ("1.0", "1.0"),
        ("1.1", "1.1"),
        ("1.2", "1.2"),
        ("1.3", "1.3"),
    ];
    let version: Option<Located<String>> = table.take("tls-version", faults);
    let version = version.and_then(|word| one_of(&word, &versions, faults));
    let alpn: Vec<String> = table.take_or("alpn", Vec::new(), faults);
    let fingerprint: String = table.take_or("fingerprint", String::new(), faults);
    let hello = Hello {
        server_name,
        alpn: alpn.into_iter().map(Into::into).collect(),
        version: version.unwrap_or("1.3"),
        ech: table.take_or("ech", false, faults),
        fingerprint: fingerprint.into(),
    };
    table.finish(faults);
    hello
}

const FIELD: Form = ("a field name", "write letters, digits and hyphens");
const VALUE: Form = ("a field value", "write printable ASCII on one line");

fn read_headers(table: &Table, faults: &Faults) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in table.take_rest() {
        let field: Option<HeaderName> = parse(&name, FIELD, faults);
        for value in Vec::<Located<String>>::from_value(value, faults).unwrap_or_default() {
            let value: Option<HeaderValue> = parse(&value, VALUE, faults);
            if let Some((field, value)) = field.clone().zip(value) {
                headers.append(field, value);
            }
        }
    }
    headers
}
