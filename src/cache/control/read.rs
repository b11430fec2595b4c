//! `cache = …` of a rule, from its words to what they mean.
//! Start at [`Control::read`].

use std::time::Duration;

use http::HeaderName;
use http::header::{
    CONNECTION, HOST, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE,
    PROXY_AUTHORIZATION, RANGE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};

use super::{Control, IgnoreQuery, SetCookie};
use crate::fault::{Fault, Faults};
use crate::settings::{ByteSize, FromValue, Kind, Located, Table, Value, one_of};

impl Control {
    /// Reads `false`, `"off"`, `true` or a table. What is wrong becomes faults, each at its place.
    pub fn read(value: Value, faults: &Faults) -> Option<Self> {
        let off = Self {
            enabled: false,
            ..Self::default()
        };
        let at = value.at.clone();
        match value.kind {
            Kind::Bool(enabled) => Some(if enabled { Self::default() } else { off }),
            Kind::Text(text) => {
                let word = Located { value: text, at };
                let on = one_of(&word, &[("off", false), ("on", true)], faults)?;
                Some(if on { Self::default() } else { off })
            }
            Kind::Table(table) => Some(Self::read_table(table, faults)),
            Kind::Integer(_) | Kind::Float(_) | Kind::Datetime(_) | Kind::List(_) => {
                value.mismatch("\"off\", or a table such as { ttl = \"1d\" }", faults)
            }
        }
    }

    fn read_table(table: Table, faults: &Faults) -> Self {
        let (key_headers, key_cookies) = table
            .take::<Table>("key", faults)
            .map_or_else(Default::default, |table| read_key(table, faults));
        let control = Self {
            enabled: true,
            ttl: period(
                &table,
                "ttl",
                "cache = false is what uses nothing again",
                faults,
            ),
            ignore_query: table
                .take_value("ignore-query")
                .and_then(|value| read_ignore_query(value, faults))
                .unwrap_or_default(),
            key_headers,
            key_cookies,
            largest: read_largest(&table, faults),
            min_uses: read_min_uses(&table, faults),
            errors: period(&table, "errors", UNSAID, faults),
            set_cookie: table
                .take::<Located<String>>("set-cookie", faults)
                .and_then(|word| one_of(&word, SET_COOKIE, faults))
                .unwrap_or_default(),
            stale_while_revalidate: period(&table, "stale-while-revalidate", UNSAID, faults),
            stale_if_error: period(&table, "stale-if-error", UNSAID, faults),
        };
        check_enabled(&table, faults);
        table.finish(faults);
        control
    }
}

/// `enabled = false`, `off = true` and the like beside other keys say two things at once.
fn check_enabled(table: &Table, faults: &Faults) {
    let others = table.remaining();
    let switch = others
        .iter()
        .find(|key| matches!(key.value.as_str(), "off" | "on" | "enabled" | "disabled"));
    if let Some(key) = switch {
        table.take_value("off");
        table.take_value("on");
        table.take_value("enabled");
        table.take_value("disabled");
        faults.push(Fault::at(
            &key.at,
            format!(
                "\"{}\" does not stand beside what the cache is to do",
                key.value
            ),
            "write cache = \"off\" alone, or leave this out",
        ));
    }
}

fn period(table: &Table, key: &'static str, zero: &str, faults: &Faults) -> Option<Duration> {
    let period: Located<Duration> = table.take(key, faults)?;
    if period.value.is_zero() {
        let problem = format!("\"{key}\" is no time at all");
        faults.push(Fault::at(&period.at, problem, zero));
        return None;
    }
    Some(period.value)
}

fn read_largest(table: &Table, faults: &Faults) -> Option<u64> {
    let largest: Located<ByteSize> = table.take("largest", faults)?;
    if largest.value.0 == 0 {
        faults.push(Fault::at(
            &largest.at,
            "with this nothing is stored",
            "write cache = false for that",
        ));
        return None;
    }
    Some(largest.value.0)
}

fn read_min_uses(table: &Table, faults: &Faults) -> u32 {
    let Some(uses) = table.take::<Located<u32>>("min-uses", faults) else {
        return 1;
    };
    if !(1..=MOST_USES).contains(&uses.value) {
        faults.push(Fault::at(
            &uses.at,
            format!("a response is stored for the 1st to {MOST_USES}th request"),
            "1 stores at once, 2 what is asked for twice",
        ));
    }
    uses.value.clamp(1, MOST_USES)
}

