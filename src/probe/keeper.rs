//! Keeps tasks for all upstreams of a configuration: those that stay go on undisturbed, the others begin or end.
//! Start at [`Keeper::follow`].

use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::means::{Means, Tended};
use super::{discovery, health};
use crate::gate::Ways;
use crate::lifeline::Lifeline;
use crate::pool::{Origin, Pool, Terms};
use crate::resolve;
use crate::upstream::{Change, EndpointSource, News, Upstream};

/// Looks after upstreams, on the thread that made it. When it is dropped, it lets go of all.
pub struct Keeper {
    means: Rc<Means>,
    life: Lifeline,
    kept: HashMap<Box<str>, Kept>,
}

/// What is looked after, and by what means.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The upstreams.
    pub upstreams: Vec<Watched>,
    /// How their names are looked up.
    pub dns: resolve::Plan,
    /// How endpoints are reached, where their upstream says nothing of it.
    pub origin: Origin,
    /// Where connections to this process's own listeners go.
    pub ways: Arc<Ways>,
}

/// An upstream, and how its endpoints are spoken to.
#[derive(Debug, Clone)]
pub struct Watched {
    /// The upstream.
    pub upstream: Arc<Upstream>,
    /// How its endpoints are spoken to.
    pub terms: Arc<Terms>,
}

/// The tasks of one upstream. Each ends when its channel is dropped, and looks anew when something is sent.
struct Kept {
    tended: Rc<Tended>,
    health: watch::Sender<()>,
    sources: HashMap<EndpointSource, watch::Sender<()>>,
}

impl Keeper {
    /// A keeper whose tasks hang on `life`. `forget` is told the addresses of endpoints that have gone.
    pub fn new(plan: &Plan, life: Lifeline, forget: impl Fn(SocketAddr) + 'static) -> Self {
        let pool = Pool::new(plan.origin.clone(), life.clone());
        let means = Means::new(pool, plan.dns.build_uncached(), forget);
        let means = Rc::new(means);
        life.spawn_background(tell_news(means.clone()));
        Self {
            means,
            life,
            kept: HashMap::new(),
        }
    }

    /// Looks after these from now on, and after no other. Names and files are asked anew. The future that is given back is over when
    /// each source that is new has been asked once, whatever came of it; nothing waits for it.
    pub fn follow(&mut self, plan: Plan) -> impl Future<Output = ()> + use<> {
        self.means.resolve_with(plan.dns.build_uncached());
        self.means.pool.replace(plan.origin);
        let (first, mut asked) = mpsc::channel(1);
        let mut before = std::mem::take(&mut self.kept);
        for watched in plan.upstreams {
            let name: Box<str> = watched.upstream.name().into();
            let known = before.remove(&name);
            let known = known.filter(|kept| Arc::ptr_eq(&kept.tended.upstream, &watched.upstream));
            let mut kept = known.unwrap_or_else(|| self.begin(&watched));
            kept.tended.speak_by(watched.terms);
            // It has not ended: only the other end of this would end it.
            kept.health.send_replace(());
            self.look_up(&mut kept, &first);
            self.kept.insert(name, kept);
        }
        let tended = self.kept.values().map(|kept| kept.tended.clone());
        self.means.tend(tended.collect(), plan.ways);
        async move {
            // Nothing is ever sent: it ends when everybody has dropped the other end.
            while asked.recv().await.is_some() {}
        }
    }

    fn begin(&self, watched: &Watched) -> Kept {
        let (upstream, terms) = (watched.upstream.clone(), watched.terms.clone());
        let tended = Rc::new(Tended::new(upstream, terms));
        let (health, wake) = watch::channel(());
        let what = format!("having upstream {} probed", watched.upstream.name());
        let (means, life, of) = (self.means.clone(), self.life.clone(), tended.clone());
        self.life.spawn_anew(what, move || {
            health::look_after(of.clone(), means.clone(), life.clone(), wake.clone())
        });
        Kept {
            tended,
            health,
            sources: HashMap::new(),
        }
    }

    fn look_up(&self, kept: &mut Kept, first: &mpsc::Sender<()>) {
        let mut before = std::mem::take(&mut kept.sources);
        for source in kept.tended.upstream.sources() {
            let held = match before.remove(&source) {
                Some(held) => {
                    held.send_replace(());
                    held
                }
                None => {
                    let (held, wake) = watch::channel(());
                    let (tended, means) = (kept.tended.clone(), self.means.clone());
                    let (asked, mut first) = (source.clone(), Some(first.clone()));
                    let name = tended.upstream.name();
                    let what = format!("looking up {source} for upstream {name}");
                    self.life.spawn_anew(what, move || {
                        let (tended, means) = (tended.clone(), means.clone());
                        discovery::follow(asked.clone(), tended, means, wake.clone(), first.take())
                    });
                    held
                }
            };
            kept.sources.insert(source, held);
        }
    }
}

/// Tells operators what has become of endpoints.
async fn tell_news(means: Rc<Means>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    for turn in 1_u64.. {
        ticks.tick().await;
        means.pool.sweep();
        if turn.is_multiple_of(LOOKED_AT) {
            // An address of an endpoint may have come to this machine, and a circle with it.
            means.settle();
        }
        for tended in means.tended() {
            let name = tended.upstream.name();
            for news in tended.upstream.take_news() {
                tell(name, &tended, &news);
            }
        }
    }
}

fn tell(name: &str, tended: &Tended, news: &News) {
    match news {
        News::Endpoint(endpoint, Change::Up) => {
            tracing::info!("upstream {name}: {endpoint} is up");
        }
        News::Endpoint(endpoint, Change::Down) => {
            let why = tended.why(endpoint);
            tracing::warn!("upstream {name}: {endpoint} is down: {why}");
        }
        News::Endpoint(endpoint, Change::Ejected(long)) => {
            tracing::warn!("upstream {name}: {endpoint} fails, and is left out for {long:?}");
        }
        News::Endpoint(endpoint, Change::Circular) => {
            tracing::error!(
                "upstream {name}: {endpoint} is this process itself, and leads back to this upstream: it is not used, since it would go round in circles"
            );
        }
        News::Endpoint(endpoint, Change::Straight) => {
            tracing::info!("upstream {name}: {endpoint} does not lead back here any more");
        }
        News::Panic(panic) => {
            tracing::warn!(
                "upstream {name}: PANIC: {} of {} endpoints are usable, so requests go to all of them",
                panic.usable,
                panic.of
            );
        }
    }
}

/// Seconds from one look at where endpoints lead to the next, where nobody tells of a change.
const LOOKED_AT: u64 = 10;
