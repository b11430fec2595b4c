//! `egret upstream`: how endpoints are, and what an operator wants of them.
//! Not what that means for requests, which is the upstream's business.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::args::{OfEndpoint, UpstreamAction, Weight};
use super::control::Control;
use super::say;

pub(super) fn upstream(control: &Control, action: &UpstreamAction) -> ExitCode {
    match action {
        UpstreamAction::List { upstream, json } => list(control, upstream.as_deref(), *json),
        UpstreamAction::Drain(of) => admin(control, of, "drain"),
        UpstreamAction::Disable(of) => admin(control, of, "disable"),
        UpstreamAction::Enable(of) => admin(control, of, "enable"),
        UpstreamAction::Weight { of, weight } => set_weight(control, of, *weight),
    }
}

fn admin(control: &Control, of: &OfEndpoint, admin: &str) -> ExitCode {
    let done = match admin {
        "drain" => "drained",
        "disable" => "disabled",
        _ => "enabled",
    };
    let request = json!({
        "command": "upstream-change",
        "upstream": of.upstream,
        "endpoint": of.endpoint,
        "admin": admin,
    });
    change(control, &request, of, done)
}

fn set_weight(control: &Control, of: &OfEndpoint, Weight(weight): Weight) -> ExitCode {
    let done = match weight {
        Some(weight) => format!("weight {weight}"),
        None => "the configured weight".to_owned(),
    };
    let request = json!({
        "command": "upstream-change",
        "upstream": of.upstream,
        "endpoint": of.endpoint,
        "weight": weight,
    });
    change(control, &request, of, &done)
}

/// A name may have several addresses: then it is said how many were meant.
fn change(control: &Control, request: &Value, of: &OfEndpoint, done: &str) -> ExitCode {
    let Some(answer) = control.ask(request) else {
        return ExitCode::from(2);
    };
    let changed = number(&answer, "changed");
    let many = if changed == 1 {
        String::new()
    } else {
        format!(" ({changed} endpoints)")
    };
    say(&format!("{} {}: {done}{many}", of.upstream, of.endpoint));
    ExitCode::SUCCESS
}

fn list(control: &Control, upstream: Option<&str>, as_json: bool) -> ExitCode {
    let request = json!({ "command": "upstream-list", "upstream": upstream });
    let Some(answer) = control.ask(&request) else {
        return ExitCode::from(2);
    };
    let upstreams = list_of(&answer, "upstreams");
    if as_json {
        say(&Value::Array(upstreams.to_vec()).to_string());
        return ExitCode::SUCCESS;
    }
    if upstreams.is_empty() {
        say("there is no upstream");
    }
    for upstream in upstreams {
        show(upstream);
    }
    ExitCode::SUCCESS
}

fn show(upstream: &Value) {
    let mut line = format!("{} ({})", text(upstream, "name"), text(upstream, "balance"));
    if upstream.get("panic") == Some(&Value::Bool(true)) {
        line += ": PANIC, all endpoints are used";
    }
    for key in ["pending", "refused"] {
        let count = number(upstream, key);
        if count > 0 {
            line += &format!(", {count} {key}");
        }
    }
    say(&line);
    for problem in list_of(upstream, "problems") {
        say(&format!("  ! {}", problem.as_str().unwrap_or_default()));
    }
    say(&format!(
        "  {:40}  {:9}  {:8}  {:>6}  {:>7}  {:>10}  {:>8}  LATENCY",
        "ENDPOINT", "HEALTH", "WANTED", "WEIGHT", "ACTIVE", "REQUESTS", "FAILED"
    ));
    for endpoint in list_of(upstream, "endpoints") {
        say(&row(endpoint));
    }
}

fn row(endpoint: &Value) -> String {
    let address = text(endpoint, "address");
    let named = match endpoint.get("host").and_then(Value::as_str) {
        Some(host) => format!("{host}/{address}"),
        None => address.to_owned(),
    };
    let seconds = |key: &str| endpoint.get(key).and_then(Value::as_u64);
    let circular = endpoint.get("circular") == Some(&Value::Bool(true));
    let health = match (seconds("ejected"), seconds("resting")) {
        _ if circular => "circle".to_owned(),
        (Some(seconds), _) => format!("out {seconds}s"),
        (None, Some(seconds)) => format!("rests {seconds}s"),
        (None, None) => text(endpoint, "health").to_owned(),
    };
    let latency = endpoint.get("latency").and_then(Value::as_f64);
    let latency = latency.map_or_else(|| "-".to_owned(), |millis| format!("{millis:.1}ms"));
    let backup = endpoint.get("backup") == Some(&Value::Bool(true));
    format!(
        "  {named:40}  {health:9}  {:8}  {:>6}  {:>7}  {:>10}  {:>8}  {latency}{}",
        text(endpoint, "admin"),
        number(endpoint, "weight"),
        number(endpoint, "active"),
        number(endpoint, "requests"),
        number(endpoint, "failures"),
        if backup { "  backup" } else { "" },
    )
}

fn list_of<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    let list = value.get(key).and_then(Value::as_array);
    list.map_or(&[], Vec::as_slice)
}

fn number(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or(0)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or("-")
}
