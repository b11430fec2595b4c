//! How long an answer is fresh: lifetimes, ages, dates, and what stands in for them. RFC 9111 §4.2, §5.3.
//! Not what is done with stale ones, which is `stale` and `validation`.

use super::table::{Row, date, get, row, run};

/// An answer with these lines is used again, or is not.
fn fresh(name: &str, clause: &'static str, lines: &str) -> Row {
    row(
        name,
        clause,
        [get().answer(200, lines).carrying("one"), get().body("one")],
    )
}

fn stale(name: &str, clause: &'static str, lines: &str) -> Row {
    let second = get()
        .answer(200, "Cache-Control: no-store")
        .carrying("two")
        .body("two");
    row(
        name,
        clause,
        [get().answer(200, lines).carrying("one"), second],
    )
}

/// Neither is wrong; what comes must be one of the two.
fn either(name: &str, clause: &'static str, lines: &str) -> Row {
    row(name, clause, [get().answer(200, lines), get().maybe()])
}

#[test]
fn a_lifetime_is_what_the_first_of_its_sources_says() {
    run(vec![
        fresh("max-age", "§4.2.1", "Cache-Control: max-age=600"),
        stale("max-age of nothing", "§4.2.1", "Cache-Control: max-age=0"),
        fresh(
            "s-maxage before max-age",
            "§4.2.1",
            "Cache-Control: max-age=0, s-maxage=600",
        ),
        stale(
            "s-maxage of nothing before max-age",
            "§4.2.1",
            "Cache-Control: max-age=600, s-maxage=0",
        ),
        fresh(
            "max-age before Expires",
            "§5.3",
            "Cache-Control: max-age=600\nDate: {now}\nExpires: {now-600}",
        ),
        stale(
            "max-age of nothing before Expires",
            "§5.3",
            "Cache-Control: max-age=0\nDate: {now}\nExpires: {now+600}",
        ),
        fresh(
            "s-maxage before Expires",
            "§4.2.1",
            "Cache-Control: s-maxage=600\nExpires: {now-600}",
        ),
        fresh("Expires", "§5.3", "Date: {now}\nExpires: {now+600}"),
        fresh("Expires without Date", "§5.3", "Expires: {now+600}"),
        stale(
            "Expires in the past",
            "§5.3",
            "Date: {now}\nExpires: {now-600}",
        ),
        stale("Expires at once", "§5.3", "Date: {now}\nExpires: {now}"),
        stale(
            "Expires before Date, both to come",
            "§4.2.1",
            "Date: {now+900}\nExpires: {now+600}",
        ),
        fresh(
            "Expires of the past, after Date",
            "§4.2.1",
            "Date: {now-60}\nExpires: {now+600}",
        ),
    ]);
}

#[test]
fn a_lifetime_is_read_as_it_was_meant_or_not_at_all() {
    run(vec![
        fresh(
            "more than anyone can count",
            "§1.2.2",
            "Cache-Control: max-age=99999999999999999999999",
        ),
        fresh(
            "one more than 31 bits",
            "§1.2.2",
            "Cache-Control: max-age=2147483648",
        ),
        fresh(
            "one more than 63 bits",
            "§1.2.2",
            "Cache-Control: max-age=9223372036854775808",
        ),
        fresh("zeros before it", "§1.2.2", "Cache-Control: max-age=000600"),
        fresh("in quotes", "§5.2", "Cache-Control: max-age=\"600\""),
        fresh("in capitals", "§5.2", "Cache-Control: MAX-AGE=600"),
        fresh(
            "empty members about it",
            "9110 §5.6.1",
            "Cache-Control: , ,max-age=600, ,",
        ),
        fresh(
            "in a second line",
            "9110 §5.3",
            "Cache-Control: public\nCache-Control: max-age=600",
        ),
        fresh(
            "after a quoted comma",
            "9110 §5.6.4",
            "Cache-Control: x=\"a, max-age=0\", max-age=600",
        ),
        fresh(
            "after a quoted quote",
            "9110 §5.6.4",
            "Cache-Control: x=\"\\\", max-age=0\", max-age=600",
        ),
        stale(
            "only inside of quotes",
            "9110 §5.6.4",
            "Cache-Control: x=\", max-age=600\"",
        ),
        stale("a word", "§4.2.1", "Cache-Control: max-age=ten"),
        stale("nothing", "§4.2.1", "Cache-Control: max-age="),
        stale("no argument", "§4.2.1", "Cache-Control: max-age"),
        stale("less than nothing", "§4.2.1", "Cache-Control: max-age=-1"),
        stale("a sign before it", "§1.2.2", "Cache-Control: max-age=+600"),
        stale("a fraction", "§1.2.2", "Cache-Control: max-age=600.0"),
        stale("letters after it", "§1.2.2", "Cache-Control: max-age=600s"),
        stale("hexadecimal", "§1.2.2", "Cache-Control: max-age=0x600"),
        stale(
            "a name that begins alike",
            "§5.2",
            "Cache-Control: max-ages=600",
        ),
        stale(
            "a name that ends alike",
            "§5.2",
            "Cache-Control: x-max-age=600",
        ),
        stale(
            "a word, which Expires does not mend",
            "§4.2.1",
            "Cache-Control: max-age=ten\nExpires: {now-600}",
        ),
        stale(
            "twice, first of nothing",
            "§4.2.1",
            "Cache-Control: max-age=0, max-age=600",
        ),
        either(
            "twice, last of nothing",
            "§4.2.1",
            "Cache-Control: max-age=600, max-age=0",
        ),
        fresh(
            "twice the same",
            "§4.2.1",
            "Cache-Control: max-age=600, max-age=600",
        ),
    ]);
}

