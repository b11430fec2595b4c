//! The main thread: starts the workers, then waits for signals and commands. All slow work happens here.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::admin::{self, Admin};
use super::listeners::Listeners;
use super::snapshot::Lasting;
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

/// Runs until a signal or command ends it. Errors: every fault of the configuration, or of the machine.
pub fn run(options: &Options) -> Result<(), Vec<Fault>> {
    let config = checked(options, options.ignore_expect)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| vec![Fault::new(format!("cannot start: {error}"), "")])?;
    runtime.block_on(async {
        let mut engine = Engine::start(options.clone(), config)?;
        engine.serve().await;
        engine.stop();
        Ok(())
    })
}

/// The process as the main loop holds it.
pub(super) struct Engine {
    pub(super) options: Options,
    pub(super) config: Config,
    pub(super) workers: Vec<Worker>,
    pub(super) listeners: Listeners,
    pub(super) log: AccessLog,
    pub(super) started: Instant,
    pub(super) draining: bool,
    pub(super) reloads: u64,
    lasting: Lasting,
    ended: mpsc::UnboundedReceiver<u16>,
    admin: Option<Admin>,
}

impl Engine {
    fn start(options: Options, config: Config) -> Result<Self, Vec<Fault>> {
        let count = options.workers.or(config.workers).unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
        let one = |fault| vec![fault];
        let mut listeners = Listeners::default();
        let mut change = listeners.prepare(&config, count)?;
        let log = AccessLog::start(&config.access).map_err(one)?;
        let admin = Admin::bind(options.socket.as_deref().or(config.admin.as_deref())).map_err(one)?;
        let mut lasting = Lasting::default();
        let snapshot = Arc::new(lasting.snapshot(&config));
        let (sender, ended) = mpsc::unbounded_channel();
        let mut workers = Vec::with_capacity(count);
        for number in 0..count {
            let number = u16::try_from(number).unwrap_or(u16::MAX);
            let worker = Worker::start(number, snapshot.clone(), log.reporter(), sender.clone());
            workers.push(worker.map_err(|error| one(Fault::new(format!("cannot start a worker: {error}"), "raise the limit of threads")))?);
        }
        listeners.commit(&mut change);
        lasting.own().replace(listeners.addresses().map(|(_, address)| address).collect());
        for (worker, sockets) in workers.iter().zip(change.opened) {
            worker.tell(Command::Open(sockets));
        }
        let engine = Self {
            options,
            config,
            workers,
            listeners,
            log,
            started: Instant::now(),
            draining: false,
            reloads: 0,
            lasting,
            ended,
            admin,
        };
        engine.announce();
        Ok(engine)
    }

    /// Says where it listens, and for the built-in configuration how to use it.
    fn announce(&self) {
        for (listener, address) in self.listeners.addresses() {
            tracing::info!("listening listener={listener} address={address}");
        }
        if self.options.config.is_none() {
            let address = self.listeners.addresses().next().map_or_else(String::new, |(_, address)| address.to_string());
            tracing::info!("built-in configuration: public addresses on ports 80 and 443; private, loopback and metadata addresses are refused");
            tracing::info!("use it with: export HTTP_PROXY=http://{address} HTTPS_PROXY=http://{address}");
        }
        for list in self.config.lists() {
            tracing::info!("list {}: {}", list.name(), list.report());
        }
        tracing::info!(workers = self.workers.len(), config = %self.config.path.display(), "ready");
    }

