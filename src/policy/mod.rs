//! The policy decision point: ordered rules over facts, first match wins, default deny. Pure: no socket, no DNS, no clock.
//! Not the enforcement (gate), which authenticates, resolves and asks twice.
//! Start at [`Policy::decide`].

mod facts;
pub mod list;
mod verdict;

pub use facts::{Facts, Scheme};
pub use verdict::{Denial, DenyAction, Grant, Obligations, Permit, Reason, RuleRef, Verdict};
