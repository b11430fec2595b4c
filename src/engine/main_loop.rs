//! The main thread: starts the workers, then waits for signals and commands. All slow work is done here, or waited for here (aside).
//! Not what a reload, an upgrade or a command does: each has a file of its own.
//! Start at [`run`].

use std::net::{TcpListener, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::admin;
use super::aside::aside;
use super::certificates;
use super::colleagues::Colleagues;
use super::desk::Desk;
use super::handover::Inherited;
use super::listeners::Listeners;
use super::service::{self, Watchdog};
use super::snapshot::Lasting;
use super::upgrade::Upgrade;
use super::upkeep::Upkeep;
use super::worker::{Command, Worker};
use crate::config::{self, Config};
use crate::fault::Fault;
use crate::policy::list::Refresh;
use crate::report::AccessLog;

/// How the process was started.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The configuration file; `None` for the built-in one.
    pub config: Option<PathBuf>,
    /// Workers, instead of what the configuration says.
    pub workers: Option<usize>,
    /// The admin socket, instead of what the configuration says.
    pub socket: Option<PathBuf>,
    /// Start although `[[expect]]` cases fail.
    pub ignore_expect: bool,
}

/// How a process came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// A signal or a command.
    Asked,
    /// A worker ended by itself; the log says how. The others were drained.
    Broken,
}

/// Runs until a signal or command ends it. Errors: every fault of the configuration, or of the machine.
pub fn run(options: &Options) -> Result<End, Vec<Fault>> {
    let inherited = Inherited::take().map_err(|error| {
        let remedy = "start the process anew, not as the successor of another one";
        vec![Fault::new(
            format!("cannot take over sockets: {error}"),
            remedy,
        )]
    })?;
    let config = checked(options, options.ignore_expect)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let cannot_start = |error| {
        let remedy = "raise the limit of open files (ulimit -n), or stop what uses them up";
        vec![Fault::new(format!("cannot start: {error}"), remedy)]
    };
    let runtime = runtime.map_err(cannot_start)?;
    runtime.block_on(async {
        // Before anybody is told that the process is ready: whoever is told may send one at once.
        let signals = Signals::catch().map_err(cannot_start)?;
        let mut engine = Engine::start(options.clone(), config, inherited)?;
        engine.serve(signals).await;
        Ok(engine.stop())
    })
}

/// The signals that the process hears.
struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
    usr1: Signal,
    usr2: Signal,
}

impl Signals {
    fn catch() -> std::io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
            usr1: signal(SignalKind::user_defined1())?,
            usr2: signal(SignalKind::user_defined2())?,
        })
    }
}

/// The process as the main loop holds it.
pub(super) struct Engine {
    pub(super) options: Options,
    pub(super) config: Arc<Config>,
    pub(super) workers: Vec<Worker>,
    pub(super) listeners: Listeners<TcpListener>,
    pub(super) datagrams: Listeners<UdpSocket>,
    pub(super) log: AccessLog,
    pub(super) started: Instant,
    pub(super) draining: bool,
    pub(super) reloads: u64,
    pub(super) lasting: Lasting,
    pub(super) upkeep: Upkeep,
    ended: mpsc::UnboundedReceiver<u16>,
    pub(super) desk: Desk,
    pub(super) upgrading: Upgrade,
    pub(super) watchdog: Watchdog,
    /// When it was last looked for certificates that expire.
    warned: Instant,
    /// The admin socket that was named when the process started.
    pub(super) socket: Option<PathBuf>,
    end: End,
}

