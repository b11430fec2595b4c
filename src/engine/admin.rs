//! What the admin socket's commands do. What changes the process is done at once; what waits for workers or names is a future
//! of its own, so that the main loop waits for neither. Not the socket (desk).
//! Start at [`carry_out`].

use std::future::ready;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use serde_json::{Value, json};

use super::cache;
use super::certificates;
use super::desk::Answer;
use super::main_loop::Engine;
use super::upstreams;
use super::worker::{Line, Worker};
use crate::config::Config;
use crate::fault::Fault;
use crate::gate::OwnListeners;
use crate::policy::Explanation;
use crate::question::Question;
use crate::report::{Filter, RequestId, Totals};
use crate::resolve::Resolver;

/// Carries a request out.
pub(super) fn carry_out(engine: &mut Engine, request: &Value) -> Answer {
    let command = request.get("command").and_then(Value::as_str);
    match command.unwrap_or_default() {
        "reload" => {
            let answer = reload(engine, request);
            Box::pin(in_force(lines(engine), answer))
        }
        "drain" => {
            engine.drain();
            Box::pin(ready(Ok(json!({ "draining": true }))))
        }
        "upgrade" => {
            let answer = engine.upgrade();
            Box::pin(async {
                let result = answer.await;
                let pid = result.unwrap_or_else(|_| Err("the process has ended".to_owned()))?;
                Ok(json!({ "pid": pid }))
            })
        }
        "status" => status(engine),
        "flows" => match filter(request) {
            Ok(filter) => Box::pin(flows(lines(engine), filter)),
            Err(error) => Box::pin(ready(Err(error))),
        },
        "kill" => match filter(request).and_then(|f| f.ok_or_else(|| WHICH.to_owned())) {
            Ok(filter) => Box::pin(kill(lines(engine), filter)),
            Err(error) => Box::pin(ready(Err(error))),
        },
        "explain" => {
            let explained = explain(engine, request);
            Box::pin(async {
                let explanation = explained?.await?;
                Ok(json!({ "text": explanation.to_string(), "explanation": explanation }))
            })
        }
        command @ ("cache-purge" | "cache-inspect" | "cache-stats") => {
            cache::carry_out(engine.lasting.cache(), command, request)
        }
        command @ ("upstream-list" | "upstream-change") => {
            upstreams::carry_out(engine.lasting.upstreams(), command, request)
        }
        other => Box::pin(ready(Err(format!("unknown command \"{other}\"")))),
    }
}

const WHICH: &str = "say which flows: --where KEY=VALUE";

fn lines(engine: &Engine) -> Vec<Line> {
    engine.workers.iter().map(Worker::line).cloned().collect()
}

fn reload(engine: &mut Engine, request: &Value) -> Value {
    let ignore = request.get("ignore_expect").and_then(Value::as_bool);
    let rendered = |faults: &[Fault]| faults.iter().map(Fault::render).collect::<Vec<_>>();
    match engine.reload(ignore.unwrap_or(false)) {
        Ok(warnings) => json!({ "reloaded": true, "warnings": rendered(&warnings) }),
        Err(faults) => json!({ "reloaded": false, "faults": rendered(&faults) }),
    }
}

/// Answers when every worker follows: whoever reads "reloaded" may count on it.
async fn in_force(workers: Vec<Line>, answer: Value) -> Result<Value, String> {
    for worker in &workers {
        // A worker that has ended follows nothing any more.
        let _ = worker.ask(|_| ()).await;
    }
    Ok(answer)
}

fn filter(request: &Value) -> Result<Option<Arc<Filter>>, String> {
    let text = request.get("where").and_then(Value::as_str);
    text.map(|text| {
        Filter::parse(text)
            .map(Arc::new)
            .map_err(|fault| fault.render())
    })
    .transpose()
}

async fn flows(workers: Vec<Line>, filter: Option<Arc<Filter>>) -> Result<Value, String> {
    let mut flows = Vec::new();
    for worker in &workers {
        let filter = filter.clone();
        let of_worker = worker
            .ask(move |parts| parts.flows.snapshot(filter.as_deref()))
            .await;
        flows.extend(of_worker.unwrap_or_default());
    }
    Ok(json!({ "flows": flows }))
}

