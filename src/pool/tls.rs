//! TLS to origins: verified by the platform's roots and the operator's, never "accept any".
//! Not TLS towards clients.
//! Start at [`read`].

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Failure;
use crate::addr::Host;
use crate::fault::{Fault, Faults};
use crate::message::ProxyError;
use crate::settings::{Located, Table};
use crate::stream::Stream;

/// Whom we believe.
#[derive(Debug, Clone)]
pub struct Trust {
    /// For handshakes.
    pub config: Arc<ClientConfig>,
    /// The roots, to see whether a reload has changed them.
    pub roots: Vec<TrustAnchor<'static>>,
}

/// Reads `[tls]`: `roots = ["extra.pem"]`. Every root is checked at load.
pub fn read(table: Option<Table>, faults: &Faults) -> Trust {
    let mut roots = RootCertStore::empty();
    // What the platform can not parse is its own business; a machine without any store falls back to the webpki roots.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    if let Some(table) = table {
        for path in table.take_or::<Vec<Located<PathBuf>>>("roots", Vec::new(), faults) {
            add_roots(&mut roots, &path, faults);
        }
        table.finish(faults);
    }
    let roots = Arc::new(roots);
    let mut config = ClientConfig::builder()
        .with_root_certificates(roots.clone())
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Trust {
        config: Arc::new(config),
        roots: roots.roots.clone(),
    }
}

/// What to give, and what most likely was given instead.
const PEM: &str = "give a file of certificates in PEM (\"-----BEGIN CERTIFICATE-----\"); one in DER is converted with: \
                   openssl x509 -inform der -in ca.der -out ca.pem";

fn add_roots(roots: &mut RootCertStore, path: &Located<PathBuf>, faults: &Faults) {
    let shown = path.value.display();
    let before = roots.len();
    match CertificateDer::pem_file_iter(&path.value) {
        Ok(certificates) => {
            for certificate in certificates {
                let added = certificate
                    .map_err(|error| error.to_string())
                    .and_then(|der| roots.add(der).map_err(|error| error.to_string()));
                if let Err(error) = added {
                    faults.push(Fault::at(
                        &path.at,
                        format!("{shown} has a certificate that can not be used: {error}"),
                        PEM,
                    ));
                }
            }
            if roots.len() == before {
                faults.push(Fault::at(
                    &path.at,
                    format!("{shown} holds no certificate"),
                    PEM,
                ));
            }
        }
        Err(error) => faults.push(Fault::at(
            &path.at,
            format!("cannot read {shown}: {error}"),
            "check the path and its permissions",
        )),
    }
}

/// Speaks TLS over a fresh connection; the certificate must be valid for `host`. Waits at most `limit`.
pub(super) async fn secure(
    config: &Arc<ClientConfig>,
    tcp: TcpStream,
    host: &Host,
    peer: SocketAddr,
    limit: Duration,
) -> Result<Stream, Failure> {
    let name = match host {
        Host::Name(name) => ServerName::try_from(name.to_string()),
        Host::Addr(ip) => Ok(ServerName::IpAddress((*ip).into())),
    };
    let name = name.map_err(|_| {
        Failure::new(
            ProxyError::TlsProtocol,
            format!("{host} can not be a TLS server name"),
        )
    })?;
    let handshake = TlsConnector::from(config.clone()).connect(name, tcp);
    match tokio::time::timeout(limit, handshake).await {
        Ok(Ok(stream)) => Ok(Stream::boxed(stream)),
        Ok(Err(error)) => Err(failure(&error, host, peer)),
        Err(_) => Err(Failure::new(
            ProxyError::ConnectionTimeout,
            format!("{host} did not finish the TLS handshake within {limit:?}"),
        )),
    }
}

fn failure(error: &std::io::Error, host: &Host, peer: SocketAddr) -> Failure {
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(why)) => Failure::new(
            ProxyError::TlsCertificate,
            format!("the certificate of {host} is not valid: {why}"),
        ),
        Some(rustls::Error::AlertReceived(alert)) => Failure::new(
            ProxyError::TlsAlert,
            format!("{host} refused TLS: {alert:?}"),
        ),
        Some(other) => Failure::new(
            ProxyError::TlsProtocol,
            format!("TLS with {host} ({peer}) failed: {other}"),
        ),
        None => Failure::new(
            ProxyError::ConnectionTerminated,
            format!("{host} closed the connection during the TLS handshake"),
        ),
    }
}
