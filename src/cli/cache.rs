//! `egret cache`: what the running process has stored, and the way out of there.
//! Not what is stored and for how long, which is the engine's and the origins' business.
//! Start at [`cache`].

use std::process::ExitCode;

use serde_json::{Value, json};

use super::args::{CacheAction, CachePurge};
use super::control::Control;
use super::{complain, say};
use crate::settings::ByteSize;

pub(super) fn cache(control: &Control, action: &CacheAction) -> ExitCode {
    match action {
        CacheAction::Purge(purge) => self::purge(control, purge),
        CacheAction::Inspect { url, json } => inspect(control, url, *json),
        CacheAction::Stats { json } => stats(control, *json),
    }
}

/// Exit code 1 where the disk could not note it.
fn purge(control: &Control, purge: &CachePurge) -> ExitCode {
    let CachePurge {
        url,
        prefix,
        tag,
        all,
    } = purge;
    let request =
        json!({ "command": "cache-purge", "uri": url, "prefix": prefix, "tag": tag, "all": all });
    let Some(answer) = control.ask(&request) else {
        return ExitCode::from(2);
    };
    let purged = answer.get("purged").unwrap_or(&Value::Null);
    let memory = number(purged, "memory");
    let on_disk = text(purged, "disk") == "in-background";
    // In the form of the keys, where the process says it.
    let named = text(&answer, "what");
    let what = match (prefix, tag) {
        (Some(_), _) => format!("what begins with {named}"),
        (_, Some(_)) => format!("the tag {named}"),
        (None, None) if *all => "anything".to_owned(),
        (None, None) => named.to_owned(),
    };
    match (memory, on_disk) {
        (0, false) => {
            say(&format!("nothing stored for {what}"));
            hint(named);
        }
        (_, false) => say(&format!("purged: {memory} in memory")),
        (0, true) => say(&format!(
            "nothing in memory for {what}; what there is on disk is not used any more and goes in the background"
        )),
        (_, true) => say(&format!(
            "purged: {memory} in memory; what is on disk is not used any more and goes in the background"
        )),
    }
    let Some(trouble) = purged.get("trouble").and_then(Value::as_str) else {
        return ExitCode::SUCCESS;
    };
    complain(&format!(
        "the disk did not note it: {trouble}\n   = purge again when the disk is well: after a restart, what is purged may be used again"
    ));
    ExitCode::FAILURE
}

/// Exit code 1 where nothing is stored.
fn inspect(control: &Control, url: &str, as_json: bool) -> ExitCode {
    let Some(answer) = control.ask(&json!({ "command": "cache-inspect", "uri": url })) else {
        return ExitCode::from(2);
    };
    let variants = answer.get("variants").and_then(Value::as_array);
    let variants = variants.cloned().unwrap_or_default();
    let found = !variants.is_empty();
    if as_json {
        say(&answer.to_string());
    } else if found {
        for variant in &variants {
            show(variant);
        }
    } else {
        let uri = text(&answer, "uri");
        say(&format!("nothing stored for {uri}"));
        hint(uri);
    }
    if found {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Why somebody may have expected something there.
fn hint(uri: &str) {
    if uri.contains('?') {
        say(
            "   = query parameters that a rule ignores (ignore-query) are left out of what is stored",
        );
    }
}

fn show(variant: &Value) {
    let list = |key: &str| {
        let list = variant.get(key).and_then(Value::as_array);
        let words = list.into_iter().flatten().filter_map(Value::as_str);
        words.map(safe).collect::<Vec<_>>().join(", ")
    };
    let ttl = variant.get("ttl").and_then(Value::as_i64).unwrap_or(0);
    let fresh = if variant.get("fresh") == Some(&Value::Bool(true)) {
        format!("fresh for {ttl}s")
    } else {
        format!("stale since {}s", ttl.unsigned_abs())
    };
    say(&format!(
        "{} {}, {fresh}",
        number(variant, "status"),
        safe(text(variant, "uri"))
    ));
    let size = ByteSize(number(variant, "size"));
    let lines = [
        ("stored", safe(text(variant, "stored_at"))),
        (
            "age",
            format!(
                "{}s of {}s",
                number(variant, "age"),
                number(variant, "lifetime")
            ),
        ),
        ("size", format!("{size}, tier: {}", text(variant, "tier"))),
        (
            "hits",
            match variant.get("hits").and_then(Value::as_u64) {
                Some(hits) => hits.to_string(),
                None => String::new(),
            },
        ),
        ("varies by", list("vary")),
        (
            "key also has",
            safe(
                variant
                    .get("key_extras")
                    .and_then(Value::as_str)
                    .unwrap_or_default(),
            ),
        ),
        ("tags", list("tags")),
        ("etag", optional(variant, "etag")),
        ("last modified", optional(variant, "last_modified")),
    ];
    for (name, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
        say(&format!("  {name}: {value}"));
    }
}

fn stats(control: &Control, as_json: bool) -> ExitCode {
    let Some(answer) = control.ask(&json!({ "command": "cache-stats" })) else {
        return ExitCode::from(2);
    };
    let stats = answer.get("cache").unwrap_or(&Value::Null);
    if as_json {
        say(&stats.to_string());
        return ExitCode::SUCCESS;
    }
    if let Some(memory) = stats.get("memory") {
        say(&tier("memory", memory));
    }
    if let Some(disk) = stats.get("disk").filter(|disk| !disk.is_null()) {
        say(&tier("disk", disk));
    }
    say(&format!("largest: {}", ByteSize(number(stats, "largest"))));
    let names = [
        "hits",
        "stale_hits",
        "validated",
        "misses",
        "collapsed",
        "bypassed",
        "stored",
        "cut_short",
        "invalidated",
        "purges",
    ];
    for name in names {
        say(&format!("{name}: {}", number(stats, name)));
    }
    ExitCode::SUCCESS
}

/// `disk: 12 responses, 3.4MiB of 20GiB, 5 evicted`, and what else there is to say.
fn tier(name: &str, tier: &Value) -> String {
    let mut line = format!(
        "{name}: {} responses, {} of {}, {} evicted",
        number(tier, "entries"),
        ByteSize(number(tier, "bytes")),
        ByteSize(number(tier, "bound")),
        number(tier, "evictions"),
    );
    for (key, words) in [
        ("warming", "still being looked through"),
        ("degraded", "FAILED, nothing is written"),
    ] {
        if tier.get(key) == Some(&Value::Bool(true)) {
            line += &format!(", {words}");
        }
    }
    for (key, words) in [
        ("torn", "torn"),
        ("dropped_writes", "not written"),
        ("errors", "errors"),
    ] {
        if number(tier, key) > 0 {
            line += &format!(", {} {words}", number(tier, key));
        }
    }
    line
}

fn number(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or(0)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or("-")
}

fn optional(value: &Value, key: &str) -> String {
    safe(value.get(key).and_then(Value::as_str).unwrap_or_default())
}

/// What an origin sent may hold anything, also what moves a terminal's cursor.
fn safe(text: &str) -> String {
    let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(plain).collect()
}
