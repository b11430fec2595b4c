//! Who is it: from credentials or a network address to a principal.
//! Knows nothing of what a principal may do (policy), nor of the protocol that carried the credentials.
//! Start at [`Authenticator::authenticate`].

mod apr1;
mod authenticator;
mod basic;
mod credentials;
mod groups;
mod hash;
mod htpasswd;
mod method;
mod network;
mod principal;
mod table;
mod turns;
mod verifier;

pub use authenticator::{Authenticator, Outcome};
pub use credentials::{Challenge, Credentials, CredentialsError, Password};
pub use groups::Groups;
pub use hash::{HashError, HashMethod, hash_password};
pub use method::{Answer, Answering, AuthMethod, Entry, Seen};
pub use principal::Principal;
pub use table::METHODS;

#[cfg(test)]
mod tests;
