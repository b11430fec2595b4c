//! Steady load: clients on threads of their own, each on one connection for as long as it may, that ask at an even pace. None of
//! their requests may fail.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::{Response, Wire, until};

/// Clients that ask. They stop when this is dropped.
pub(crate) struct Load {
    clients: Vec<JoinHandle<()>>,
    over: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
}

impl Load {
    /// So many clients, each of which asks once in this time. `play` sends the request of this number and reads and checks the
    /// response; where that says that the connection closes, the client takes another.
    pub(crate) fn start(
        address: SocketAddr,
        clients: usize,
        every: Duration,
        play: impl Fn(&mut Wire, usize) -> Response + Clone + Send + 'static,
    ) -> Self {
        let over = Arc::<AtomicBool>::default();
        let asked = Arc::<AtomicUsize>::default();
        let clients = (0..clients).map(|number| {
            let (play, over, asked) = (play.clone(), over.clone(), asked.clone());
            thread::spawn(move || {
                let mut wire = Wire::connect(address);
                let mut next = Instant::now() + every * u32::try_from(number).unwrap() / 16;
                while !over.load(Ordering::SeqCst) {
                    thread::park_timeout(next.saturating_duration_since(Instant::now()));
                    // One that is late does not catch up.
                    next = (next + every).max(Instant::now());
                    let request = asked.fetch_add(1, Ordering::SeqCst);
                    let response = play(&mut wire, request);
                    if response.header("connection") == Some("close") {
                        wire = Wire::connect(address);
                    }
                }
            })
        });
        Self {
            clients: clients.collect(),
            over,
            asked,
        }
    }

    /// Waits until so many more have been asked, and no client has failed.
    pub(crate) fn more(&self, count: usize) {
        let before = self.asked();
        until("more requests", || {
            let failed = self.clients.iter().any(JoinHandle::is_finished);
            assert!(!failed, "a client of the load failed");
            self.asked() >= before + count
        });
    }

    /// How many were asked so far.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Ends it. How many were asked, and answered.
    pub(crate) fn end(mut self) -> usize {
        self.over.store(true, Ordering::SeqCst);
        for client in self.clients.drain(..) {
            client.join().unwrap();
        }
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
    }
}
