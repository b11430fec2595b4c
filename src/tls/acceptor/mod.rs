//! The server's side of TLS on a listener: certificates by name, client certificates, tickets, and the swap of all that when
//! its files change.
//! Reads no PROXY header and knows no protocol inside (listener), and does not say what a client may do.
//! Start at [`Server`].

mod clients;
mod settings;
mod tickets;
mod trouble;
mod watch;

pub use trouble::HandshakeError;

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::ClientCertVerifier;
use tokio_rustls::TlsAcceptor;

use super::certificates::{Certificates, Expiring};
use super::keys::Validity;
use crate::fault::{Fault, Faults};
use crate::settings::Value;
use crate::stream::Stream;
use settings::Settings;
use watch::Watch;

/// The TLS of one listener, shared by the workers: its settings, and what was last read well from the files that they name.
#[derive(Debug)]
pub struct Server {
    settings: Settings,
    current: ArcSwap<Loaded>,
    watch: Mutex<Watch>,
}

/// What was read from the files, as one piece: connections begin by all of it or by none.
#[derive(Debug)]
struct Loaded {
    /// Another one for each that is loaded in this process.
    generation: u64,
    config: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
}

/// What a handshake found out.
#[derive(Debug)]
pub struct ClientTls {
    /// Who the client is by its certificate.
    pub identity: Option<Identity>,
    /// The name that it asked for, in lower case (RFC 6066 §3).
    pub sni: Option<Box<str>>,
    /// `TLSv1_2` or `TLSv1_3`, as rustls calls it.
    pub version: Option<rustls::ProtocolVersion>,
    /// The cipher suite.
    pub suite: Option<rustls::CipherSuite>,
    /// What was agreed on by ALPN (RFC 7301).
    pub alpn: Option<Alpn>,
}

/// A protocol that ALPN names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alpn {
    /// `h2`.
    Http2,
    /// `http/1.1`.
    Http1,
}

impl Alpn {
    /// Its identification sequence, as registered.
    pub fn id(self) -> &'static str {
        match self {
            Self::Http2 => "h2",
            Self::Http1 => "http/1.1",
        }
    }
}

/// What a listener takes inside of TLS, and so what it may agree on by ALPN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inside {
    /// HTTP of any version.
    Http,
    /// HTTP/1.
    Http1,
    /// Whatever the origin speaks: without `alpn` nothing is agreed on.
    Anything,
}

/// A client's verified certificate and the name that it gives.
#[derive(Debug)]
pub struct Identity {
    /// The principal's name.
    pub name: Arc<str>,
    chain: Vec<CertificateDer<'static>>,
    /// Of the [`Loaded`] that trusted it last.
    generation: Cell<u64>,
}

impl Server {
    /// Reads a listener's `tls` and all files that it names. `inside` says what the listener takes inside of it. Blocks on
    /// the disk. `None` exactly where something was a fault.
    pub fn read(value: Value, listener: &str, inside: Inside, faults: &Faults) -> Option<Self> {
        let before = faults.len();
        let settings = Settings::read(value, listener, inside, faults)?;
        let watch = Watch::begin(settings.files());
        let loaded = Loaded::new(&settings, faults);
        if faults.len() > before {
            return None;
        }
        Some(Self {
            settings,
            current: ArcSwap::from_pointee(loaded?),
            watch: Mutex::new(watch),
        })
    }

    /// Looks whether a file has changed, and reads all anew when it has and has come to rest. With a fault the last good set
    /// stays, and the fault is told once for each change. To be called about once a second, off the workers: blocks on
    /// the disk. `None` where there is nothing to tell.
    pub fn refresh(&self) -> Option<Result<(), Vec<Fault>>> {
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = watch.changed(self.settings.files())?;
        let faults = Faults::new();
        let loaded = Loaded::new(&self.settings, &faults);
        match loaded {
            Some(loaded) if faults.is_empty() => {
                self.current.store(Arc::new(loaded));
                watch.loaded(seen);
                Some(Ok(()))
            }
            Some(_) | None => {
                let faults = faults.into_vec();
                watch.failed(seen, faults.first().map(Fault::to_string));
                Some(Err(faults))
            }
        }
    }

    /// What keeps the files that are there now from being taken, if anything.
    pub fn standing_fault(&self) -> Option<String> {
        let watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        watch.standing().map(str::to_owned)
    }

    /// Until when its certificates are valid.
    pub fn expiring(&self) -> Vec<Expiring> {
        self.current.load().certificates.expiring().to_vec()
    }

    /// Whether every client has to show a certificate.
    pub fn requires_certificate(&self) -> bool {
        let client = self.settings.client.as_ref();
        client.is_some_and(|client| client.required)
    }

    /// Whether clients are asked for certificates.
    pub fn asks_certificate(&self) -> bool {
        self.settings.client.is_some()
    }