impl Engine {
    fn start(
        options: Options,
        config: Config,
        mut inherited: Inherited,
    ) -> Result<Self, Vec<Fault>> {
        let count = workers(&options, &config);
        let one = |fault| vec![fault];
        let mut listeners = Listeners::default();
        let mut change = listeners.prepare(&config, count, &mut inherited)?;
        let mut datagrams = Listeners::default();
        let mut of_datagrams = datagrams.prepare(&config, count, &mut inherited)?;
        let log = AccessLog::start(&config.access).map_err(one)?;
        let socket = options.socket.clone().or_else(|| config.admin.clone());
        let desk = Desk::open(socket.as_deref(), &mut inherited).map_err(one)?;
        let mut lasting = Lasting::new(inherited.follows());
        let snapshot = Arc::new(lasting.snapshot(&config).map_err(one)?);
        let (sender, ended) = mpsc::unbounded_channel();
        let worker = |(number, colleagues)| {
            let number = u16::try_from(number).unwrap_or(u16::MAX);
            let (snapshot, reporter) = (snapshot.clone(), log.reporter());
            let worker = Worker::start(number, colleagues, snapshot, reporter, sender.clone());
            let remedy = "raise the limit of threads";
            worker.map_err(|error| Fault::new(format!("cannot start a worker: {error}"), remedy))
        };
        let each = Colleagues::of(count).into_iter().enumerate();
        let workers: Result<Vec<Worker>, Fault> = each.map(worker).collect();
        let workers = workers.map_err(one)?;
        listeners.commit(&mut change);
        datagrams.commit(&mut of_datagrams);
        lasting
            .own()
            .replace(listeners.places(), datagrams.places());
        let mut upkeep = Upkeep::start(&workers, lasting.upkeep(&config, listeners.addresses()));
        for (worker, sockets) in workers.iter().zip(change.opened) {
            worker.line().tell(Command::Open(sockets));
        }
        for (worker, sockets) in workers.iter().zip(of_datagrams.opened) {
            worker.line().tell(Command::OpenDatagrams(sockets));
        }
        upkeep.wait();
        let engine = Self {
            options,
            config: config.into(),
            workers,
            listeners,
            datagrams,
            log,
            started: Instant::now(),
            draining: false,
            reloads: 0,
            lasting,
            upkeep,
            ended,
            desk,
            upgrading: Upgrade::default(),
            watchdog: Watchdog::new(),
            socket,
            warned: Instant::now(),
            end: End::Asked,
        };
        engine.announce();
        inherited.ready();
        service::ready();
        certificates::warn_of_expiry(&engine.config);
        Ok(engine)
    }

    /// Says where it listens, and for the built-in configuration how to use it.
    fn announce(&self) {
        let datagrams = self.datagrams.addresses();
        for (listener, address) in self.listeners.addresses().chain(datagrams) {
            tracing::info!("listening listener={listener} address={address}");
        }
        if self.options.config.is_none() {
            let address = self
                .listeners
                .addresses()
                .next()
                .map_or_else(String::new, |(_, address)| address.to_string());
            tracing::info!(
                "built-in configuration: public addresses on ports 80 and 443; private, loopback and metadata addresses are refused"
            );
            tracing::info!(
                "use it with: export HTTP_PROXY=http://{address} HTTPS_PROXY=http://{address}"
            );
        }
        for list in self.config.lists() {
            tracing::info!("list {}: {}", list.name(), list.report());
        }
        for warning in self.config.warnings() {
            tracing::warn!("{}", warning.render());
        }
        tracing::info!(workers = self.workers.len(), config = %self.config.path.display(), "ready");
    }

    async fn serve(&mut self, mut signals: Signals) {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        let mut left = self.workers.len();
        while left > 0 {
            tokio::select! {
                _ = signals.term.recv() => self.drain(),
                _ = signals.int.recv() => self.drain(),
                _ = signals.hup.recv() => { let _ = self.reload(false); }
                _ = signals.usr1.recv() => self.log.reopen(),
                // What comes of it is told below; nobody waits for an answer to a signal.
                _ = signals.usr2.recv() => drop(self.upgrade()),
                result = self.upgrading.done() => self.upgraded(result),
                _ = ticks.tick() => self.refresh(),
                asked = self.desk.next() => {
                    let answer = admin::carry_out(self, &asked.request);
                    self.desk.reply(asked, answer);
                }
                worker = self.ended.recv() => {
                    // Without a number there is no worker left that could tell.
                    left = worker.map_or(0, |_| left - 1);
                    if !self.draining {
                        tracing::error!(?worker, "a worker ended unasked; draining the others");
                        self.end = End::Broken;
                        self.drain();
                    }
                }
            }
        }
        std::mem::take(&mut self.desk).close().await;
    }

    pub(super) fn own(&self) -> Arc<crate::gate::OwnListeners> {
        self.lasting.own().clone()
    }

