//! What an upstream does, told by sentences. Time is paused, dice are seeded.

mod choosing;
mod groups;
mod health;
mod limits;
mod shared;
mod simulation;
mod sources;
mod sticky;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, advance};

use super::*;
use crate::fault::{Faults, Source};
use crate::settings::Table;

/// Settings of this text, which has no fault.
fn settings(text: &str) -> Settings {
    let faults = Faults::new();
    let table = Table::parse(&Source::new("egret.toml", text), &faults);
    let settings = Settings::read(&table, &faults);
    table.finish(&faults);
    assert_eq!(faults.into_vec(), [], "{text}");
    settings
}

/// An upstream of settings with these endpoints, `address(0)` and so on, and this text besides.
fn upstream(count: usize, text: &str) -> Arc<Upstream> {
    Upstream::new("app", settings(&format!("{}\n{text}", endpoints(0..count))))
}

fn endpoints(numbers: impl IntoIterator<Item = usize>) -> String {
    let all: Vec<String> = numbers
        .into_iter()
        .map(|number| format!("\"{}\"", address(number)))
        .collect();
    format!("endpoints = [{}]", all.join(", "))
}

fn address(number: usize) -> SocketAddr {
    let [.., high, low] = (number as u32).to_be_bytes();
    SocketAddr::from(([10, 0, high, low], 80))
}

fn key(number: usize) -> EndpointKey {
    EndpointKey {
        address: address(number),
        host: None,
    }
}

/// A worker: dice, and the time that it is.
struct Worker(Dice);

impl Worker {
    fn new() -> Self {
        Self(Dice::seeded(7))
    }

    fn ask(&self) -> Ask<'_> {
        Ask::new(&self.0, Instant::now())
    }

    fn pick(&self, upstream: &Arc<Upstream>) -> Result<Picked, Unavailable> {
        upstream.pick(&self.ask())
    }

    /// Who gets so many requests, none of which lasts.
    fn spread(&self, upstream: &Arc<Upstream>, requests: u64) -> BTreeMap<SocketAddr, u64> {
        let mut hits = BTreeMap::new();
        for n in 0..requests {
            let ask = Ask {
                key: Some(balance::Key::hash(&n.to_be_bytes())),
                ..self.ask()
            };
            let picked = upstream.pick(&ask).expect("somebody takes it");
            *hits.entry(picked.address()).or_default() += 1;
        }
        hits
    }

    /// Those who get any of a thousand requests.
    fn takers(&self, upstream: &Arc<Upstream>) -> Vec<SocketAddr> {
        self.spread(upstream, 1000).into_keys().collect()
    }

    /// Sends requests until this endpoint has had so many, all of which failed; the others answer.
    fn fail(&self, upstream: &Arc<Upstream>, number: usize, times: u32) {
        let mut left = times;
        while left > 0 {
            let picked = self.pick(upstream).expect("somebody takes it");
            if picked.address() == address(number) {
                picked.failed();
                left -= 1;
            } else {
                picked.succeeded(Duration::from_millis(5), Some(200));
            }
        }
    }
}

fn addresses(numbers: impl IntoIterator<Item = usize>) -> Vec<SocketAddr> {
    numbers.into_iter().map(address).collect()
}
