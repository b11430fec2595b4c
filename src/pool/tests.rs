mod endpoints;
mod secure;

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::addr::{Authority, Host};
use crate::fault::{Faults, Source};
use crate::settings::Table;
use crate::tls::connector::{self, Pins};

/// A pool that trusts a server for `a.example`, and that server, speaking this.
fn pair(alpn: &[&str]) -> (Pool, TlsAcceptor) {
    let mut params = CertificateParams::new(vec![]).expect("no names");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = || KeyPair::generate().expect("a key");
    let root = CertifiedIssuer::self_signed(params, key()).expect("a root");
    let own = key();
    let leaf = CertificateParams::new(vec!["a.example".to_owned()])
        .and_then(|params| params.signed_by(&own, &root))
        .expect("a leaf");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.der().clone()],
            PrivateKeyDer::Pkcs8(own.serialize_der().into()),
        )
        .expect("a certificate");
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("ca.pem");
    std::fs::write(&file, root.pem()).expect("written");
    let faults = Faults::new();
    let text = format!("roots = [{:?}]", file.display().to_string());
    let table = Table::parse(&Source::new("test.toml", text), &faults);
    let origin = Origin {
        settings: Settings::default(),
        trust: connector::read(Some(table), &faults),
    };
    let pool = Pool::new(origin, Lifeline::new());
    (pool, TlsAcceptor::from(Arc::new(config)))
}

fn key(http1_only: bool) -> Key {
    Key {
        secure: true,
        authority: Authority::parse("a.example:443", None).expect("an authority"),
        pins: Pins::default(),
        http1_only,
        terms: None,
    }
}

/// Whether a lease with this key would find a connection, which is there afterwards as before.
fn is_kept(pool: &Pool, key: &Key, permitted: &[SocketAddr]) -> bool {
    let (limit, habits) = (pool.limits(key).idle, pool.habits());
    let inner = &pool.0;
    if inner.shared.take(key, permitted, limit, habits).is_some() {
        return true;
    }
    let found = inner.idle.take(key, permitted, limit, habits);
    let is_there = found.is_some();
    if let Some(connection) = found {
        pool.give_back(key.clone(), connection);
    }
    is_there
}

#[tokio::test]
async fn what_was_secured_over_a_dialled_connection_is_there_for_the_next_lease() {
    let peer = SocketAddr::from(([192, 0, 2, 1], 443));
    let other = SocketAddr::from(([192, 0, 2, 2], 443));
    let host = Host::parse("a.example").expect("a host");
    tokio::task::LocalSet::new()
        .run_until(async {
            for (offered, http1_only, chosen) in [
                (&["h2", "http/1.1"][..], false, Some("h2")),
                (&["h2", "http/1.1"], true, Some("http/1.1")),
                (&["http/1.1"], false, Some("http/1.1")),
                (&[], false, None),
            ] {
                let (pool, server) = pair(offered);
                let (client, io) = tokio::io::duplex(1 << 16);
                let key = key(http1_only);
                assert!(!is_kept(&pool, &key, &[peer]));
                let (handshake, accepted) = tokio::join!(
                    pool.secure(Stream::boxed(client), peer, &host, &key),
                    server.accept(io)
                );
                let (handshake, mut accepted) = (handshake.expect("good"), accepted.expect("good"));
                assert_eq!(handshake.alpn.as_deref(), chosen.map(str::as_bytes));
                assert_eq!(handshake.certificates.len(), 1);
                let context = format!("{offered:?} {http1_only}");
                assert!(is_kept(&pool, &key, &[other, peer]), "{context}");
                assert!(
                    !is_kept(&pool, &self::key(!http1_only), &[peer]),
                    "{context}"
                );
                // One of HTTP/2 stays for others; that of HTTP/1.1 would be closed, as below.
                assert!(chosen != Some("h2") || !is_kept(&pool, &key, &[other]));
                assert_eq!(pool.idle(), 1, "{context}");
                if !http1_only && chosen.is_none() {
                    // One that goes where nobody may go any more is of no use.
                    assert!(!is_kept(&pool, &key, &[other]), "{context}");
                    assert!(!is_kept(&pool, &key, &[peer]), "{context}");
                    continue;
                }
                // Another trust: what was made under the old one is closed.
                pool.replace(pair(&[]).0.0.origin.borrow().clone());
                assert_eq!(pool.idle(), 0, "{context}");
                if chosen == Some("h2") {
                    let mut http2 = h2::server::handshake(accepted).await.expect("h2");
                    // It may be too late to say farewell to it.
                    assert!(!matches!(http2.accept().await, Some(Ok(_))));
                } else {
                    use tokio::io::AsyncReadExt;
                    assert!(accepted.read_u8().await.is_err(), "{context}");
                }
            }
        })
        .await;
}
