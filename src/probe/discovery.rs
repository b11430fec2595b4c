//! Where endpoints come from: each source of an upstream is asked again and again by a task of its own, and what is new is told.
//! A source that can not be asked keeps what it had. Not the asking: `names` and `endpoints_file`.
//! Start at [`follow`].

use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::endpoints_file::EndpointsFile;
use super::means::{Means, Tended};
use super::names::{Name, Srv};
use crate::upstream::{EndpointSource, Resolved};

/// What asking a source has brought.
pub(super) enum Found {
    /// It is as it was when it was last asked.
    Same,
    /// It has these.
    Endpoints(Vec<Resolved>),
    /// It could not be asked, or said nothing that is of use.
    Failed(String),
}

/// Asks a source for as long as `wake` has its other end, and at once when it is woken. `first` is dropped when it was asked once.
pub(super) async fn follow(
    source: EndpointSource,
    tended: Rc<Tended>,
    means: Rc<Means>,
    mut wake: watch::Receiver<()>,
    mut first: Option<mpsc::Sender<()>>,
) {
    let Some(mut asked) = Asked::new(&source) else {
        return;
    };
    let mut teller = Teller {
        source,
        tended,
        last: None,
        problem: None,
    };
    loop {
        let (found, wait) = asked.ask(&means).await;
        if teller.tell(found) {
            means.settle();
        }
        first.take();
        tokio::select! {
            () = sleep(wait) => {}
            woken = wake.changed() => {
                if woken.is_err() {
                    return;
                }
                asked.anew();
            }
        }
    }
}

/// A source as it is asked.
enum Asked {
    Name(Name),
    Srv(Srv),
    File(EndpointsFile),
}

impl Asked {
    /// An address is not asked.
    fn new(source: &EndpointSource) -> Option<Self> {
        Some(match source {
            EndpointSource::Address(_) => return None,
            EndpointSource::Name(authority) => Self::Name(Name::new(authority)),
            EndpointSource::Srv(name) => Self::Srv(Srv::new(name)),
            EndpointSource::File(path) => Self::File(EndpointsFile::new(path)),
        })
    }

    /// Asks, and says how long that holds.
    async fn ask(&mut self, means: &Means) -> (Found, Duration) {
        match self {
            Self::Name(name) => name.ask(&means.resolver()).await,
            Self::Srv(srv) => srv.ask(&means.resolver()).await,
            Self::File(file) => file.ask().await,
        }
    }

    /// Whatever is known of it is not enough the next time.
    fn anew(&mut self) {
        match self {
            Self::Name(_) | Self::Srv(_) => {}
            Self::File(file) => file.anew(),
        }
    }
}

/// Tells an upstream, and the log, what is new.
struct Teller {
    source: EndpointSource,
    tended: Rc<Tended>,
    last: Option<Vec<Resolved>>,
    problem: Option<String>,
}

impl Teller {
    /// Says whether endpoints have changed.
    fn tell(&mut self, found: Found) -> bool {
        let (upstream, source) = (&self.tended.upstream, &self.source);
        match found {
            Found::Same => false,
            Found::Endpoints(mut endpoints) => {
                // Name servers turn the order with each answer.
                endpoints.sort_by_key(|endpoint| endpoint.address);
                let recovered = self.problem.take().is_some();
                if !recovered && self.last.as_ref() == Some(&endpoints) {
                    return false;
                }
                upstream.replace_endpoints(source, endpoints.clone());
                // What the log says is in force.
                tracing::info!(
                    "upstream {}: {source} has {}",
                    upstream.name(),
                    counted(endpoints.len())
                );
                self.last = Some(endpoints);
                self.tended.changed.notify_one();
                true
            }
            Found::Failed(problem) => {
                if self.problem.as_ref() == Some(&problem) {
                    return false;
                }
                let kept = self.last.as_ref().map_or(0, Vec::len);
                tracing::warn!(
                    "upstream {}: {source}: {problem}; it keeps {}",
                    upstream.name(),
                    counted(kept)
                );
                upstream.source_failed(source, problem.as_str());
                self.problem = Some(problem);
                false
            }
        }
    }
}

fn counted(endpoints: usize) -> String {
    match endpoints {
        1 => "1 endpoint".to_owned(),
        count => format!("{count} endpoints"),
    }
}
