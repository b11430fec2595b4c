//! What is asked of an upstream, and why there may be no endpoint.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Dice, EndpointKey};

/// A request that wants an endpoint.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The worker's random numbers.
    pub dice: &'a Dice,
    /// The time.
    pub now: Instant,
    /// The hash of what the request is known by ([`super::Upstream::key`] says what that is); `None` where it has nothing of the
    /// kind, and a place is drawn for it.
    pub key: Option<u64>,
    /// Endpoints that it was sent to before, or that are not for it: it is sent to others.
    pub tried: &'a [EndpointKey],
    /// Whether it was sent before: then it does not disturb who asked to be left alone, even if there is nobody else.
    pub again: bool,
    /// The endpoint that its cookie names ([`super::Sticky::read`]): it goes there where that can be.
    pub sticky: Option<u64>,
}

impl<'a> Ask<'a> {
    /// A request of which nothing is known.
    pub fn new(dice: &'a Dice, now: Instant) -> Self {
        Self {
            dice,
            now,
            key: None,
            tried: &[],
            again: false,
            sticky: None,
        }
    }
}

/// Why there is no endpoint for a request. Each variant is a fact, fit for a client to read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// None is known: names are not resolved, a file is not read. The reason names them.
    #[error("no endpoint is known: {0}")]
    NoEndpoints(Arc<str>),
    /// All are drained, disabled, or of weight 0.
    #[error("every endpoint is drained, disabled or of weight 0")]
    Disabled,
    /// Those that are neither drained nor disabled are listeners of this process from which there is a way back here.
    #[error("every endpoint leads back here: it would go round in circles")]
    Circular,
    /// None is healthy, and panic is off.
    #[error("no endpoint is healthy")]
    Unhealthy,
    /// All that could take it are at their limits.
    #[error("every endpoint is at its limit")]
    Full,
    /// It was sent to all that could take it.
    #[error("every endpoint was tried")]
    AllTried,
    /// Those that it was not sent to have asked to be left alone for a while.
    #[error("every endpoint that was not tried asks to be left alone for a while")]
    Resting,
}

impl Unavailable {
    /// Of several reasons the one is told that leaves most to hope for.
    pub(super) fn matters(&self) -> u8 {
        match self {
            Self::NoEndpoints(_) | Self::Disabled | Self::Circular | Self::Unhealthy => 0,
            Self::AllTried => 1,
            Self::Full => 2,
            Self::Resting => 3,
        }
    }

    /// A word for records.
    pub fn token(&self) -> &'static str {
        match self {
            Self::NoEndpoints(_) => "no_endpoints",
            Self::Disabled => "endpoints_disabled",
            Self::Circular => "endpoints_circular",
            Self::Unhealthy => "endpoints_unhealthy",
            Self::Full => "endpoints_full",
            Self::AllTried => "endpoints_tried",
            Self::Resting => "endpoints_resting",
        }
    }
}
