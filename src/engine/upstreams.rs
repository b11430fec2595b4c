//! The commands about upstreams: what they are, and what an operator wants of an endpoint, whatever its health.
//! Not the file that names them, which is left as it is: a weight or a drain is in force until it is taken back, or the process ends.
//! Start at [`carry_out`].

use std::future::ready;
use std::sync::Arc;

use serde_json::{Value, json};

use super::desk::Answer;
use crate::fault::suggest;
use crate::upstream::{Admin, Registry, Status, Upstream};

/// Carries a request out.
pub(super) fn carry_out(registry: &Registry, command: &str, request: &Value) -> Answer {
    let answer = match command {
        "upstream-list" => list(registry, request),
        _ => change(registry, request),
    };
    Box::pin(ready(answer))
}

/// All of them in short, for `egret status`.
pub(super) fn status(registry: &Registry) -> Vec<Value> {
    let all = registry.all();
    all.iter()
        .map(|upstream| short(&upstream.status()))
        .collect()
}

fn short(status: &Status) -> Value {
    let up = status.endpoints.iter();
    let up = up.filter(|one| one.health != "down" && one.ejected.is_none() && !one.circular);
    json!({
        "upstream": status.name,
        "endpoints": status.endpoints.len(),
        "usable": up.filter(|one| one.admin == Admin::Enabled && one.weight > 0).count(),
        "panic": status.panic,
        "active": status.active,
        "pending": status.pending,
        "refused": status.refused,
        "problems": status.problems.join("; "),
    })
}

fn list(registry: &Registry, request: &Value) -> Result<Value, String> {
    let upstreams: Vec<Status> = match text(request, "upstream") {
        Some(name) => vec![named(registry, name)?.status()],
        None => {
            let all = registry.all();
            all.iter().map(|upstream| upstream.status()).collect()
        }
    };
    Ok(json!({ "upstreams": upstreams }))
}

fn change(registry: &Registry, request: &Value) -> Result<Value, String> {
    let upstream = named(registry, text(request, "upstream").unwrap_or_default())?;
    let endpoint = text(request, "endpoint").unwrap_or_default();
    let changed = match (text(request, "admin"), request.get("weight")) {
        (Some("drain"), None) => upstream.set_admin(endpoint, Admin::Drained),
        (Some("disable"), None) => upstream.set_admin(endpoint, Admin::Disabled),
        (Some("enable"), None) => upstream.set_admin(endpoint, Admin::Enabled),
        (None, Some(Value::Null)) => upstream.set_weight(endpoint, None),
        (None, Some(weight)) => {
            let weight = weight
                .as_u64()
                .and_then(|weight| u32::try_from(weight).ok());
            let weight = weight.ok_or("a weight is a number from 0 to 1000")?;
            upstream.set_weight(endpoint, Some(weight))
        }
        _ => return Err("this is no change of an endpoint".to_owned()),
    };
    if changed == 0 {
        return Err(no_endpoint(&upstream, endpoint));
    }
    let name = upstream.name();
    tracing::info!("upstream {name}: an operator changed {endpoint}: {request}");
    Ok(json!({ "changed": changed }))
}

fn named(registry: &Registry, name: &str) -> Result<Arc<Upstream>, String> {
    registry.get(name).ok_or_else(|| {
        let all = registry.all();
        let known: Vec<&str> = all.iter().map(|upstream| upstream.name()).collect();
        if known.is_empty() {
            return "the configuration has no upstream".to_owned();
        }
        format!("there is no upstream \"{name}\". {}", suggest(name, &known))
    })
}

fn no_endpoint(upstream: &Upstream, which: &str) -> String {
    let endpoints = upstream.endpoints();
    let known: Vec<String> = endpoints.iter().map(ToString::to_string).collect();
    let known: Vec<&str> = known.iter().map(String::as_str).take(SHOWN).collect();
    format!(
        "upstream \"{}\" has no endpoint \"{which}\". {}",
        upstream.name(),
        suggest(which, &known)
    )
}

fn text<'a>(request: &'a Value, key: &str) -> Option<&'a str> {
    request.get(key).and_then(Value::as_str)
}

/// Endpoints that a complaint names.
const SHOWN: usize = 20;
