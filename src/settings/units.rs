//! Quantities with units: durations and sizes, as strings an operator reads without a manual.
//! Not points in time.
//! Start at [`ByteSize::parse`] and [`parse_duration`].

use std::fmt;
use std::time::Duration;

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// So many KiB.
    pub const fn kib(n: u64) -> Self {
        Self(n << 10)
    }

    /// So many MiB.
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }

    /// The number of bytes, capped at what memory can address.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// Reads `"64KiB"`, `"1.5GB"`, `"512"`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (number, unit) = split_unit(text);
        let factor = SIZES
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit))
            .map(|(_, factor)| *factor);
        match (
            number
                .parse::<f64>()
                .ok()
                .filter(|n| n.is_finite() && *n >= 0.0),
            factor,
        ) {
            (Some(number), Some(factor)) => Ok(Self((number * factor as f64) as u64)),
            (None, _) => Err(format!("\"{text}\" does not begin with a number")),
            (_, None) => Err(format!(
                "\"{unit}\" is not a unit of size (B, KB, KiB, MB, MiB, GB, GiB, TB, TiB)"
            )),
        }
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)]
            .into_iter()
            .find(|(_, bits)| self.0 >> bits > 0);
        match unit {
            Some((name, bits)) if self.0.is_multiple_of(1 << bits) => {
                write!(f, "{}{name}", self.0 >> bits)
            }
            Some((name, bits)) => write!(f, "{:.1}{name}", self.0 as f64 / (1u64 << bits) as f64),
            None => write!(f, "{}B", self.0),
        }
    }
}

const SIZES: &[(&str, u64)] = &[
    ("", 1),
    ("B", 1),
    ("KB", 1_000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
    ("TB", 1_000_000_000_000),
    ("TiB", 1 << 40),
];

/// Reads `"250ms"`, `"5s"`, `"1h30m"`, `"1d"`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return Err("the duration is empty".to_owned());
    }
    while !rest.is_empty() {
        let (number, after) = split_unit(rest);
        let end = after
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, next) = after.split_at(end);
        let number: f64 = number
            .parse()
            .map_err(|_| format!("\"{text}\" does not begin with a number"))?;
        let factor = DURATIONS
            .iter()
            .find(|(name, _)| *name == unit.trim())
            .map(|(_, seconds)| *seconds);
        let factor = factor.ok_or_else(|| match unit.trim() {
            "" => format!("\"{text}\" has no unit of time (ms, s, m, h, d)"),
            unit => format!("\"{unit}\" is not a unit of time (ms, s, m, h, d)"),
        })?;
        let part = Duration::try_from_secs_f64(number * factor)
            .map_err(|_| format!("\"{text}\" is too long"))?;
        total = total
            .checked_add(part)
            .ok_or_else(|| format!("\"{text}\" is too long"))?;
        rest = next.trim_start();
    }
    // Far deadlines must stay addable to any clock reading.
    Ok(total.min(Duration::from_secs(10 * 365 * 86_400)))
}

const DURATIONS: &[(&str, f64)] = &[
    ("ms", 0.001),
    ("s", 1.0),
    ("m", 60.0),
    ("h", 3_600.0),
    ("d", 86_400.0),
];

fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_are_read_with_their_units() {
        for (text, bytes) in [
            ("64KiB", Some(65_536)),
            ("1.5 GB", Some(1_500_000_000)),
            ("12", Some(12)),
            ("12q", None),
            ("MiB", None),
        ] {
            assert_eq!(
                ByteSize::parse(text).ok().map(|size| size.0),
                bytes,
                "{text}"
            );
        }
        for (text, millis) in [
            ("250ms", Some(250)),
            ("5s", Some(5_000)),
            ("1h30m", Some(5_400_000)),
            ("5", None),
            ("", None),
            ("5 years", None),
        ] {
            assert_eq!(
                parse_duration(text).ok().map(|d| d.as_millis()),
                millis,
                "{text}"
            );
        }
    }
}
