//! The admin socket: one JSON request a line, one JSON answer a line. Only the user of the process can connect to it.

use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

use super::main_loop::Engine;
use crate::addr::Host;
use crate::fault::Fault;
use crate::policy::Explanation;
use crate::question::Question;
use crate::report::{Filter, RequestId, Totals};
use crate::resolve::Resolver;

/// The socket, and the file that it is.
#[derive(Debug)]
pub(super) struct Admin {
    socket: UnixListener,
    path: PathBuf,
}

/// A request that waits for its answer.
#[derive(Debug)]
pub(super) struct Asked {
    request: Value,
    stream: BufReader<UnixStream>,
}

/// Where the socket is where nobody says otherwise: a folder of the user's own, which nobody else can put a file into.
pub fn default_path() -> Option<PathBuf> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let system = || {
        rustix::process::geteuid()
            .is_root()
            .then(|| PathBuf::from("/run"))
    };
    runtime
        .or_else(system)
        .map(|folder| folder.join("egret.sock"))
}

impl Admin {
    /// Binds the socket. One that was asked for must work; the default one is left out with a warning where it does not.
    pub(super) fn bind(asked: Option<&Path>) -> Result<Option<Self>, Fault> {
        let Some(path) = asked.map(Path::to_owned).or_else(default_path) else {
            return Ok(None);
        };
        match Self::open(&path) {
            Ok(admin) => Ok(Some(admin)),
            Err(error) if asked.is_some() => {
                let problem = format!("cannot open the admin socket {}: {error}", path.display());
                Err(Fault::new(
                    problem,
                    "name another place: [admin] socket = \"…\"",
                ))
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "no admin socket: reload, drain and status do not work");
                Ok(None)
            }
        }
    }

    fn open(path: &Path) -> std::io::Result<Self> {
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(std::io::Error::new(
                std::io::ErrorKind::AddrInUse,
                "another process answers there",
            ));
        }
        if std::fs::symlink_metadata(path)
            .is_ok_and(|file| std::os::unix::fs::FileTypeExt::is_socket(&file.file_type()))
        {
            std::fs::remove_file(path)?;
        }
        let socket = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self {
            socket,
            path: path.to_owned(),
        })
    }

    pub(super) fn remove(self) {
        // Gone already is as good.
        let _ = std::fs::remove_file(self.path);
    }
}

/// Waits for the next request; forever where there is no socket. Cancel-safe up to the connection that was being read.
pub(super) async fn next(admin: Option<&Admin>) -> Asked {
    let Some(admin) = admin else {
        return std::future::pending().await;
    };
    loop {
        let Ok((stream, _)) = admin.socket.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        let mut bounded = (&mut stream).take(REQUEST_LIMIT);
        let read = tokio::time::timeout(PATIENCE, bounded.read_line(&mut line)).await;
        if let (Ok(Ok(_)), Ok(request)) = (read, serde_json::from_str(&line)) {
            return Asked { request, stream };
        }
    }
}

/// Carries a request out and answers it.
pub(super) async fn answer(engine: &mut Engine, asked: Asked) {
    let Asked {
        request,
        mut stream,
    } = asked;
    let answer = carry_out(engine, &request)
        .await
        .unwrap_or_else(|error| json!({ "error": error }));
    let text = format!("{answer}\n");
    // Who asked may have gone.
    let _ = tokio::time::timeout(PATIENCE, stream.write_all(text.as_bytes())).await;
}

async fn carry_out(engine: &mut Engine, request: &Value) -> Result<Value, String> {
    match request
        .get("command")
        .and_then(Value::as_str)
        .unwrap_or_default()
    {
        "reload" => {
            let ignore = request
                .get("ignore_expect")
                .and_then(Value::as_bool)
                .unwrap_or(false);
            Ok(match engine.reload(ignore) {
                Ok(()) => json!({ "reloaded": true }),
                Err(faults) => {
                    json!({ "reloaded": false, "faults": faults.iter().map(Fault::render).collect::<Vec<_>>() })
                }
            })
        }
        "drain" => {
            engine.drain();
            Ok(json!({ "draining": true }))
        }
        "status" => status(engine).await,
        "flows" => {
            let filter = filter(request)?.map(Arc::new);
            let mut flows = Vec::new();
            for worker in &engine.workers {
                let filter = filter.clone();
                flows.extend(
                    worker
                        .ask(move |parts| parts.flows.snapshot(filter.as_deref()))
                        .await
                        .unwrap_or_default(),
                );
            }
            Ok(json!({ "flows": flows }))
        }
        "kill" => {
            let filter = Arc::new(filter(request)?.ok_or("say which flows: --where KEY=VALUE")?);
            let reason: Arc<str> = "ended by an operator".into();
            let mut killed = 0;
            for worker in &engine.workers {
                let (filter, reason) = (filter.clone(), reason.clone());
                killed += worker
                    .ask(move |parts| parts.flows.kill_where(&filter, &reason))
                    .await
                    .unwrap_or(0);
            }
            Ok(json!({ "killed": killed }))
        }
        "explain" => explain(engine, request).await.map(
            |explanation| json!({ "text": explanation.to_string(), "explanation": explanation }),
        ),
        other => Err(format!("unknown command \"{other}\"")),
    }
}

