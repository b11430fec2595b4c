//! A reload: everything is built anew and swapped in whole, or what is running stays.
//! Not lists and certificates whose files have changed, which are swapped in by themselves (the main loop).
//! Start at [`Engine::reload`].

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::aside::aside;
use super::certificates;
use super::handover::Inherited;
use super::main_loop::{Engine, checked, workers};
use super::service;
use super::worker::Command;
use crate::config::Config;
use crate::fault::Fault;

impl Engine {
    /// Builds everything anew and swaps it in, and gives back what needs a restart or is most likely not meant; or keeps what
    /// is running and tells every fault.
    pub(super) fn reload(&mut self, ignore_expect: bool) -> Result<Vec<Fault>, Vec<Fault>> {
        service::reloading();
        let reloaded = self.try_reload(ignore_expect);
        service::ready();
        match &reloaded {
            Ok(warnings) => {
                self.reloads += 1;
                for warning in warnings {
                    tracing::warn!("{}", warning.render());
                }
                if ignore_expect {
                    tracing::warn!("reloaded without regard to the [[expect]] cases");
                }
                tracing::info!(config = %self.config.path.display(), "reloaded");
                certificates::warn_of_expiry(&self.config);
            }
            Err(faults) => {
                for fault in faults {
                    tracing::error!("{}", fault.render());
                }
                tracing::error!(
                    faults = faults.len(),
                    "not reloaded; the running configuration stays in force"
                );
            }
        }
        reloaded
    }

    fn try_reload(&mut self, ignore_expect: bool) -> Result<Vec<Fault>, Vec<Fault>> {
        if self.draining {
            return Err(vec![Fault::new(
                "the process is draining",
                "start a new one",
            )]);
        }
        let watchdog = &mut self.watchdog;
        let read = || checked(&self.options, ignore_expect);
        let config = aside(read, || watchdog.turn()).map_err(|error| {
            let problem = format!("no thread can be had to read the configuration: {error}");
            vec![Fault::new(problem, "raise the limit of threads")]
        })??;
        let none = &mut Inherited::default();
        let mut change = self.listeners.prepare(&config, self.workers.len(), none)?;
        let mut datagrams = self.datagrams.prepare(&config, self.workers.len(), none)?;
        self.log
            .reload(&config.access)
            .map_err(|fault| vec![fault])?;
        let snapshot = self
            .lasting
            .snapshot(&config)
            .map_err(|fault| vec![fault])?;
        let snapshot = Arc::new(snapshot);
        let before = self.bound();
        self.listeners.commit(&mut change);
        self.datagrams.commit(&mut datagrams);
        let bound = self.bound();
        for (listener, address) in bound.iter().filter(|bound| !before.contains(bound)) {
            tracing::info!("listening listener={listener} address={address}");
        }
        let own = self.lasting.own();
        own.replace(self.listeners.places(), self.datagrams.places());
        let bound = self.listeners.addresses();
        self.upkeep.follow(self.lasting.upkeep(&config, bound));
        // First to all: who has opened a listener may pass a connection of it to any of them.
        for worker in &self.workers {
            worker.line().tell(Command::Replace(snapshot.clone()));
        }
        let opened = change.opened.into_iter().zip(datagrams.opened);
        for (worker, (sockets, of_datagrams)) in self.workers.iter().zip(opened) {
            for key in change.closed.iter().chain(&datagrams.closed) {
                worker.line().tell(Command::Close(key.clone()));
            }
            worker.line().tell(Command::Open(sockets));
            worker.line().tell(Command::OpenDatagrams(of_datagrams));
        }
        // Whom it concerns waits by itself; all others are served.
        self.upkeep.wait();
        let mut warnings = self.lags_behind(&config);
        warnings.extend(config.warnings());
        self.config = config.into();
        Ok(warnings)
    }

    fn bound(&self) -> Vec<(String, SocketAddr)> {
        let datagrams = self.datagrams.addresses();
        let all = self.listeners.addresses().chain(datagrams);
        all.map(|(listener, address)| (listener.to_owned(), address))
            .collect()
    }

    /// What of a new configuration only a new process follows.
    fn lags_behind(&self, config: &Config) -> Vec<Fault> {
        let (wanted, running) = (workers(&self.options, config), self.workers.len());
        let of_workers = (wanted != running).then(|| {
            let problem = format!("{wanted} workers are configured, {running} are running");
            Fault::new(problem, RESTART)
        });
        let socket = self.options.socket.as_ref().or(config.admin.as_ref());
        let of_socket = (socket != self.socket.as_ref()).then(|| {
            let at = |socket: Option<&PathBuf>| {
                socket.map_or_else(
                    || "its default".to_owned(),
                    |path| path.display().to_string(),
                )
            };
            let (wanted, running) = (at(socket), at(self.socket.as_ref()));
            let problem =
                format!("the admin socket is configured at {wanted}, and stays at {running}");
            Fault::new(problem, RESTART)
        });
        of_workers.into_iter().chain(of_socket).collect()
    }
}

const RESTART: &str = "restart the process: a reload can not change this";