async fn kill(workers: Vec<Line>, filter: Arc<Filter>) -> Result<Value, String> {
    let reason: Arc<str> = "ended by an operator".into();
    let mut killed = 0;
    for worker in &workers {
        let (filter, reason) = (filter.clone(), reason.clone());
        killed += worker
            .ask(move |parts| parts.flows.kill_where(&filter, &reason))
            .await
            .unwrap_or(0);
    }
    Ok(json!({ "killed": killed }))
}

fn status(engine: &Engine) -> Answer {
    let shown = |transport: &str, (name, address): (&str, SocketAddr)| {
        let address = address.to_string();
        json!({ "listener": name, "address": address, "transport": transport })
    };
    let streams = engine.listeners.addresses().map(|one| shown("tcp", one));
    let datagrams = engine.datagrams.addresses().map(|one| shown("udp", one));
    let listeners: Vec<Value> = streams.chain(datagrams).collect();
    let lists: Vec<Value> = engine
        .config
        .lists()
        .map(|list| json!({ "list": list.name(), "report": list.report().to_string(), "fault": list.standing_fault().map(|fault| fault.to_string()) }))
        .collect();
    let mut status = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "config": engine.config.path.display().to_string(),
        "uptime_seconds": engine.started.elapsed().as_secs(),
        "workers": engine.workers.len(),
        "draining": engine.draining,
        "reloads": engine.reloads,
        "listeners": listeners,
        "lists": lists,
        "certificates": certificates::status(&engine.config),
        "cache": cache::status(engine.lasting.cache()),
        "upstreams": upstreams::status(engine.lasting.upstreams()),
    });
    if let (Some(status), Some(interception)) =
        (status.as_object_mut(), engine.lasting.interception())
    {
        status.insert("leaves".to_owned(), json!(interception.minted()));
    }
    let mut totals = Totals {
        records: engine.log.stats(),
        ..Totals::default()
    };
    let workers = lines(engine);
    Box::pin(async move {
        let mut idle = 0;
        let mut flows = 0;
        for worker in &workers {
            let of_worker = worker.ask(|parts| {
                let totals = parts.counters.totals();
                (totals, parts.pool.idle(), parts.flows.len())
            });
            if let Some((of_worker, idle_here, flows_here)) = of_worker.await {
                totals.add(&of_worker);
                idle += idle_here;
                flows += flows_here;
            }
        }
        if let Some(status) = status.as_object_mut() {
            status.insert("flows".to_owned(), json!(flows));
            status.insert("idle_origin_connections".to_owned(), json!(idle));
            status.insert("totals".to_owned(), json!(totals));
        }
        Ok(status)
    })
}

/// Explains a question with the policy in force, or the decision that a record's id names.
fn explain(
    engine: &Engine,
    request: &Value,
) -> Result<impl Future<Output = Result<Explanation, String>> + use<>, String> {
    let (id, question) = (request.get("id"), request.get("question"));
    let id: Option<RequestId> = id
        .and_then(Value::as_str)
        .map(|id| id.parse().map_err(|error| format!("{error}")))
        .transpose()?;
    let question: Option<Question> = question
        .cloned()
        .map(serde_json::from_value)
        .transpose()
        .map_err(|error| error.to_string())?;
    let (workers, config, own) = (lines(engine), engine.config.clone(), engine.own());
    Ok(async move {
        match (id, question) {
            (Some(id), _) => of_late(&workers, id).await,
            (None, Some(question)) => live(&config, &own, &question).await,
            (None, None) => Err("there is no question".to_owned()),
        }
    })
}

async fn of_late(workers: &[Line], id: RequestId) -> Result<Explanation, String> {
    for worker in workers {
        if let Some(Some(explanation)) = worker.ask(move |parts| parts.explain(id)).await {
            return Ok(explanation);
        }
    }
    Err(format!(
        "no worker remembers {id}: each keeps the last 1024 refusals, and the last 128 requests that it let through"
    ))
}

async fn live(
    config: &Config,
    own: &OwnListeners,
    question: &Question,
) -> Result<Explanation, String> {
    let asked = question.read()?;
    let name = asked.unresolved();
    let resolved: Option<Vec<IpAddr>> = match name.filter(|_| config.goes_by_addresses(&asked)) {
        Some(name) => {
            let answer = config.dns.build().resolve(name).await;
            answer.ok().map(|answer| answer.addresses.to_vec())
        }
        None => None,
    };
    config
        .explain(&asked, resolved, own)
        .map_err(|fault| fault.render())
}
