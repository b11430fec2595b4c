//! `sticky`: the cookie that keeps a client with its endpoint.

use std::time::Duration;

use crate::fault::{Fault, Faults};
use crate::settings::{Located, Secret, Table, one_of};

/// The cookie that keeps a client with its endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StickySettings {
    /// Its name.
    pub cookie: Box<str>,
    /// What it is signed with; all gateways of one service need the same.
    pub secret: Secret,
    /// Whether it goes along with requests from other sites (RFC 6265bis).
    pub same_site: SameSite,
    /// Whether it goes over TLS only.
    pub secure: bool,
    /// Under which path it is sent.
    pub path: Box<str>,
    /// How long it is good for; `None`: until the browser is closed, but a day at most.
    pub ttl: Option<Duration>,
}

/// The attribute of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    /// With requests of the same site only.
    Strict,
    /// Also when somebody comes by a link.
    Lax,
    /// With all requests.
    None,
}

impl SameSite {
    /// As the attribute has it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Strict => "Strict",
            Self::Lax => "Lax",
            Self::None => "None",
        }
    }
}

impl StickySettings {
    pub(super) fn read(table: Table, faults: &Faults) -> Option<Self> {
        let cookie = table
            .take::<Located<String>>("cookie", faults)
            .map_or_else(|| Some(COOKIE.into()), |name| checked_name(name, faults));
        let remedy = "write a reference: secret = { file = \"sticky.key\" }";
        let secret: Option<Located<Secret>> = table.require("secret", remedy, faults);
        let secret = secret.and_then(|secret| long_enough(secret, faults));
        let same_site: Option<Located<String>> = table.take("same-site", faults);
        let same_site = same_site.map_or(Some(SameSite::Lax), |word| {
            let words = [
                ("strict", SameSite::Strict),
                ("lax", SameSite::Lax),
                ("none", SameSite::None),
            ];
            one_of(&word, &words, faults)
        });
        let secure = table.take_or("secure", true, faults);
        if same_site == Some(SameSite::None) && !secure {
            faults.push(Fault::at(
                &table.at,
                "browsers drop a cookie with SameSite=None that is not Secure",
                "leave \"secure\" out, or write same-site = \"lax\"",
            ));
        }
        let path = table
            .take::<Located<String>>("path", faults)
            .map_or_else(|| Some("/".into()), |path| checked_path(path, faults));
        let ttl = table.take_time("ttl", faults);
        table.finish(faults);
        Some(Self {
            cookie: cookie?,
            secret: secret?,
            same_site: same_site?,
            secure,
            path: path?,
            ttl,
        })
    }
}

/// A token (RFC 6265 §4.1.1).
fn checked_name(name: Located<String>, faults: &Faults) -> Option<Box<str>> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if !name.value.is_empty() && name.value.bytes().all(token) {
        return Some(name.value.into());
    }
    faults.push(Fault::at(
        &name.at,
        "this is not the name of a cookie",
        "write letters, digits and hyphens",
    ));
    None
}

/// What can stand in the attribute (RFC 6265 §4.1.1): no control character, no semicolon.
fn checked_path(path: Located<String>, faults: &Faults) -> Option<Box<str>> {
    let plain = |b: u8| b.is_ascii_graphic() && b != b';';
    if path.value.starts_with('/') && path.value.bytes().all(plain) {
        return Some(path.value.into());
    }
    faults.push(Fault::at(
        &path.at,
        "this is not a path",
        "write one such as \"/\"",
    ));
    None
}

fn long_enough(secret: Located<Secret>, faults: &Faults) -> Option<Secret> {
    if secret.value.expose().len() >= LEAST_SECRET {
        return Some(secret.value);
    }
    faults.push(Fault::at(
        &secret.at,
        format!("the secret is shorter than {LEAST_SECRET} bytes"),
        "make one with: openssl rand -base64 32",
    ));
    None
}

const COOKIE: &str = "egret-endpoint";
/// Half of what HMAC-SHA-256 can use (RFC 2104 §3).
const LEAST_SECRET: usize = 16;
