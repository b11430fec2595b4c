//! `time`: windows of the week in a time zone's own wall-clock time, so that daylight saving moves the window with it.
//! Not a schedule with dates. A window over midnight belongs to the day on which it begins.
//! Start at [`ENTRY`].

use std::sync::Arc;

use jiff::civil::{DateTime, Time, Weekday};
use jiff::tz::TimeZone;

use super::{Condition, Entry, Facts, Ground, Truth};
use crate::fault::nearest;
use crate::settings::{Located, Value};

pub(super) const ENTRY: Entry = Entry {
    name: "time",
    summary: "the time is in one of these windows: \"Mon-Fri 08:00-18:00 Europe/Berlin\", \"22:00-06:00 UTC\"",
    build,
};

#[derive(Debug)]
struct Windows(Vec<Window>);

#[derive(Debug)]
struct Window {
    /// Monday first.
    days: [bool; 7],
    /// Minutes of the day, the second outside of the window; `None` is the whole day.
    minutes: Option<(u16, u16)>,
    zone: TimeZone,
    zone_name: String,
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const FORM: &str = "write \"Mon-Fri 08:00-18:00 Europe/Berlin\": days, hours, time zone";

fn build(value: Value, ground: Ground<'_>) -> Option<Arc<dyn Condition>> {
    let items = ground.several::<String>(value)?;
    let windows = ground.each(items, |item| read(&item, ground))?;
    Some(Arc::new(Windows(windows)))
}

fn read(item: &Located<String>, ground: Ground<'_>) -> Option<Window> {
    match Window::parse(&item.value) {
        Ok(window) => Some(window),
        Err((problem, remedy)) => ground.refuse(item, problem, remedy),
    }
}

type Problem = (String, String);

impl Window {
    fn parse(text: &str) -> Result<Self, Problem> {
        let mut words = text.split_whitespace().peekable();
        let mut days = None;
        let mut minutes = None;
        if let Some(word) = words.next_if(|word| starts_as_day(word)) {
            days = Some(parse_days(word)?);
        }
        if let Some(word) = words.next_if(|word| word.starts_with(|c: char| c.is_ascii_digit())) {
            minutes = Some(parse_hours(word)?);
        }
        let zone_name = words.next().ok_or_else(|| {
            let problem = format!("\"{text}\" names no time zone");
            (problem, "add one: \"UTC\", \"Europe/Berlin\"".to_owned())
        })?;
        let zone = parse_zone(zone_name)?;
        if let Some(more) = words.next() {
            let problem = format!("\"{more}\" does not belong into a time window");
            return Err((problem, FORM.to_owned()));
        }
        if days.is_none() && minutes.is_none() {
            let problem = format!("\"{text}\" names neither days nor hours");
            return Err((problem, FORM.to_owned()));
        }
        Ok(Self {
            days: days.unwrap_or([true; 7]),
            minutes,
            zone,
            zone_name: zone_name.to_owned(),
        })
    }

    fn contains(&self, local: DateTime) -> bool {
        let minute =
            u16::from(local.hour().unsigned_abs()) * 60 + u16::from(local.minute().unsigned_abs());
        let today = self.has_day(local.weekday());
        let yesterday = self.has_day(local.weekday().previous());
        match self.minutes {
            None => today,
            Some((from, until)) if from < until => today && (from..until).contains(&minute),
            Some((from, until)) => today && minute >= from || yesterday && minute < until,
        }
    }

    fn has_day(&self, day: Weekday) -> bool {
        let offset = usize::from(day.to_monday_zero_offset().unsigned_abs());
        self.days.get(offset).copied().unwrap_or(false)
    }
}

fn starts_as_day(word: &str) -> bool {
    // A zone has a slash or no hyphen or comma; "Sat" alone is a day.
    let first = word.split(['-', ',']).next().unwrap_or(word);
    day(first).is_some() || !word.contains('/') && word.contains(',')
}

fn day(word: &str) -> Option<usize> {
    DAYS.iter().position(|day| day.eq_ignore_ascii_case(word))
}

fn parse_days(word: &str) -> Result<[bool; 7], Problem> {
    let unknown = |text: &str| {
        let problem = format!("\"{text}\" is not a day");
        (problem, "Mon, Tue, Wed, Thu, Fri, Sat, Sun".to_owned())
    };
    let mut days = [false; 7];
    for part in word.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first = day(first).ok_or_else(|| unknown(first))?;
        let last = day(last).ok_or_else(|| unknown(last))?;
        let count = (last + 7 - first) % 7 + 1;
        for (at, chosen) in days.iter_mut().enumerate() {
            *chosen |= (at + 7 - first) % 7 < count;
        }
    }
    Ok(days)
}

fn parse_hours(word: &str) -> Result<(u16, u16), Problem> {
    let wrong = || {
        let problem = format!("\"{word}\" is not a span of hours");
        (problem, "write \"08:00-18:00\"".to_owned())
    };
    let (from, until) = word.split_once('-').ok_or_else(wrong)?;
    let from = minute_of_day(from)
        .filter(|from| *from < 1440)
        .ok_or_else(wrong)?;
    let until = minute_of_day(until).ok_or_else(wrong)?;
    if from == until {
        let problem = format!("\"{word}\" begins where it ends");
        return Err((
            problem,
            "leave the hours out to mean the whole day".to_owned(),
        ));
    }
    Ok((from, until))
}

fn minute_of_day(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let digits = |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(hour) || !digits(minute) {
        return None;
    }
    let (hour, minute): (i8, i8) = (hour.parse().ok()?, minute.parse().ok()?);
    if (hour, minute) == (24, 0) {
        return Some(1440);
    }
    Time::new(hour, minute, 0, 0).ok()?;
    Some(u16::from(hour.unsigned_abs()) * 60 + u16::from(minute.unsigned_abs()))
}

fn parse_zone(name: &str) -> Result<TimeZone, Problem> {
    TimeZone::get(name).map_err(|_| {
        let known: Vec<String> = jiff::tz::db()
            .available()
            .map(|zone| zone.to_string())
            .collect();
        let remedy = match nearest(name, known.iter().map(String::as_str)) {
            Some(near) => format!("Did you mean \"{near}\"?"),
            None => FORM.to_owned(),
        };
        (format!("there is no time zone \"{name}\""), remedy)
    })
}

impl Condition for Windows {
    fn holds(&self, facts: &Facts<'_>) -> Truth {
        let mut windows = self.0.iter();
        windows
            .any(|window| window.contains(window.zone.to_datetime(facts.now)))
            .into()
    }

    fn saw(&self, facts: &Facts<'_>) -> Option<String> {
        let window = self.0.first()?;
        let local = window.zone.to_datetime(facts.now);
        let text = local.strftime("%a %H:%M").to_string();
        Some(format!("{text} {}", window.zone_name))
    }
}
