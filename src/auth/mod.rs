//! Who is it: from credentials or a network address to a principal.
//! Knows nothing of what a principal may do (policy), nor of the protocol that carried the credentials.
//! Start at [`Authenticator::authenticate`].

mod principal;

pub use principal::Principal;
