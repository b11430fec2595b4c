//! A percentage as an operator writes it.

use crate::fault::{Fault, Faults};
use crate::settings::{FromValue, Kind, Value};

/// `"12.5%"`. Never negative.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Percent(f64);

impl Percent {
    /// One for a hundred per cent.
    pub fn share(self) -> f64 {
        self.0 / 100.0
    }

    fn parse(text: &str) -> Option<Self> {
        let number = text.trim().strip_suffix('%')?.trim_end();
        let plain = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        number.parse().ok().filter(|_| plain).map(Self)
    }
}

impl FromValue for Percent {
    fn from_value(value: Value, faults: &Faults) -> Option<Self> {
        let expected = "a percentage such as \"20%\"";
        let Kind::Text(text) = &value.kind else {
            return value.mismatch(expected, faults);
        };
        let percent = Self::parse(text);
        if percent.is_none() {
            faults.push(Fault::at(
                &value.at,
                format!("\"{text}\" is not a percentage"),
                format!("write {expected}"),
            ));
        }
        percent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_has_its_sign() {
        for (text, share) in [
            ("20%", Some(0.2)),
            (" 12.5 %", Some(0.125)),
            ("125%", Some(1.25)),
            ("20", None),
            ("-1%", None),
            ("1e3%", None),
            ("nan%", None),
            ("%", None),
        ] {
            assert_eq!(Percent::parse(text).map(Percent::share), share, "{text}");
        }
    }
}