#[test]
fn a_date_is_read_in_each_of_its_forms_or_is_in_the_past() {
    let later = |form: &str| format!("Expires: {}", date(86_400, form));
    run(vec![
        fresh(
            "the form of today",
            "9110 §5.6.7",
            &later("%a, %d %b %Y %H:%M:%S GMT"),
        ),
        fresh(
            "the form of RFC 850",
            "9110 §5.6.7",
            &later("%A, %d-%b-%y %H:%M:%S GMT"),
        ),
        fresh(
            "the form of asctime",
            "9110 §5.6.7",
            &later("%a %b %e %H:%M:%S %Y"),
        ),
        stale("nothing", "§5.3", "Expires:"),
        stale("nought", "§5.3", "Expires: 0"),
        stale("less than nought", "§5.3", "Expires: -1"),
        stale("a word", "§5.3", "Expires: never"),
        stale("seconds", "§5.3", "Expires: 99999999999"),
        stale("another zone", "§5.3", &later("%a, %d %b %Y %H:%M:%S CET")),
        stale(
            "a zone in numbers",
            "§5.3",
            &later("%a, %d %b %Y %H:%M:%S +0000"),
        ),
        stale("no zone", "§5.3", &later("%a, %d %b %Y %H:%M:%S")),
        stale(
            "a thirtieth of February",
            "§5.3",
            "Expires: Tue, 30 Feb 2038 01:01:01 GMT",
        ),
        stale("hour 25", "§5.3", "Expires: Thu, 18 Aug 2050 25:01:01 GMT"),
        fresh("far away", "§5.3", "Expires: Fri, 31 Dec 9999 23:59:59 GMT"),
        stale(
            "nought, before a certain age",
            "§4.2.2",
            "Expires: 0\nLast-Modified: {now-864000}",
        ),
    ]);
}

#[test]
fn age_counts_from_where_the_answer_was_made() {
    let week = "Cache-Control: max-age=3600\n";
    let with = |lines: &str| format!("{week}{lines}");
    run(vec![
        fresh("younger than its lifetime", "§4.2.3", &with("Age: 1800")),
        stale("as old as its lifetime", "§4.2.3", &with("Age: 3600")),
        stale("older than its lifetime", "§4.2.3", &with("Age: 7200")),
        stale("older, in zeros", "§1.2.2", &with("Age: 0007200")),
        stale(
            "older than anyone can count",
            "§1.2.2",
            &with("Age: 99999999999999999999"),
        ),
        stale(
            "older than 31 bits, and a lifetime as long",
            "§1.2.2",
            "Cache-Control: max-age=2147483648\nAge: 2147483648",
        ),
        stale("the first of a list counts", "§5.1", &with("Age: 7200, 0")),
        fresh(
            "the first of a list counts, which is young",
            "§5.1",
            &with("Age: 0, 7200"),
        ),
        stale(
            "the first of two lines counts",
            "§5.1",
            &with("Age: 7200\nAge: 0"),
        ),
        fresh("what is no number is not there", "§5.1", &with("Age: old")),
        fresh(
            "less than nothing is not there",
            "§5.1",
            &with("Age: -7200"),
        ),
        fresh("a fraction is not there", "§5.1", &with("Age: 7200.5")),
        stale(
            "a date long past makes it old",
            "§4.2.3",
            &with("Date: {now-7200}"),
        ),
        fresh("a date a little past", "§4.2.3", &with("Date: {now-1800}")),
        fresh(
            "a date to come makes it no younger than new",
            "§4.2.3",
            &with("Date: {now+7200}"),
        ),
        fresh("no date", "§4.2.3", week),
        fresh("a date that is none", "§4.2.3", &with("Date: yesterday")),
        stale(
            "Age and Date, of which the greater counts",
            "§4.2.3",
            &with("Age: 10\nDate: {now-7200}"),
        ),
        stale(
            "Age and Date, the other way",
            "§4.2.3",
            &with("Age: 7200\nDate: {now}"),
        ),
        stale(
            "Expires counts from Date, age as well",
            "§4.2.3",
            "Date: {now-7200}\nExpires: {now-3600}",
        ),
        stale(
            "Expires to come, but Age beyond it",
            "§4.2.3",
            "Date: {now}\nExpires: {now+600}\nAge: 700",
        ),
    ]);
}

#[test]
fn an_answer_that_says_nothing_lives_a_tenth_of_its_age() {
    let day = 86_400;
    let modified = |days: i64| {
        format!(
            "Last-Modified: {}",
            date(-days * day, "%a, %d %b %Y %H:%M:%S GMT")
        )
    };
    let ten = modified(10);
    run(vec![
        fresh("ten days old, at once", "§4.2.2", &ten),
        fresh(
            "ten days old, half a day later",
            "§4.2.2",
            &format!("{ten}\nAge: 43200"),
        ),
        stale(
            "ten days old, two days later",
            "§4.2.2",
            &format!("{ten}\nAge: 172800"),
        ),
        stale(
            "ten years old, a year later: there is an end to it",
            "§4.2.2",
            &format!("{}\nAge: 31000000", modified(3650)),
        ),
        stale(
            "changed this moment",
            "§4.2.2",
            "Date: {now}\nLast-Modified: {now}",
        ),
        stale(
            "changed in the future",
            "§4.2.2",
            "Date: {now}\nLast-Modified: {now+864000}",
        ),
        stale("a date that is none", "§4.2.2", "Last-Modified: long ago"),
        stale(
            "its own lifetime stands before",
            "§4.2.2",
            &format!("{ten}\nCache-Control: max-age=0"),
        ),
        stale("a tag alone says nothing of time", "§4.2.2", "ETag: \"a\""),
        fresh(
            "a query does not matter",
            "§4.2.2",
            &format!("{ten}\nX-A: b"),
        ),
    ]);
}
