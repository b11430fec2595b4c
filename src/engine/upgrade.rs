//! A new program takes over while this one serves: it is started, handed the listening sockets, and when it serves, this
//! process drains. Where it does not come to that, nothing has changed.
//! Not the way that the sockets take (handover).
//! Start at [`Engine::upgrade`].

use std::future::Future;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::oneshot;

use super::handover::Successor;
use super::main_loop::Engine;
use super::service;
use super::worker::Command;

/// An upgrade that is under way.
#[derive(Default)]
pub(super) struct Upgrade(Option<Underway>);

struct Underway {
    result: Pin<Box<dyn Future<Output = Result<u32, String>>>>,
    /// Who asked for it and waits for what comes of it.
    asking: Vec<oneshot::Sender<Result<u32, String>>>,
}

impl Upgrade {
    /// Waits for what comes of it; forever where there is none. Cancel-safe.
    pub(super) async fn done(&mut self) -> Result<u32, String> {
        let Some(underway) = &mut self.0 else {
            return std::future::pending().await;
        };
        let result = underway.result.as_mut().await;
        for asking in self.0.take().into_iter().flat_map(|done| done.asking) {
            // Who asked may have gone.
            let _ = asking.send(result.clone());
        }
        result
    }
}

impl Engine {
    /// Starts the program anew and hands it the sockets. The answer is the new process's id, or why there is none; asked again
    /// meanwhile, it is that of the one that is under way.
    pub(super) fn upgrade(&mut self) -> oneshot::Receiver<Result<u32, String>> {
        let (asking, answer) = oneshot::channel();
        if self.draining {
            // Received by who holds the other end, in this very call.
            let _ = asking.send(Err("the process is draining".to_owned()));
            return answer;
        }
        if let Some(underway) = &mut self.upgrading.0 {
            underway.asking.push(asking);
            return answer;
        }
        let handed = self.to_hand_over();
        let result = Box::pin(async move {
            let sockets =
                handed.map_err(|error| format!("cannot hand the sockets over: {error}"))?;
            let started =
                tokio::task::spawn_blocking(move || Successor::start(&sockets)?.serves(PATIENCE));
            let pid = started.await.map_err(|error| error.to_string())?;
            pid.map_err(|error| format!("cannot start the new process: {error}"))
        });
        tracing::info!("upgrading: starting the program anew");
        self.upgrading.0 = Some(Underway {
            result,
            asking: vec![asking],
        });
        answer
    }

    /// The new process serves, or this one goes on as if nothing had been.
    pub(super) fn upgraded(&mut self, result: Result<u32, String>) {
        match result {
            Ok(pid) => {
                tracing::info!(pid, "the new process serves");
                service::follow(pid);
                // The file of the admin socket leads to the new process by now.
                self.desk.leave();
                if let Some(cache) = self.lasting.cache() {
                    cache.leave_disk();
                }
                self.leave_datagrams();
                self.let_go(Command::HandOver);
            }
            Err(why) => tracing::error!("{why}; this process goes on"),
        }
    }

    /// Receives no datagrams any more: the sockets are the new process's too, and of a new client it would miss what this one
    /// takes while it drains. Flows go on to have their answers.
    fn leave_datagrams(&self) {
        for key in self.datagrams.keys() {
            for worker in &self.workers {
                worker.line().tell(Command::Close(key.clone()));
            }
        }
    }

    fn to_hand_over(&self) -> std::io::Result<Vec<OwnedFd>> {
        let mut sockets = self.listeners.copies()?;
        sockets.extend(self.datagrams.copies()?);
        sockets.extend(self.desk.copy()?);
        Ok(sockets)
    }
}

/// How long a new process may take to read its configuration and lists.
const PATIENCE: Duration = Duration::from_secs(120);
