//! What interception needs, from `[intercept]`: the authority that signs, the mint, the proxy's own host, who rejected what.
//! Decides nothing: rules say what is intercepted.
//! Start at [`Settings::read`].

use std::sync::Arc;

use super::landing::Landing;
use super::rejected::Rejected;
use crate::addr::Host;
use crate::fault::{Fault, Faults};
use crate::settings::{Located, Table};
use crate::tls::authority::Authorities;
use crate::tls::mint::{self, Mint};

/// `[intercept]`, read.
#[derive(Debug)]
pub struct Settings {
    /// Who signs, and whose certificates are offered.
    pub authorities: Authorities,
    mint: mint::Settings,
    host: Host,
}

/// Interception as the workers share it.
#[derive(Debug)]
pub struct Interception {
    pub(super) mint: Arc<Mint>,
    pub(super) landing: Landing,
    pub(super) rejected: Rejected,
    settings: mint::Settings,
}

impl Settings {
    /// Reads the table. Blocks on the disk.
    pub fn read(table: Table, faults: &Faults) -> Option<Self> {
        let remedy = "make one with `egret ca init`, and write authority = { cert = \"ca.pem\", key = { file = \"ca.key\" } }";
        let authorities = table.require("authority", remedy, faults);
        let mint = mint::Settings::read(&table, faults);
        let host = table
            .take::<Located<String>>("host", faults)
            .and_then(|text| read_host(&text, faults))
            .or_else(|| Host::parse_bare(LANDING).ok());
        table.finish(faults);
        Some(Self {
            authorities: authorities?,
            mint,
            host: host?,
        })
    }
}

fn read_host(text: &Located<String>, faults: &Faults) -> Option<Host> {
    let host = Host::parse_bare(&text.value)
        .ok()
        .filter(|host| host.name().is_some());
    if host.is_none() {
        faults.push(Fault::at(
            &text.at,
            format!("\"{}\" is not a host name", text.value),
            "write a name that no other service has, such as \"egret.invalid\"",
        ));
    }
    host
}

impl Interception {
    /// Starts the mint; or goes on with what was there where the authority and its settings have not changed.
    pub fn start(settings: &Settings, before: Option<&Arc<Self>>) -> Result<Arc<Self>, Fault> {
        let authorities = &settings.authorities;
        let same = |before: &&Arc<Self>| {
            let had = before.mint.authorities();
            had.offered == authorities.offered
                && had.signing.certificate() == authorities.signing.certificate()
                && before.settings == settings.mint
                && *before.landing.host() == settings.host
        };
        if let Some(before) = before.filter(same) {
            return Ok(before.clone());
        }
        let mint = Mint::new(authorities.clone(), settings.mint).map_err(|error| {
            Fault::new(
                format!("cannot start the mint: {error}"),
                "raise the limit of threads",
            )
        })?;
        Ok(Arc::new(Self {
            mint,
            landing: Landing::new(settings.host.clone(), &authorities.offered),
            rejected: Rejected::default(),
            settings: settings.mint,
        }))
    }

    /// What the mint has done so far.
    pub fn minted(&self) -> mint::Counts {
        self.mint.counts()
    }

    /// Whether this is the proxy's own host, which no origin answers for.
    pub fn is_own(&self, host: &Host) -> bool {
        self.landing.host() == host
    }

    /// The page at a path of the proxy's own host.
    pub fn page(&self, path: &str) -> http::Response<crate::message::Body> {
        self.landing.page(path)
    }
}

/// The proxy's own host where the configuration names none. RFC 6761 §6.4: nobody else can have it.
pub const LANDING: &str = "egret.invalid";