    /// Whether an identity that was verified earlier, perhaps by another configuration, still is one here: by the roots, the
    /// revocation lists and the kind of name in force. Cheap where nothing has changed.
    pub fn trusts(&self, identity: &Identity) -> bool {
        let current = self.current.load();
        if identity.generation.get() == current.generation {
            return true;
        }
        let (Some(verifier), Some(client)) = (&current.verifier, &self.settings.client) else {
            return false;
        };
        let Some((own, issuers)) = identity.chain.split_first() else {
            return false;
        };
        let good = verifier
            .verify_client_cert(own, issuers, UnixTime::now())
            .is_ok()
            && client.naming.name_of(own).as_ref() == Some(&identity.name);
        if good {
            identity.generation.set(current.generation);
        }
        good
    }

    /// Does the handshake. Waits without limit: the caller bounds it. Dropping the future ends the connection.
    pub async fn accept(&self, stream: Stream) -> Result<(Stream, ClientTls), HandshakeError> {
        let current = self.current.load_full();
        let stream = TlsAcceptor::from(current.config.clone())
            .accept(stream)
            .await
            .map_err(HandshakeError::from)?;
        let (_, session) = stream.get_ref();
        let chain = session.peer_certificates().unwrap_or_default();
        let tls = ClientTls {
            identity: self.identity(&current, chain)?,
            sni: session.server_name().map(Into::into),
            version: session.protocol_version(),
            suite: session.negotiated_cipher_suite().map(|suite| suite.suite()),
            alpn: session.alpn_protocol().and_then(alpn),
        };
        Ok((Stream::boxed(stream), tls))
    }

    fn identity(
        &self,
        current: &Loaded,
        chain: &[CertificateDer<'static>],
    ) -> Result<Option<Identity>, HandshakeError> {
        let Some(client) = &self.settings.client else {
            return Ok(None);
        };
        let Some(own) = chain.first() else {
            return if client.required {
                Err(HandshakeError::NoCertificate)
            } else {
                Ok(None)
            };
        };
        // A resumed session was verified when it began, which may have been before the end of its certificate.
        let now = jiff::Timestamp::now();
        if !Validity::of(own).is_some_and(|validity| validity.covers(now)) {
            return Err(HandshakeError::Expired);
        }
        let name = client.naming.name_of(own);
        Ok(Some(Identity {
            name: name.ok_or(HandshakeError::Nameless(client.naming))?,
            chain: chain.to_vec(),
            generation: Cell::new(current.generation),
        }))
    }
}

fn alpn(id: &[u8]) -> Option<Alpn> {
    [Alpn::Http2, Alpn::Http1]
        .into_iter()
        .find(|alpn| alpn.id().as_bytes() == id)
}

impl Loaded {
    fn new(settings: &Settings, faults: &Faults) -> Option<Self> {
        let certificates =
            Certificates::load(&settings.certificates, &settings.listener, faults).map(Arc::new);
        let verifier = match &settings.client {
            Some(client) => client.verifier(faults).map(Some),
            None => Some(None),
        };
        let (certificates, verifier) = (certificates?, verifier?);
        let config = configure(settings, &certificates, verifier.as_ref(), faults)?;
        Some(Self {
            generation: GENERATION.fetch_add(1, Ordering::Relaxed),
            config: Arc::new(config),
            certificates,
            verifier,
        })
    }
}

static GENERATION: AtomicU64 = AtomicU64::new(0);

fn configure(
    settings: &Settings,
    certificates: &Arc<Certificates>,
    verifier: Option<&Arc<dyn ClientCertVerifier>>,
    faults: &Faults,
) -> Option<ServerConfig> {
    let provider = match &settings.suites {
        Some(suites) => rustls::crypto::CryptoProvider {
            cipher_suites: suites.clone(),
            ..aws_lc_rs::default_provider()
        },
        None => aws_lc_rs::default_provider(),
    };
    let builder = ServerConfig::builder_with_provider(Arc::new(provider));
    let Ok(builder) = builder.with_protocol_versions(settings.versions) else {
        faults.push(Fault::at(
            &settings.at,
            "none of \"suites\" is of a version that \"min-version\" lets in",
            "name a suite of TLS 1.3, such as \"TLS_AES_128_GCM_SHA256\", or leave \"suites\" out",
        ));
        return None;
    };
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier.clone()),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(certificates.clone());
    config.alpn_protocols = settings
        .alpn
        .iter()
        .map(|alpn| alpn.id().as_bytes().to_vec())
        .collect();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    match settings.tickets {
        // Keys of its own for each set: a session that began under other roots or revocation lists is not resumed here.
        Some(rotation) => match tickets::rotated(rotation) {
            Some(ticketer) => config.ticketer = ticketer,
            None => {
                let problem = "there are no random numbers for the keys of tickets";
                faults.push(Fault::at(&settings.at, problem, "write tickets = \"off\""));
                return None;
            }
        },
        None => config.send_tls13_tickets = 0,
    }
    Some(config)
}