    /// Begins the drain; when it has begun already, cuts it short.
    pub(super) fn drain(&mut self) {
        service::stopping();
        self.let_go(Command::Drain);
    }

    /// Lets go of the sockets, and tells the workers in this way.
    pub(super) fn let_go(&mut self, drain: impl Fn(Duration) -> Command) {
        let limit = if self.draining {
            Duration::ZERO
        } else {
            self.config.drain
        };
        tracing::info!(
            ?limit,
            "draining: no new connections; waiting for what is under way"
        );
        self.draining = true;
        self.listeners.release();
        self.datagrams.release();
        self.upkeep.end();
        for worker in &self.workers {
            worker.line().tell(drain(limit));
        }
    }

    /// What is looked at each second.
    fn refresh(&mut self) {
        self.watchdog.turn();
        self.upkeep.look();
        self.refresh_lists();
        if certificates::refresh(&self.config) {
            certificates::warn_of_expiry(&self.config);
            // Tunnels of clients that are not trusted any more end.
            self.judge_again();
        }
        if self.warned.elapsed() >= DAY {
            self.warned = Instant::now();
            certificates::warn_of_expiry(&self.config);
        }
    }

    fn judge_again(&self) {
        for worker in &self.workers {
            worker.line().tell(Command::JudgeAgain);
        }
    }

    /// Lists whose files have changed are read again; workers see the new one with their next look-up.
    fn refresh_lists(&mut self) {
        let now = Instant::now();
        let due: Vec<_> = self.config.lists().filter(|list| list.due(now)).collect();
        if due.is_empty() {
            return;
        }
        let read = || due.iter().map(|list| list.refresh()).collect::<Vec<_>>();
        let refreshed = match aside(read, || self.watchdog.turn()) {
            Ok(refreshed) => refreshed,
            Err(error) => {
                tracing::error!(%error, "no thread can be had to look at the lists");
                return;
            }
        };
        let mut changed = false;
        for (list, refreshed) in due.iter().zip(refreshed) {
            match refreshed {
                Refresh::Unchanged => {}
                Refresh::Replaced { report, warning } => {
                    changed = true;
                    tracing::info!("list {} reloaded: {report}", list.name());
                    if let Some(warning) = warning {
                        tracing::warn!("{}", warning.render());
                    }
                }
                Refresh::Kept { fault } => {
                    tracing::error!("the last good list stays in force: {}", fault.render())
                }
            }
        }
        if changed {
            self.judge_again();
        }
    }

    fn stop(self) -> End {
        let mut end = self.end;
        for worker in self.workers {
            if !worker.join() {
                end = End::Broken;
            }
        }
        if !self.log.close(Duration::from_secs(5)) {
            tracing::warn!("some access records could not be written");
        }
        tracing::info!("stopped");
        end
    }
}

/// How many workers there are to be.
pub(super) fn workers(options: &Options, config: &Config) -> usize {
    options
        .workers
        .or(config.workers)
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

const DAY: Duration = Duration::from_secs(86_400);

/// The configuration, whose cases have been tried.
pub(super) fn checked(options: &Options, ignore_expect: bool) -> Result<Config, Vec<Fault>> {
    let config = config::load(options.config.as_deref())?;
    let failed = if ignore_expect {
        Vec::new()
    } else {
        config.failed_expectations()
    };
    if failed.is_empty() {
        Ok(config)
    } else {
        Err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_worker_that_panics_ends_the_process_as_broken() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("egret.toml");
        let text = "workers = 2\ndrain = \"0s\"\n[[listener]]\nname = \"a\"\nbind = \"127.0.0.1:0\"\nmode = \"forward\"\npolicy = \"p\"\n[policy.p]\n";
        std::fs::write(&path, text).expect("written");
        let options = Options {
            config: Some(path.clone()),
            socket: Some(folder.path().join("admin.sock")),
            ..Options::default()
        };
        let config = config::load(Some(&path)).expect("a configuration");
        let signals = Signals::catch().expect("signals");
        let mut engine = Engine::start(options, config, Inherited::default()).expect("it starts");
        let broken = engine.workers[0]
            .line()
            .ask(|_| panic!("as a defect would"));
        assert_eq!(broken.await, None::<()>);
        engine.serve(signals).await;
        assert_eq!(engine.stop(), End::Broken);
    }
}
