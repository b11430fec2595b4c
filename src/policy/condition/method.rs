//! `method`: the request's method, compared as it is written (RFC 9110 §9.1: case-sensitive).
//! Unknown for SOCKS, which has none: say `scheme = "tunnel"` to mean every tunnel.
//! Start at [`ENTRY`].

use std::sync::Arc;

use http::Method;

use super::{Condition, Entry, Facts, Ground, Truth, Waits, quoted};
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
    let methods = ground.each(items, |item| read(&item, ground))?;
    Some(Arc::new(Methods(methods)))
}

fn read(item: &Located<String>, ground: Ground<'_>) -> Option<Method> {
    let text = &item.value;
    let Ok(method) = Method::from_bytes(text.as_bytes()) else {
        return ground.refuse(
            item,
            format!("\"{text}\" is not a method"),
            "write \"GET\", \"POST\", …",
        );
    };
    let upper = text.to_ascii_uppercase();
    if upper != *text {
        return ground.refuse(
            item,
            format!("methods are case-sensitive, and \"{text}\" is not in use"),
            format!("Did you mean \"{upper}\"?"),
        );
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
