//! What a rule does, from `allow = { … }` or `deny = { … }`: obligations, or the answer to the client.
//! Not the enforcement of either.
//! Start at [`read_action`].

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use super::demand::{read_demands, read_intercept};
use super::rule::Action;
use super::verdict::{Demands, DenyAction, Obligations, Rate};
use crate::cache::Control;
use crate::fault::{Fault, Faults};
use crate::filter;
use crate::settings::{ByteSize, Kind, Located, Table, Value};

/// Reads the one action of a rule.
pub(super) fn read_action(table: &Table, faults: &Faults) -> Option<Action> {
    match (table.take_value("allow"), table.take_value("deny")) {
        (Some(allow), None) => {
            let obligations = match action_table(allow, faults)? {
                Some(keys) => read_obligations(keys, faults),
                None => Obligations::default(),
            };
            Some(Action::Allow(Arc::new(obligations)))
        }
        (None, Some(deny)) => {
            let action = match action_table(deny, faults)? {
                Some(keys) => read_denial(keys, faults),
                None => DenyAction::default(),
            };
            Some(Action::Deny(Arc::new(action)))
        }
        (Some(_), Some(deny)) => {
            let remedy = "keep one of them; a second rule can do the other";
            faults.push(Fault::at(&deny.at, "a rule both allows and denies", remedy));
            None
        }
        (None, None) => {
            let remedy = "add allow = {} or deny = {}";
            faults.push(Fault::at(
                &table.at,
                "the rule neither allows nor denies",
                remedy,
            ));
            None
        }
    }
}

/// `{ … }` or `true`.
fn action_table(value: Value, faults: &Faults) -> Option<Option<Table>> {
    match value.kind {
        Kind::Table(table) => Some(Some(table)),
        Kind::Bool(true) => Some(None),
        Kind::Bool(false) => {
            let remedy = "write allow = {} or deny = {}, one of them";
            faults.push(Fault::at(&value.at, "false says nothing here", remedy));
            None
        }
        Kind::Text(_) | Kind::Integer(_) | Kind::Float(_) | Kind::Datetime(_) | Kind::List(_) => {
            value.mismatch("a table, {} where there is nothing to say", faults)
        }
    }
}

fn read_obligations(table: Table, faults: &Faults) -> Obligations {
    let intercept = table
        .take_value("intercept")
        .and_then(|value| read_intercept(value, faults));
    let tls = table
        .take::<Table>("tls", faults)
        .map_or_else(Demands::default, |table| read_demands(table, faults));
    let obligations = read_shared_obligations(&table, faults);
    table.finish(faults);
    Obligations {
        intercept,
        tls,
        ..obligations
    }
}

/// Takes what a rule and a route alike may ask for: `rate`, `bandwidth`, `cache`, and every filter.
pub(crate) fn read_shared_obligations(table: &Table, faults: &Faults) -> Obligations {
    let rate: Option<Located<String>> = table.take("rate", faults);
    let bandwidth: Option<Located<String>> = table.take("bandwidth", faults);
    let checked = |text: Option<Located<String>>, form: &str| {
        text.map(|text| {
            (
                text.at,
                format!("\"{}\" is not {form}", text.value),
                text.value,
            )
        })
    };
    let rate = checked(rate, "a rate").and_then(|(at, problem, text)| {
        let rate = parse_rate(&text);
        if rate.is_none() {
            faults.push(Fault::at(
                &at,
                problem,
                "write \"50/s\", \"100/m\" or \"1000/h\"",
            ));
        }
        rate
    });
    let bandwidth = checked(bandwidth, "a bandwidth").and_then(|(at, problem, text)| {
        let size = text.trim().strip_suffix("/s");
        let size = size.and_then(|size| ByteSize::parse(size).ok());
        let size = size.filter(|size| size.0 > 0);
        if size.is_none() {
            faults.push(Fault::at(&at, problem, "write \"10MiB/s\""));
        }
        size
    });
    let filters = filter::table::read(table, faults);
    let cache = table
        .take_value("cache")
        .and_then(|value| Control::read(value, faults));
    Obligations {
        rate,
        bandwidth,
        filters,
        cache: cache.map(Arc::new).unwrap_or_default(),
        ..Obligations::default()
    }
}

/// Requests per second.
fn parse_rate(text: &str) -> Option<Rate> {
    let (count, unit) = text.split_once('/')?;
    let seconds = match unit.trim() {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return None,
    };
    let count: f64 = count.trim().parse().ok()?;
    let window = Duration::from_secs(seconds);
    (count.is_finite() && count >= 1.0).then_some(Rate { count, window })
}

fn read_denial(table: Table, faults: &Faults) -> DenyAction {
    let status: Option<Located<u16>> = table.take("status", faults);
    if let Some(status) = status.as_ref().filter(|s| !(400..=599).contains(&s.value)) {
        let problem = format!("{} is not the status of a refusal", status.value);
        faults.push(Fault::at(&status.at, problem, "choose one from 400 to 599"));
    }
    let message = table.take("message", faults);
    let redirect: Option<Located<String>> = table.take("redirect", faults);
    if let Some(redirect) = redirect.as_ref().filter(|to| !is_web_address(&to.value)) {
        let problem = format!("{:?} is not a web address", redirect.value);
        faults.push(Fault::at(
            &redirect.at,
            problem,
            "write \"https://help.example/denied\"",
        ));
    }
    table.finish(faults);
    DenyAction {
        status: status.map_or(403, |status| status.value),
        message,
        redirect: redirect.map(|redirect| redirect.value),
    }
}

/// It becomes a field's value: nothing in it may end the line.
fn is_web_address(text: &str) -> bool {
    let scheme = text.starts_with("https://") || text.starts_with("http://");
    scheme && !text.contains(char::is_whitespace) && text.parse::<HeaderValue>().is_ok()
}
