//! `method`: the request's method, compared as it is written (RFC 9110 §9.1: case-sensitive).
//! Unknown for SOCKS, which has none: say `scheme = "tunnel"` to mean every tunnel.
//! Start at [`ENTRY`].

use std::sync::Arc;

use http::Method;

use super::{Condition, Entry, Facts, Ground, Truth, Waits, quoted};
use crate::fault::{Fault, Faults};
use crate::settings::{Located, Value};

pub(super) const ENTRY: Entry = Entry {
    name: "method",
    summary: "the request's method is one of these: \"GET\", \"CONNECT\"",
    build,
};

#[derive(Debug)]
struct Methods(Vec<Method>);

fn build(value: Value, ground: Ground<'_>) -> Option<Arc<dyn Condition>> {
    let items = ground.several::<String>(value)?;
    let methods = ground.each(items, |item| read_method(&item, ground.faults))?;
    Some(Arc::new(Methods(methods)))
}

/// Reads a method as an operator writes it.
pub(crate) fn read_method(item: &Located<String>, faults: &Faults) -> Option<Method> {
    let text = &item.value;
    let Ok(method) = Method::from_bytes(text.as_bytes()) else {
        let problem = format!("\"{text}\" is not a method");
        faults.push(Fault::at(&item.at, problem, "write \"GET\", \"POST\", …"));
        return None;
    };
    let upper = text.to_ascii_uppercase();
    if upper != *text {
        let problem = format!("methods are case-sensitive, and \"{text}\" is not in use");
        faults.push(Fault::at(
            &item.at,
            problem,
            format!("Did you mean \"{upper}\"?"),
        ));
        return None;
    }
    Some(method)
}

impl Condition for Methods {
    fn holds(&self, facts: &Facts<'_>) -> Truth {
        facts
            .method
            .map_or(Truth::Unknown, |method| self.0.contains(method).into())
    }

    fn waits(&self) -> Waits {
        Waits::REQUEST
    }

    fn saw(&self, facts: &Facts<'_>) -> Option<String> {
        facts.method.map(Method::to_string)
    }

    fn widened(&self, facts: &Facts<'_>) -> Option<String> {
        facts.method.map(|method| quoted(method.as_str()))
    }
}
