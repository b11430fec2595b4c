//! Where the connections of a balanced listener go: to which upstream, by the name and the protocols that they begin with.
//! Not which endpoint of it (upstream), and not the look at the first bytes (look).
//! Start at [`Balancing::choose`].

use std::sync::Arc;
use std::time::Duration;

use super::Served;
use crate::addr::{Host, HostKey, HostMap, HostPattern};
use crate::proxy_protocol::Version;

/// What a balanced listener does with its connections, or datagrams; shared by the workers, replaced whole.
///
/// The most specific choice holds, wherever it stands: one of exactly the name that the client asks for, then one of names below,
/// the longest first, then one of no name. Among those of one name, one by a protocol that the client offers, as the client prefers
/// them, then one of no protocol. Where none of a name fits the protocols, those of the next less specific name are looked at.
#[derive(Debug)]
pub struct Balancing {
    choices: Box<[(Choice, Arc<Served>)]>,
    named: HostMap<Vec<usize>>,
    /// Of no name.
    rest: Vec<usize>,
    /// The version of the PROXY header that endpoints are sent.
    pub send: Option<Version>,
    /// Limits of datagrams, where that is what comes.
    pub datagrams: DatagramLimits,
}

/// One upstream, and what goes there.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// The names of which one must be asked for; none for whatever comes. Exact ones, and `*.` with a suffix.
    pub sni: Vec<HostPattern>,
    /// The protocols of which one must be offered; none for whatever comes.
    pub alpn: Vec<Box<str>>,
    /// The upstream's name.
    pub upstream: String,
}

/// Limits of the datagrams of one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatagramLimits {
    /// The longest silence, after which a flow has ended.
    pub idle: Duration,
    /// How many datagrams answer one of the client's: once all are answered, the flow has ended. `None` where nobody knows.
    pub replies: Option<u32>,
}

impl Default for DatagramLimits {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(60),
            replies: None,
        }
    }
}

impl Balancing {
    /// Puts choices and their upstreams in order.
    pub fn new(
        choices: impl IntoIterator<Item = (Choice, Arc<Served>)>,
        send: Option<Version>,
        datagrams: DatagramLimits,
    ) -> Self {
        let choices: Box<[_]> = choices.into_iter().collect();
        let mut named: HostMap<Vec<usize>> = HostMap::default();
        let mut rest = Vec::new();
        for (place, (choice, _)) in choices.iter().enumerate() {
            if choice.sni.is_empty() {
                rest.push(place);
            }
            for pattern in &choice.sni {
                match HostKey::of(pattern) {
                    Some(key) => named.of_key(key).push(place),
                    None => rest.push(place),
                }
            }
        }
        Self {
            choices,
            named,
            rest,
            send,
            datagrams,
        }
    }

    /// Whether it matters what a connection begins with.
    pub fn looks(&self) -> bool {
        let mut choices = self.choices.iter();
        choices.any(|(choice, _)| !choice.sni.is_empty() || !choice.alpn.is_empty())
    }

    /// The upstream for a client that asks for this name and offers these protocols, in its order; `None` where there is none.
    pub fn choose(&self, name: Option<&Host>, alpn: &[Box<str>]) -> Option<&Arc<Served>> {
        let named = name.into_iter().flat_map(|name| self.named.matching(name));
        let mut tiers = named.chain([&self.rest]);
        tiers.find_map(|tier| self.best(tier, alpn))
    }