    async fn serve(&mut self) {
        let (Ok(mut term), Ok(mut int), Ok(mut hup), Ok(mut usr1)) = (
            signal(SignalKind::terminate()),
            signal(SignalKind::interrupt()),
            signal(SignalKind::hangup()),
            signal(SignalKind::user_defined1()),
        ) else {
            tracing::error!("cannot wait for signals");
            return;
        };
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        let mut left = self.workers.len();
        let admin = self.admin.take();
        while left > 0 {
            tokio::select! {
                _ = term.recv() => self.drain(),
                _ = int.recv() => self.drain(),
                _ = hup.recv() => { let _ = self.reload(false); }
                _ = usr1.recv() => self.log.reopen(),
                _ = ticks.tick() => self.refresh_lists(),
                request = admin::next(admin.as_ref()) => admin::answer(self, request).await,
                worker = self.ended.recv() => {
                    left -= usize::from(worker.is_some());
                    if !self.draining {
                        tracing::error!(?worker, "a worker ended unasked; draining the others");
                        self.drain();
                    }
                }
            }
        }
        if let Some(admin) = admin {
            admin.remove();
        }
    }

    /// Begins the drain; when it has begun already, cuts it short.
    pub(super) fn drain(&mut self) {
        let limit = if self.draining { Duration::ZERO } else { self.config.drain };
        tracing::info!(?limit, "draining: no new connections; waiting for what is under way");
        self.draining = true;
        for worker in &self.workers {
            worker.tell(Command::Drain(limit));
        }
    }

    /// Builds everything anew and swaps it in, or keeps what is running and tells every fault.
    pub(super) fn reload(&mut self, ignore_expect: bool) -> Result<(), Vec<Fault>> {
        let reloaded = self.try_reload(ignore_expect);
        match &reloaded {
            Ok(()) => {
                self.reloads += 1;
                if ignore_expect {
                    tracing::warn!("reloaded without regard to the [[expect]] cases");
                }
                tracing::info!(config = %self.config.path.display(), "reloaded");
            }
            Err(faults) => {
                for fault in faults {
                    tracing::error!("{}", fault.render());
                }
                tracing::error!(faults = faults.len(), "not reloaded; the running configuration stays in force");
            }
        }
        reloaded
    }

    fn try_reload(&mut self, ignore_expect: bool) -> Result<(), Vec<Fault>> {
        if self.draining {
            return Err(vec![Fault::new("the process is draining", "start a new one")]);
        }
        let config = checked(&self.options, ignore_expect)?;
        let mut change = self.listeners.prepare(&config, self.workers.len())?;
        self.log.reload(&config.access).map_err(|fault| vec![fault])?;
        let snapshot = Arc::new(self.lasting.snapshot(&config));
        self.listeners.commit(&mut change);
        self.lasting.own().replace(self.listeners.addresses().map(|(_, address)| address).collect());
        for (worker, sockets) in self.workers.iter().zip(change.opened) {
            worker.tell(Command::Replace(snapshot.clone()));
            for key in &change.closed {
                worker.tell(Command::Close(key.clone()));
            }
            worker.tell(Command::Open(sockets));
        }
        self.config = config;
        Ok(())
    }

    /// Lists whose files have changed are read again here; workers see the new one with their next look-up.
    fn refresh_lists(&self) {
        let mut changed = false;
        for list in self.config.lists().filter(|list| list.due(Instant::now())) {
            match list.refresh() {
                Refresh::Unchanged => {}
                Refresh::Replaced { report, warning } => {
                    changed = true;
                    tracing::info!("list {} reloaded: {report}", list.name());
                    if let Some(warning) = warning {
                        tracing::warn!("{}", warning.render());
                    }
                }
                Refresh::Kept { fault } => tracing::error!("the last good list stays in force: {}", fault.render()),
            }
        }
        if changed {
            for worker in &self.workers {
                worker.tell(Command::JudgeAgain);
            }
        }
    }

    fn stop(self) {
        for worker in self.workers {
            worker.join();
        }
        if !self.log.close(Duration::from_secs(5)) {
            tracing::warn!("some access records could not be written");
        }
        tracing::info!("stopped");
    }
}

fn checked(options: &Options, ignore_expect: bool) -> Result<Config, Vec<Fault>> {
    let config = config::load(options.config.as_deref())?;
    let failed = if ignore_expect { Vec::new() } else { config.failed_expectations() };
    if failed.is_empty() { Ok(config) } else { Err(failed) }
}
