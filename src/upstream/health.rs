//! The health of one endpoint: what probes say of it, and how long it is ejected for what requests met there. Pure: told the time,
//! asks nobody.
//! Start at [`Health::probed`] and [`Ejection::eject`].

use std::time::Duration;

use super::settings::{HealthSettings, OutlierSettings};

/// What probes say of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Health {
    /// It was not probed yet, or is not probed at all: it takes requests.
    #[default]
    Unknown,
    /// It is well; so many probes have failed since the last that did not.
    Up {
        /// Failed probes in a row.
        failed: u32,
    },
    /// It takes no requests; so many probes have passed since the last that failed.
    Down {
        /// Passed probes in a row.
        passed: u32,
    },
}

impl Health {
    /// What a probe makes of it. The first one decides alone: an endpoint that nobody has seen well is not given the benefit of
    /// `fall` failures.
    pub(super) fn probed(self, passed: bool, settings: &HealthSettings) -> Self {
        match (self, passed) {
            (Self::Unknown | Self::Up { .. }, true) => Self::Up { failed: 0 },
            (Self::Unknown, false) => Self::Down { passed: 0 },
            (Self::Up { failed }, false) if failed + 1 >= settings.fall => Self::Down { passed: 0 },
            (Self::Up { failed }, false) => Self::Up { failed: failed + 1 },
            (Self::Down { passed }, true) if passed + 1 >= settings.rise => Self::Up { failed: 0 },
            (Self::Down { passed }, true) => Self::Down { passed: passed + 1 },
            (Self::Down { .. }, false) => Self::Down { passed: 0 },
        }
    }

    /// Whether it takes requests.
    pub fn is_up(self) -> bool {
        match self {
            Self::Unknown | Self::Up { .. } => true,
            Self::Down { .. } => false,
        }
    }

    /// A word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up { .. } => "up",
            Self::Down { .. } => "down",
        }
    }
}

/// Whether an endpoint is ejected, and how often it was of late. Times are since the epoch of its upstream.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ejection {
    /// Until when.
    until: Option<Duration>,
    /// How often it was, less what was forgiven.
    times: u32,
    /// Since when it has been in without a failure of this kind that is not yet rewarded.
    good_since: Option<Duration>,
}

impl Ejection {
    /// Ejects it for the base time, as often as it has been ejected of late.
    pub(super) fn eject(&mut self, now: Duration, settings: &OutlierSettings) -> Duration {
        self.times = self.times.saturating_add(1);
        let long = settings
            .base
            .saturating_mul(self.times)
            .min(settings.longest);
        self.until = Some(now + long);
        long
    }

    /// Until when it is ejected; `None` where it is not.
    pub(super) fn until(&self) -> Option<Duration> {
        self.until
    }

    /// Lets it back in where its time is over; says whether it was.
    pub(super) fn end(&mut self, now: Duration) -> bool {
        let over = self.until.take_if(|until| *until <= now);
        // It was in from then on, whenever somebody came to see it.
        self.good_since = over.or(self.good_since);
        over.is_some()
    }

    /// Lets it back in at once.
    pub(super) fn lift(&mut self, now: Duration) {
        if self.until.take().is_some() {
            self.good_since = Some(now);
        }
    }

    /// Forgives one ejection where as long as the first one lasted has passed without another.
    pub(super) fn forgive(&mut self, now: Duration, settings: &OutlierSettings) {
        let good = self.until.is_none().then_some(self.good_since).flatten();
        if good.is_some_and(|since| now.saturating_sub(since) >= settings.base) {
            self.times = self.times.saturating_sub(1);
            self.good_since = (self.times > 0).then_some(now);
        }
    }
}

/// What an operator wants of an endpoint, whatever its health.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Admin {
    /// It takes requests.
    #[default]
    Enabled,
    /// It takes no requests but those whose cookie names it.
    Drained,
    /// It takes no requests.
    Disabled,
}

/// A change that an operator should hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Probes have found it well.
    Up,
    /// Probes have found it unwell.
    Down,
    /// It takes no requests for so long.
    Ejected(Duration),
    /// It is this process itself, from where there is a way back to its upstream: it takes no requests.
    Circular,
    /// There is no way back from it any more.
    Straight,
}
