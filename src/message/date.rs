//! Dates in fields, in the three forms of HTTP (RFC 9110 §5.6.7), of which only the first is written.
//! Start at [`parse`] and [`render`].

use http::HeaderValue;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// A date; names of days and months in any case, and nothing else that is not exactly in one of the forms. `near`: a year of two
/// digits is at most 50 years after it. The name of the day is not compared with the date.
pub fn parse(text: &[u8], near: Timestamp) -> Option<Timestamp> {
    let text = str::from_utf8(text).ok()?.trim_ascii();
    if text.len() > LONGEST || !text.is_ascii() {
        return None;
    }
    let words: Vec<&str> = text.split(' ').collect();
    let date = match *words.as_slice() {
        [day, date, month, year, time, zone] if day.ends_with(',') => {
            is_day(day.strip_suffix(',')?, 3)?;
            is_gmt(zone)?;
            civil(number(year, 4)?, month, number(date, 2)?, time)?
        }
        [day, date, time, zone] if day.ends_with(',') => {
            is_day(day.strip_suffix(',')?, 9)?;
            is_gmt(zone)?;
            let mut parts = date.split('-');
            let (date, month) = (parts.next()?, parts.next()?);
            let year = number(parts.next()?, 2)?;
            parts.next().is_none().then_some(())?;
            let century = near.to_zoned(TimeZone::UTC).year() / 100 * 100;
            let read = |year| civil(year, month, number(date, 2)?, time);
            return of_century(read, century.checked_add(year)?, near);
        }
        [day, month, "", date, time, year] => {
            is_day(day, 3)?;
            civil(number(year, 4)?, month, number(date, 1)?, time)?
        }
        [day, month, date, time, year] => {
            is_day(day, 3)?;
            civil(number(year, 4)?, month, number(date, 2)?, time)?
        }
        _ => return None,
    };
    Some(moment(date))
}

/// The form that is written.
pub fn render(time: Timestamp) -> Option<HeaderValue> {
    let text = time
        .to_zoned(TimeZone::UTC)
        .strftime("%a, %d %b %Y %H:%M:%S GMT");
    HeaderValue::try_from(text.to_string()).ok()
}

/// A year of two digits that seems more than 50 years ahead is one that is past.
fn of_century(
    read: impl Fn(i16) -> Option<DateTime>,
    year: i16,
    near: Timestamp,
) -> Option<Timestamp> {
    let ahead = SignedDuration::from_hours(50 * 365 * 24 + 12 * 24);
    let read_at = |year| read(year).map(moment);
    match read_at(year) {
        Some(time) if time.duration_since(near) <= ahead => Some(time),
        Some(_) | None => read_at(year.checked_sub(100)?),
    }
}

/// The moment of a date; the last days of the year 9999, with which people mean for ever, are beyond what can be told apart.
fn moment(date: DateTime) -> Timestamp {
    let zoned = date.to_zoned(TimeZone::UTC);
    zoned.map_or(Timestamp::MAX, |zoned| zoned.timestamp())
}

fn civil(year: i16, month: &str, date: i16, time: &str) -> Option<DateTime> {
    let month = MONTHS
        .iter()
        .position(|name| name.eq_ignore_ascii_case(month))?;
    let month = i8::try_from(month + 1).ok()?;
    let date = Date::new(year, month, i8::try_from(date).ok()?).ok()?;
    let mut parts = time.split(':').map(|part| number(part, 2));
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    parts.next().is_none().then_some(())?;
    let small = |part: i16| i8::try_from(part).ok();
    // A leap second is the last one of its minute.
    let time = Time::new(small(hour)?, small(minute)?, small(second.min(59))?, 0).ok()?;
    (second <= 60).then(|| date.to_datetime(time))
}

fn number(text: &str, digits: usize) -> Option<i16> {
    let is_number = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

/// The name of a day, in three letters or whole.
fn is_day(text: &str, longest: usize) -> Option<()> {
    let fits = |name: &&str| match longest {
        3 => name
            .get(..3)
            .is_some_and(|short| short.eq_ignore_ascii_case(text)),
        _ => name.eq_ignore_ascii_case(text),
    };
    DAYS.iter().any(fits).then_some(())
}

fn is_gmt(text: &str) -> Option<()> {
    text.eq_ignore_ascii_case("GMT").then_some(())
}

const DAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
/// `Wednesday, 09-Nov-94 08:49:37 GMT`, and some.
const LONGEST: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn a_date_is_read_in_each_of_three_forms_and_in_no_other() {
        let near = at("2026-11-24T00:00:00Z");
        for (text, time) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", "1994-11-06T08:49:37Z"),
            ("sUN, 06 nOV 1994 08:49:37 gmt", "1994-11-06T08:49:37Z"),
            ("Sunday, 06-Nov-94 08:49:37 GMT", "1994-11-06T08:49:37Z"),
            ("Thursday, 18-Aug-50 02:01:18 GMT", "2050-08-18T02:01:18Z"),
            ("Thursday, 18-Aug-76 02:01:18 GMT", "2076-08-18T02:01:18Z"),
            ("Thursday, 18-Aug-78 02:01:18 GMT", "1978-08-18T02:01:18Z"),
            ("Sun Nov  6 08:49:37 1994", "1994-11-06T08:49:37Z"),
            ("Sun Nov 16 08:49:37 1994", "1994-11-16T08:49:37Z"),
            ("Sat, 31 Dec 2016 23:59:60 GMT", "2016-12-31T23:59:59Z"),
            ("Wed, 29 Dec 9999 23:59:59 GMT", "9999-12-29T23:59:59Z"),
            (
                "Fri, 31 Dec 9999 23:59:59 GMT",
                "9999-12-30T22:00:00.999999999Z",
            ),
        ] {
            assert_eq!(parse(text.as_bytes(), near), Some(at(time)), "{text}");
        }
        for text in [
            "",
            "0",
            "-1",
            "Thu, 18 Aug 2050 02:01:18 UTC",
            "Thu, 18 Aug 2050 02:01:18 +0000",
            "Thu, 18 Aug 50 02:01:18 GMT",
            "Thu 18 Aug 2050 02:01:18 GMT",
            "Thu, 18  Aug  2050 02:01:18 GMT",
            "Thu, 18-Aug-2050 02:01:18 GMT",
            "Thu, 18 Aug 2050 02.01.18 GMT",
            "Thu, 18 Aug 2050 2:01:18 GMT",
            "Thu, 31 Feb 2050 02:01:18 GMT",
            "Thu, 18 Aug 2050 25:01:18 GMT",
            "Thu, 18 Aug 2050 02:01:61 GMT",
            "Foo, 18 Aug 2050 02:01:18 GMT",
            "Thursday, 18 Aug 2050 02:01:18 GMT",
            "Thu, 18 Aug 2050 02:01:18 GMT, ",
            "2050-08-18T02:01:18Z",
        ] {
            assert_eq!(parse(text.as_bytes(), near), None, "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let time = at("1994-11-06T08:49:37Z");
        let written = render(time).expect("a value");
        assert_eq!(written, "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(parse(written.as_bytes(), time), Some(time));
    }
}
