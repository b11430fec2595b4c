//! The name constraints of an authority: which names its leaves may have (RFC 5280 §4.2.1.10).
//! Only of what leaves have: DNS names, addresses, and a subject.
//! Start at [`Constraints::of`].

use std::net::IpAddr;

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::{GeneralName, GeneralSubtree};
use x509_parser::parse_x509_certificate;

use super::check::{self, Finding};

/// The constraints of every certificate of a chain; a name must be within all of them.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Constraints(Vec<Constraint>);

#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Constraint {
    permitted: Subtrees,
    excluded: Subtrees,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Subtrees {
    /// Lower case, as written: with a leading dot it does not cover the name itself.
    names: Vec<String>,
    /// Address and mask.
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
    directories: usize,
}

impl Constraints {
    /// Those of a chain. Errors: constraints that cannot be read, as nothing could be signed that is known to be within.
    pub(super) fn of(chain: &[CertificateDer<'_>]) -> Result<Self, Finding> {
        let mut constraints = Vec::new();
        for certificate in chain {
            let (_, parsed) = parse_x509_certificate(certificate).map_err(|_| check::broken())?;
            let unreadable = || {
                (
                    format!(
                        "the certificate of \"{}\" has name constraints that cannot be read",
                        parsed.subject()
                    ),
                    "ask for one with constraints of DNS names and IP networks".to_owned(),
                )
            };
            let Some(extension) = parsed.name_constraints().map_err(|_| unreadable())? else {
                continue;
            };
            let read = |subtrees: &Option<Vec<GeneralSubtree<'_>>>| {
                Subtrees::read(subtrees.as_deref().unwrap_or_default()).ok_or_else(unreadable)
            };
            constraints.push(Constraint {
                permitted: read(&extension.value.permitted_subtrees)?,
                excluded: read(&extension.value.excluded_subtrees)?,
            });
        }
        Ok(Self(constraints))
    }

    pub(super) fn allow_name(&self, name: &str) -> bool {
        self.0.iter().all(|one| {
            let permitted = &one.permitted.names;
            (permitted.is_empty() || permitted.iter().any(|tree| within(name, tree)))
                && !one.excluded.names.iter().any(|tree| within(name, tree))
        })
    }

    /// A wildcard stands for every name below its parent, so nothing below it may be excluded.
    pub(super) fn allow_wildcard(&self, parent: &str) -> bool {
        let some = format!("any.{parent}");
        let overlaps = |tree: &String| {
            let bare = tree.strip_prefix('.').unwrap_or(tree);
            within(&some, tree) || within(bare, parent)
        };
        self.0.iter().all(|one| {
            let permitted = &one.permitted.names;
            (permitted.is_empty()
                || permitted
                    .iter()
                    .any(|tree| within(parent, tree) || tree.strip_prefix('.') == Some(parent)))
                && !one.excluded.names.iter().any(overlaps)
        })
    }

    pub(super) fn allow_address(&self, ip: IpAddr) -> bool {
        self.0.iter().all(|one| {
            (one.permitted.has_no_network() || one.permitted.hold(ip)) && !one.excluded.hold(ip)
        })
    }

    pub(super) fn on_directory_names(&self) -> bool {
        self.0
            .iter()
            .any(|one| one.permitted.directories + one.excluded.directories > 0)
    }
}

impl Subtrees {
    fn read(subtrees: &[GeneralSubtree<'_>]) -> Option<Self> {
        let mut read = Self::default();
        for subtree in subtrees {
            match &subtree.base {
                GeneralName::DNSName(name) => read.names.push(name.to_ascii_lowercase()),
                GeneralName::IPAddress(bytes) => read.network(bytes)?,
                GeneralName::DirectoryName(_) => read.directories += 1,
                // No leaf has names of these kinds.
                GeneralName::OtherName(..)
                | GeneralName::RFC822Name(_)
                | GeneralName::X400Address(_)
                | GeneralName::EDIPartyName(_)
                | GeneralName::URI(_)
                | GeneralName::RegisteredID(_) => {}
                GeneralName::Invalid(..) => return None,
            }
        }
        Some(read)
    }

    fn network(&mut self, bytes: &[u8]) -> Option<()> {
        let (address, mask) = bytes.split_at_checked(bytes.len() / 2)?;
        if bytes.len() == 8 {
            let number = |bytes: &[u8]| bytes.try_into().map(u32::from_be_bytes).ok();
            self.v4.push((number(address)?, number(mask)?));
        } else {
            let number = |bytes: &[u8]| bytes.try_into().map(u128::from_be_bytes).ok();
            self.v6.push((number(address)?, number(mask)?));
        }
        Some(())
    }

    /// A network of either family constrains addresses of both: they are one kind of name.
    fn has_no_network(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    fn hold(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => {
                let ip = u32::from(ip);
                self.v4
                    .iter()
                    .any(|(address, mask)| ip & mask == address & mask)
            }
            IpAddr::V6(ip) => {
                let ip = u128::from(ip);
                self.v6
                    .iter()
                    .any(|(address, mask)| ip & mask == address & mask)
            }
        }
    }
}

/// Whether a name is in a subtree: `example.com` holds itself and what is below, `.example.com` only what is below, the
/// empty one everything.
fn within(name: &str, tree: &str) -> bool {
    if tree.is_empty() || name == tree {
        return true;
    }
    let bare = tree.strip_prefix('.').unwrap_or(tree);
    name.strip_suffix(bare)
        .is_some_and(|before| before.ends_with('.'))
}
