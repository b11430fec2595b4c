//! Session tickets whose keys are made here, rotated and forgotten (RFC 5077, RFC 8446 §4.6.1).
//! No store of sessions: a ticket holds all, sealed.
//! Start at [`rotated`].

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use rustls::crypto::GetRandomFailed;
use rustls::server::ProducesTickets;
use rustls::ticketer::TicketRotator;

/// Tickets under a key that is used for so long, and understood for as long again.
pub(super) fn rotated(rotation: Duration) -> Option<Arc<dyn ProducesTickets>> {
    let seconds = u32::try_from(rotation.as_secs()).ok()?;
    let rotator = TicketRotator::new(seconds, || Ok(Box::new(OneKey::new()?))).ok()?;
    Some(Arc::new(rotator))
}

/// The tickets of one key. Nonces are random: a key seals far fewer tickets in its time than 2^32 (NIST SP 800-38D §8.3).
#[derive(Debug)]
struct OneKey(RandomizedNonceKey);

impl OneKey {
    fn new() -> Result<Self, GetRandomFailed> {
        let mut bytes = [0; 32];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| GetRandomFailed)?;
        let key = RandomizedNonceKey::new(&AES_256_GCM, &bytes).map_err(|_| GetRandomFailed)?;
        bytes.fill(0);
        Ok(Self(key))
    }
}

impl ProducesTickets for OneKey {
    fn enabled(&self) -> bool {
        true
    }

    /// The rotator says how long tickets live.
    fn lifetime(&self) -> u32 {
        0
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let mut sealed = plain.to_vec();
        let nonce = self
            .0
            .seal_in_place_append_tag(Aad::empty(), &mut sealed)
            .ok()?;
        let mut ticket = nonce.as_ref().to_vec();
        ticket.append(&mut sealed);
        Some(ticket)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = ticket.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut sealed = sealed.to_vec();
        let plain = self
            .0
            .open_in_place(nonce, Aad::empty(), &mut sealed)
            .ok()?;
        Some(plain.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_opens_with_its_own_key_only_and_only_whole() {
        let (own, other) = (OneKey::new().unwrap(), OneKey::new().unwrap());
        let ticket = own.encrypt(b"session").unwrap();
        assert_eq!(own.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        assert_eq!(other.decrypt(&ticket), None);
        assert_eq!(own.decrypt(&ticket[1..]), None);
        assert_eq!(own.decrypt(b""), None);
        let mut changed = ticket.clone();
        *changed.last_mut().unwrap() ^= 1;
        assert_eq!(own.decrypt(&changed), None);
        assert_ne!(own.encrypt(b"session"), Some(ticket));
    }
}
