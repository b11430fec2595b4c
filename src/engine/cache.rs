//! What the admin socket's commands do to the cache. They wait for the disk, so that the main loop does not.
//! Not the cache itself. Start at [`carry_out`].

use std::future::ready;
use std::sync::Arc;

use serde_json::{Value, json};

use super::desk::Answer;
use crate::cache::{Cache, Purge, purge};
use crate::fault::Fault;

/// Carries one of the cache's commands out.
pub(super) fn carry_out(cache: Option<&Arc<Cache>>, command: &str, request: &Value) -> Answer {
    let Some(cache) = cache.cloned() else {
        return Box::pin(ready(Err(NONE.to_owned())));
    };
    match command {
        "cache-purge" => match what(request) {
            Ok(what) => Box::pin(purge(cache, what)),
            Err(fault) => Box::pin(ready(Err(fault.render()))),
        },
        "cache-inspect" => match purge::uri(text(request, "uri")) {
            Ok(uri) => Box::pin(inspect(cache, uri)),
            Err(fault) => Box::pin(ready(Err(fault.render()))),
        },
        _ => Box::pin(ready(Ok(json!({ "cache": cache.stats() })))),
    }
}

/// For `egret status`: its numbers, or that there is none.
pub(super) fn status(cache: Option<&Arc<Cache>>) -> Value {
    cache.map_or_else(|| json!("off"), |cache| json!(cache.stats()))
}

fn what(request: &Value) -> Result<Purge, Fault> {
    let given = |key: &str| request.get(key).and_then(Value::as_str);
    match (given("uri"), given("prefix"), given("tag")) {
        (Some(uri), None, None) => Purge::uri(uri),
        (None, Some(prefix), None) => Purge::prefix(prefix),
        (None, None, Some(tag)) => Purge::tag(tag),
        (None, None, None) if request.get("all") == Some(&Value::Bool(true)) => Ok(Purge::All),
        (_, _, _) => Err(Fault::new(
            "it is not said what is to be purged",
            "name one of a URL, --prefix, --tag and --all",
        )),
    }
}

async fn purge(cache: Arc<Cache>, what: Purge) -> Result<Value, String> {
    let purged = cache.purge(&what).await;
    let what = match &what {
        Purge::Uri(uri) => uri,
        Purge::Prefix(prefix) => prefix,
        Purge::Tag(tag) => tag,
        Purge::All => "",
    };
    tracing::info!(what, memory = purged.memory, "purged by an operator");
    Ok(json!({ "what": what, "purged": purged }))
}

async fn inspect(cache: Arc<Cache>, uri: String) -> Result<Value, String> {
    let variants = cache.inspect(&uri).await;
    Ok(json!({ "uri": uri, "variants": variants }))
}

fn text<'a>(request: &'a Value, key: &str) -> &'a str {
    request.get(key).and_then(Value::as_str).unwrap_or_default()
}

const NONE: &str = "the process has no cache: its configuration has no [cache]";