    /// The best of one tier: by the protocol that the client likes most, else one that asks for none.
    fn best(&self, tier: &[usize], alpn: &[Box<str>]) -> Option<&Arc<Served>> {
        let of_tier = || tier.iter().filter_map(|place| self.choices.get(*place));
        let mut offered = alpn.iter();
        let by_protocol = offered.find_map(|offered| {
            let found = of_tier().find(|(choice, _)| choice.alpn.contains(offered));
            found.map(|(_, served)| served)
        });
        by_protocol.or_else(|| {
            let found = of_tier().find(|(choice, _)| choice.alpn.is_empty());
            found.map(|(_, served)| served)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Faults, Source};
    use crate::pool::{Origin, Terms};
    use crate::settings::Table;
    use crate::tls::connector;
    use crate::upstream::{EndpointSettings, Settings, Upstream};

    fn balancing(written: &[(&[&str], &[&str], &str)]) -> Balancing {
        let faults = Faults::new();
        let table = Table::parse(&Source::new("egret.toml", ""), &faults);
        let base = Origin {
            settings: Default::default(),
            trust: connector::read(None, &faults),
        };
        let terms = Terms::read(&table, &base, &faults);
        let terms = Arc::new(terms.expect("all is as by default"));
        let choices = written.iter().map(|(sni, alpn, name)| {
            let parse = |text: &&str| HostPattern::parse(text).expect("the table holds patterns");
            let choice = Choice {
                sni: sni.iter().map(parse).collect(),
                alpn: alpn.iter().map(|text| (*text).into()).collect(),
                upstream: (*name).to_owned(),
            };
            let address = "192.0.2.1:1".parse().expect("an address");
            let settings = Settings::of([EndpointSettings::of(address)]);
            let served = Served {
                upstream: Upstream::new(name, settings),
                terms: terms.clone(),
            };
            (choice, Arc::new(served))
        });
        Balancing::new(choices, None, DatagramLimits::default())
    }

    #[test]
    fn the_most_specific_choice_holds_wherever_it_stands() {
        let mut written: Vec<(&[&str], &[&str], &str)> = vec![
            (&[], &[], "rest"),
            (&["*.example"], &[], "wide"),
            (&["*.b.example"], &[], "narrow"),
            (&["a.example", "x.b.example"], &[], "exact"),
            (&["a.example"], &["h2"], "exact-h2"),
            (&["only.example"], &["h2", "grpc"], "only-h2"),
            (&[], &["mqtt"], "mqtt"),
        ];
        let table: &[(Option<&str>, &[&str], &str)] = &[
            (Some("a.example"), &[], "exact"),
            (Some("a.example"), &["http/1.1"], "exact"),
            (Some("a.example"), &["h2", "http/1.1"], "exact-h2"),
            (Some("a.example"), &["mqtt"], "exact"),
            (Some("x.b.example"), &["h2"], "exact"),
            (Some("y.b.example"), &[], "narrow"),
            (Some("z.y.b.example"), &[], "narrow"),
            (Some("b.example"), &[], "wide"),
            (Some("example"), &[], "rest"),
            (Some("bexample"), &[], "rest"),
            (Some("only.example"), &["grpc"], "only-h2"),
            (Some("only.example"), &["http/1.1"], "wide"),
            (None, &["mqtt", "h2"], "mqtt"),
            (None, &["h2"], "rest"),
            (None, &[], "rest"),
        ];
        for _ in 0..written.len() {
            written.rotate_left(1);
            let balancing = balancing(&written);
            assert!(balancing.looks());
            for (name, alpn, expected) in table {
                let name = name.map(|name| Host::parse(name).expect("the table holds names"));
                let alpn: Vec<Box<str>> = alpn.iter().map(|text| (*text).into()).collect();
                let chosen = balancing.choose(name.as_ref(), &alpn);
                let chosen = chosen.map(|served| served.upstream.name());
                assert_eq!(chosen, Some(*expected), "{name:?} {alpn:?}");
            }
        }
    }

    #[test]
    fn what_a_client_prefers_is_what_it_gets() {
        let balancing = balancing(&[(&[], &["http/1.1"], "one"), (&[], &["h2"], "two")]);
        let choose = |alpn: &[&str]| {
            let alpn: Vec<Box<str>> = alpn.iter().map(|text| (*text).into()).collect();
            let chosen = balancing.choose(None, &alpn);
            chosen.map(|served| served.upstream.name().to_owned())
        };
        assert_eq!(choose(&["h2", "http/1.1"]).as_deref(), Some("two"));
        assert_eq!(choose(&["http/1.1", "h2"]).as_deref(), Some("one"));
        assert_eq!(choose(&["h3"]), None);
        assert_eq!(choose(&[]), None);
    }

    #[test]
    fn one_upstream_for_all_needs_no_look() {
        let balancing = balancing(&[(&[], &[], "all")]);
        assert!(!balancing.looks());
        assert!(balancing.choose(None, &[]).is_some());
    }
}
