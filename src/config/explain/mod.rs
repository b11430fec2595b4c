//! What a configuration makes of a question: the one way of `egret explain`, in the process and without one.
//! Not what a gateway makes of it, which is `gateway.rs`.
//! Start at [`Config::explain`].

mod gateway;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};

use self::gateway::AtGateway;
use super::{Config, ListenerConfig, circles};
use crate::fault::{Fault, suggest};
use crate::gate::OwnListeners;
use crate::policy::Explanation;
use crate::question::Asked;

impl Config {
    /// Explains with the policy of the listener that is asked about, or of the first one that takes such a request; of a gateway's,
    /// with its routes. `resolved` is what the name resolves to, where somebody looked; addresses that stand in the question win over
    /// it, and a gateway goes by neither. `own` are the sockets of the process, or [`Config::own_listeners`].
    ///
    /// Errors: there is no such listener, or it is a gateway's and is asked for a tunnel.
    pub fn explain(
        &self,
        asked: &Asked,
        resolved: Option<Vec<IpAddr>>,
        own: &OwnListeners,
    ) -> Result<Explanation, Fault> {
        let listener = self.asked_for(asked)?;
        if listener.mode.gateway {
            let inquiry = AtGateway::new(self, listener, asked);
            return inquiry
                .map(|inquiry| inquiry.explain())
                .ok_or_else(|| takes_no_tunnel(listener));
        }
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

    /// Whether the answer may hang on what the name resolves to: a gateway's request goes where its route says.
    pub fn goes_by_addresses(&self, asked: &Asked) -> bool {
        let listener = self.asked_for(asked);
        listener.is_ok_and(|listener| !listener.mode.gateway)
    }

    /// The addresses that the listeners are to bind, for a question without a process.
    pub fn own_listeners(&self) -> OwnListeners {
        circles::own(&self.listeners)
    }

    /// The listener of the name that is asked for. Where none is named, the first one that takes such a request, or the first.
    fn asked_for(&self, asked: &Asked) -> Result<&ListenerConfig, Fault> {
        let mut listeners = self.listeners.iter();
        let Some(name) = asked.listener.as_deref() else {
            let taking = self.taking(asked, true);
            return taking
                .or_else(|| self.taking(asked, false))
                .or_else(|| self.listeners.first())
                .ok_or_else(|| Fault::new("there is no listener", "add a [[listener]]"));
        };
        let found = listeners.find(|listener| &*listener.name == name);
        found.ok_or_else(|| {
            let known: Vec<&str> = self.listeners.iter().map(|known| &*known.name).collect();
            let problem = format!("there is no listener \"{name}\"");
            Fault::new(problem, suggest(name, &known))
        })
    }

    /// The first listener that takes a request: a proxy's takes any, a gateway's what it has a route for. `strictly`: with TLS, or
    /// without, as the request comes; a proxy in front may have ended that.
    fn taking(&self, asked: &Asked, strictly: bool) -> Option<&ListenerConfig> {
        let mut listeners = self.listeners.iter();
        listeners.find(|listener| {
            if !listener.mode.gateway {
                return !listener.mode.opaque;
            }
            let inquiry = AtGateway::new(self, listener, asked);
            inquiry.is_some_and(|inquiry| inquiry.is_taken(strictly))
        })
    }
}

fn takes_no_tunnel(listener: &ListenerConfig) -> Fault {
    let problem = format!(
        "listener \"{}\" is a gateway's, which takes no tunnels",
        listener.name
    );
    let remedy =
        "ask with a whole URL, as its clients have it, or name another one with --listener";
    Fault::new(problem, remedy)
}
