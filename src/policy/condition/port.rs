//! `port`: the port that the request is for, as a number or a range.
//! Not the port of the listener.
//! Start at [`ENTRY`].

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::{Condition, Entry, Facts, Ground, Truth};
use crate::settings::{Kind, Located, Value};

pub(super) const ENTRY: Entry = Entry {
    name: "port",
    summary: "the port is one of these: 443, \"8000-8100\"",
    build,
};

#[derive(Debug)]
struct Ports(Vec<RangeInclusive<u16>>);

fn build(value: Value, ground: Ground<'_>) -> Option<Arc<dyn Condition>> {
    let items = ground.several::<Value>(value)?;
    let ports = ground.each(items, |item| read(&item, ground))?;
    Some(Arc::new(Ports(ports)))
}

fn read(item: &Located<Value>, ground: Ground<'_>) -> Option<RangeInclusive<u16>> {
    let port = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port > 0);
    let (shown, range) = match &item.value.kind {
        Kind::Integer(number) => {
            let port = u16::try_from(*number).ok().filter(|port| *port > 0);
            (number.to_string(), port.map(|port| port..=port))
        }
        Kind::Text(text) => {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            let range = port(first).zip(port(last));
            (
                format!("\"{text}\""),
                range.map(|(first, last)| first..=last),
            )
        }
        Kind::Float(_) | Kind::Bool(_) | Kind::Datetime(_) | Kind::List(_) | Kind::Table(_) => {
            return item
                .value
                .mismatch("a port or a range such as \"8000-8100\"", ground.faults);
        }
    };
    match range {
        Some(range) if !range.is_empty() => Some(range),
        Some(_) => ground.refuse(
            item,
            format!("the range {shown} is empty"),
            "write the lower port first",
        ),
        None => ground.refuse(
            item,
            format!("{shown} is not a port between 1 and 65535"),
            "write 443 or \"8000-8100\"",
        ),
    }
}

impl Condition for Ports {
    fn holds(&self, facts: &Facts<'_>) -> Truth {
        let port = facts.authority.port;
        self.0.iter().any(|range| range.contains(&port)).into()
    }

    fn saw(&self, facts: &Facts<'_>) -> Option<String> {
        Some(facts.authority.port.to_string())
    }

    fn widened(&self, facts: &Facts<'_>) -> Option<String> {
        Some(facts.authority.port.to_string())
    }
}