fn read_ignore_query(value: Value, faults: &Faults) -> Option<IgnoreQuery> {
    if let Kind::Bool(all) = value.kind {
        return Some(if all {
            IgnoreQuery::All
        } else {
            IgnoreQuery::None
        });
    }
    let names = several(value, "true ignores the whole query", faults)?;
    for name in &names {
        let beginning = name.value.strip_suffix('*').unwrap_or(&name.value);
        let printable = beginning.bytes().all(|byte| byte.is_ascii_graphic());
        if beginning.is_empty() {
            let remedy = "write ignore-query = true for all of them";
            faults.push(Fault::at(&name.at, "this names every parameter", remedy));
        } else if !printable || beginning.contains(['*', '?', '&', '=', ';', '#']) {
            faults.push(Fault::at(
                &name.at,
                format!("{:?} is not a parameter's name", name.value),
                "write it as it stands in URLs, or its beginning and \"*\": \"utm_*\"",
            ));
        }
    }
    Some(IgnoreQuery::Names(boxed(names)))
}

/// `{ headers = […], cookies = […] }`.
fn read_key(table: Table, faults: &Faults) -> (Box<[HeaderName]>, Box<[Box<str>]>) {
    let nothing = "leave it out to have none";
    let mut headers: Vec<HeaderName> = table
        .take_value("headers")
        .and_then(|value| several(value, nothing, faults))
        .unwrap_or_default()
        .iter()
        .filter_map(|name| read_header(name, faults))
        .collect();
    headers.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
    headers.dedup();
    let mut cookies = table
        .take_value("cookies")
        .and_then(|value| several(value, nothing, faults))
        .unwrap_or_default();
    cookies.retain(|name| {
        let good = HeaderName::try_from(&name.value).is_ok();
        if !good {
            let problem = format!("{:?} is not a cookie's name", name.value);
            faults.push(Fault::at(
                &name.at,
                problem,
                "write the name alone: \"session\"",
            ));
        }
        good
    });
    cookies.sort_unstable_by(|a, b| a.value.cmp(&b.value));
    cookies.dedup_by(|a, b| a.value == b.value);
    table.finish(faults);
    (headers.into(), boxed(cookies))
}

fn read_header(name: &Located<String>, faults: &Faults) -> Option<HeaderName> {
    let Ok(field) = HeaderName::try_from(&name.value) else {
        let problem = format!("{:?} is not a field's name", name.value);
        faults.push(Fault::at(&name.at, problem, "write \"Accept-Language\""));
        return None;
    };
    let (problem, remedy) = if field == HOST {
        ("the host is a part of each key", "leave it out")
    } else if NOT_SENT.contains(&field) || field.as_str() == "proxy-connection" {
        (
            "this field is for the proxy, and no origin sees it",
            "leave it out",
        )
    } else if CONDITIONS.contains(&field) {
        (
            "the cache answers this field itself (RFC 9110 §13, §14)",
            "leave it out",
        )
    } else {
        return Some(field);
    };
    faults.push(Fault::at(&name.at, problem, remedy));
    None
}

/// One text or several; none at all is a fault.
fn several(value: Value, none: &str, faults: &Faults) -> Option<Vec<Located<String>>> {
    let (at, before) = (value.at.clone(), faults.len());
    let names = Vec::<Located<String>>::from_value(value, faults)?;
    if names.is_empty() && faults.len() == before {
        faults.push(Fault::at(&at, "an empty array says nothing", none));
    }
    Some(names)
}

fn boxed(names: Vec<Located<String>>) -> Box<[Box<str>]> {
    names.into_iter().map(|name| name.value.into()).collect()
}

const UNSAID: &str = "leave it out for none";
const MOST_USES: u32 = 1000;
const SET_COOKIE: &[(&str, SetCookie)] = &[
    ("refuse", SetCookie::Refuse),
    ("strip", SetCookie::Strip),
    ("store", SetCookie::Store),
];
const NOT_SENT: [HeaderName; 6] = [
    CONNECTION,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];
const CONDITIONS: [HeaderName; 6] = [
    IF_MATCH,
    IF_MODIFIED_SINCE,
    IF_NONE_MATCH,
    IF_RANGE,
    IF_UNMODIFIED_SINCE,
    RANGE,
];