fn filter(request: &Value) -> Result<Option<Filter>, String> {
    let text = request.get("where").and_then(Value::as_str);
    text.map(|text| Filter::parse(text).map_err(|fault| fault.render()))
        .transpose()
}

async fn status(engine: &Engine) -> Result<Value, String> {
    let mut totals = Totals::default();
    let mut idle = 0;
    let mut flows = 0;
    for worker in &engine.workers {
        let of_worker = worker
            .ask(|parts| {
                (
                    parts.counters.totals(),
                    parts.pool.idle(),
                    parts.flows.len(),
                )
            })
            .await;
        if let Some((of_worker, idle_here, flows_here)) = of_worker {
            totals.add(&of_worker);
            idle += idle_here;
            flows += flows_here;
        }
    }
    totals.records = engine.log.stats();
    let listeners: Vec<Value> = engine
        .listeners
        .addresses()
        .map(|(name, address)| json!({ "listener": name, "address": address.to_string() }))
        .collect();
    let lists: Vec<Value> = engine
        .config
        .lists()
        .map(|list| json!({ "list": list.name(), "report": list.report().to_string(), "fault": list.standing_fault().map(|fault| fault.to_string()) }))
        .collect();
    Ok(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "config": engine.config.path.display().to_string(),
        "uptime_seconds": engine.started.elapsed().as_secs(),
        "workers": engine.workers.len(),
        "draining": engine.draining,
        "reloads": engine.reloads,
        "listeners": listeners,
        "lists": lists,
        "flows": flows,
        "idle_origin_connections": idle,
        "totals": totals,
    }))
}

/// Explains a question with the policy in force, or the decision that a record's id names.
async fn explain(engine: &Engine, request: &Value) -> Result<Explanation, String> {
    if let Some(id) = request.get("id").and_then(Value::as_str) {
        let id: RequestId = id.parse().map_err(|error| format!("{error}"))?;
        for worker in &engine.workers {
            if let Some(Some(explanation)) = worker.ask(move |parts| parts.explain(id)).await {
                return Ok(explanation);
            }
        }
        return Err(format!(
            "no worker remembers {id}; the last 1024 decisions of each are kept"
        ));
    }
    let question = request
        .get("question")
        .cloned()
        .ok_or("there is no question")?;
    let question: Question = serde_json::from_value(question).map_err(|error| error.to_string())?;
    let asked = question.read()?;
    let listener = engine.config.listeners.iter().find(|listener| {
        asked
            .listener
            .as_deref()
            .is_none_or(|name| name == &*listener.name)
    });
    let listener = listener.ok_or("there is no such listener")?;
    let addresses = match (&asked.authority.host, &asked.addresses) {
        (Host::Name(name), None) => {
            let answer = engine.config.dns.build().resolve(name).await;
            answer
                .ok()
                .map(|answer| answer.addresses.iter().copied().collect::<Vec<IpAddr>>())
        }
        (Host::Addr(ip), None) => Some(vec![*ip]),
        (_, Some(addresses)) => Some(addresses.clone()),
    };
    let addresses: Option<Vec<SocketAddr>> = addresses.map(|ips| {
        ips.into_iter()
            .map(|ip| SocketAddr::new(ip, asked.authority.port))
            .collect()
    });
    let identified = asked.principal.clone().or_else(|| {
        listener
            .auth
            .as_ref()
            .and_then(|auth| auth.by_address(asked.client))
    });
    let own = engine.own();
    let facts = asked.facts(&listener.name, identified.as_ref());
    Ok(listener
        .policy
        .explain(&facts, addresses.as_deref(), &|address| {
            own.contains(address)
        }))
}

const REQUEST_LIMIT: u64 = 64 << 10;
const PATIENCE: Duration = Duration::from_secs(2);
