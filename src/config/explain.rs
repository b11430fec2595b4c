//! What a configuration makes of a question: the one way of `egret explain`, in the process and without one.

use std::net::{IpAddr, SocketAddr};

use super::{Config, ListenerConfig, circles};
use crate::fault::{Fault, suggest};
use crate::gate::OwnListeners;
use crate::policy::Explanation;
use crate::question::Asked;

impl Config {
    /// Explains with the policy of the listener that is asked about. `resolved` is what the name resolves to, where somebody
    /// looked; addresses that stand in the question win over it. `own` are the sockets of the process, or
    /// [`Config::own_listeners`].
    ///
    /// Errors: there is no such listener.
    pub fn explain(
        &self,
        asked: &Asked,
        resolved: Option<Vec<IpAddr>>,
        own: &OwnListeners,
    ) -> Result<Explanation, Fault> {
        let listener = self.asked_for(asked.listener.as_deref())?;
        let by_address = || listener.auth.as_ref()?.by_address(asked.client);
        let principal = asked.principal.clone().or_else(by_address);
        let port = asked.authority.port;
        let ips = asked.known_addresses().or(resolved);
        let addresses: Option<Vec<SocketAddr>> =
            ips.map(|ips| ips.iter().map(|ip| SocketAddr::new(*ip, port)).collect());
        let facts = asked.facts(&listener.name, principal.as_ref());
        let own = |address| own.contains(address);
        Ok(listener.policy.explain(&facts, addresses.as_deref(), &own))
    }

    /// The addresses that the listeners are to bind, for a question without a process.
    pub fn own_listeners(&self) -> OwnListeners {
        circles::own(&self.listeners)
    }

    /// The listener of a name; the first one where none is named.
    fn asked_for(&self, name: Option<&str>) -> Result<&ListenerConfig, Fault> {
        let mut listeners = self.listeners.iter();
        let Some(name) = name else {
            return listeners
                .next()
                .ok_or_else(|| Fault::new("there is no listener", "add a [[listener]]"));
        };
        let found = listeners.find(|listener| &*listener.name == name);
        found.ok_or_else(|| {
            let known: Vec<&str> = self.listeners.iter().map(|known| &*known.name).collect();
            let problem = format!("there is no listener \"{name}\"");
            Fault::new(problem, suggest(name, &known))
        })
    }
}
