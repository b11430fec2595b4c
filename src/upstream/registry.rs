//! Upstreams by name, over reloads: what is known of endpoints outlives the configuration that named them.
//! Not for the hot path: whoever routes holds the upstream itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Settings, Upstream};

/// All upstreams of a process.
#[derive(Debug, Default)]
pub struct Registry(Mutex<BTreeMap<Box<str>, Arc<Upstream>>>);

impl Registry {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// The upstream of a name with these settings: the one that there is, whose endpoints that stay keep their state, or a new one.
    /// Call it when the configuration is certain to come into force; it takes milliseconds where tables must be built.
    pub fn adopt(&self, name: &str, settings: Settings) -> Arc<Upstream> {
        let known = self.get(name);
        match known {
            Some(upstream) => {
                upstream.replace_settings(settings);
                upstream
            }
            None => {
                let upstream = Upstream::new(name, settings);
                self.all_of().insert(name.into(), upstream.clone());
                upstream
            }
        }
    }

    /// Forgets those whose names are not kept. Requests that use them go on.
    pub fn retain(&self, keep: impl Fn(&str) -> bool) {
        self.all_of().retain(|name, _| keep(name));
    }

    /// The upstream of a name.
    pub fn get(&self, name: &str) -> Option<Arc<Upstream>> {
        self.all_of().get(name).cloned()
    }

    /// All, in the order of their names.
    pub fn all(&self) -> Vec<Arc<Upstream>> {
        self.all_of().values().cloned().collect()
    }

    fn all_of(&self) -> MutexGuard<'_, BTreeMap<Box<str>, Arc<Upstream>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
