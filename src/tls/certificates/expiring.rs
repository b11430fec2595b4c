//! What ends on a day that is known, and the warning before it.
//! Knows no file and no listener.
//! Start at [`Expiring::warning`].

use std::time::Duration;

use jiff::Timestamp;

/// How long before its end something is worth a warning.
pub const SOON: Duration = Duration::from_secs(21 * 86_400);

/// Something that ends: a certificate of a listener, with its chain, or an authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiring {
    /// What it is, for people: whose, and where it stands.
    pub what: String,
    /// The names that it is for; may be empty.
    pub names: Vec<String>,
    /// The last second in which it is valid.
    pub not_after: Timestamp,
}

impl Expiring {
    /// Whole days that are left; negative when it has ended.
    pub fn days_left(&self, now: Timestamp) -> i64 {
        (self.not_after.as_second() - now.as_second()).div_euclid(86_400)
    }

    /// A warning, where it ends within [`SOON`] or has ended.
    pub fn warning(&self, now: Timestamp) -> Option<String> {
        let left = self.not_after.as_second() - now.as_second();
        let soon = i64::try_from(SOON.as_secs()).unwrap_or(i64::MAX);
        if left > soon {
            return None;
        }
        let Self {
            what,
            names,
            not_after,
        } = self;
        let names = if names.is_empty() {
            String::new()
        } else {
            format!(" ({})", names.join(", "))
        };
        Some(if left < 0 {
            format!("{what}{names} has expired: it was valid until {not_after}; renew it")
        } else {
            let days = self.days_left(now);
            format!("{what}{names} expires in {days} days, at {not_after}; renew it")
        })
    }
}
