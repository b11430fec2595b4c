#![expect(clippy::too_many_lines, reason = "a table is as long as it has rows")]

use http::HeaderValue;

use super::*;

/// Lines of `name: value`.
fn fields(lines: &[&str]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(": ").expect("a line");
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        let value = HeaderValue::from_bytes(value.as_bytes()).expect("a value");
        fields.append(name, value);
    }
    fields
}

fn response(line: &str) -> ResponseDirectives {
    ResponseDirectives::read(&fields(&[&format!("cache-control: {line}")]), &[])
}

fn request(line: &str) -> RequestDirectives {
    RequestDirectives::read(&fields(&[&format!("cache-control: {line}")]))
}

fn seconds(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}

#[test]
fn a_number_of_seconds_is_read_as_digits_or_is_none_9111_1_2_2() {
    for (argument, read) in [
        ("=600", seconds(600)),
        ("=\"600\"", seconds(600)),
        ("=\"6\\00\"", seconds(600)),
        ("=0", seconds(0)),
        ("=000600", seconds(600)),
        ("=2147483647", seconds((1 << 31) - 1)),
        ("=2147483648", seconds(1 << 31)),
        ("=2147483649", seconds(1 << 31)),
        ("=18446744073709551616", seconds(1 << 31)),
        ("=99999999999999999999999999999999999999", seconds(1 << 31)),
        // §4.2.1: what is there and no number is stale.
        ("", seconds(0)),
        ("=", seconds(0)),
        ("=\"\"", seconds(0)),
        ("=-1", seconds(0)),
        ("=+1", seconds(0)),
        ("=1.5", seconds(0)),
        ("=1s", seconds(0)),
        ("=0x10", seconds(0)),
        ("= 600", seconds(0)),
        (" = 600", seconds(0)),
        ("=\"600", seconds(0)),
        ("=\"600\"1", seconds(0)),
        ("='600'", seconds(0)),
        ("=６００", seconds(0)),
    ] {
        assert_eq!(
            response(&format!("max-age{argument}")).max_age,
            read,
            "max-age{argument}"
        );
        assert_eq!(
            response(&format!("s-maxage{argument}")).s_maxage,
            read,
            "s-maxage{argument}"
        );
    }
    for argument in ["", "=", "=x", "=-1"] {
        let read = response(&format!(
            "stale-while-revalidate{argument}, stale-if-error{argument}"
        ));
        // A permission without a number permits nothing.
        assert_eq!(
            (read.stale_while_revalidate, read.stale_if_error),
            (None, None)
        );
    }
}

#[test]
fn each_directive_of_a_response_is_known_in_any_case_9111_5_2_2() {
    let read = response(
        "MAX-AGE=1, S-MaxAge=2, No-Store, NO-CACHE, Private, PUBLIC, Must-Revalidate, Proxy-Revalidate, \
         Must-Understand, Immutable, Stale-While-Revalidate=3, Stale-If-Error=4, no-transform, community=\"x\"",
    );
    let all = ResponseDirectives {
        max_age: seconds(1),
        s_maxage: seconds(2),
        no_store: true,
        no_cache: true,
        private: true,
        public: true,
        must_revalidate: true,
        proxy_revalidate: true,
        must_understand: true,
        immutable: true,
        stale_while_revalidate: seconds(3),
        stale_if_error: seconds(4),
        ..ResponseDirectives::default()
    };
    assert_eq!(read, all);
    for unknown in [
        "no-stores",
        "xno-store",
        "no_store",
        "no-store-x",
        "x",
        "\"no-store\"",
        "=no-store",
    ] {
        assert_eq!(
            response(unknown),
            ResponseDirectives::default(),
            "{unknown}"
        );
    }
}

#[test]
fn each_directive_of_a_request_is_known_and_the_stricter_of_two_counts_9111_5_2_1() {
    let read = request(
        "max-age=5, max-stale=6, min-fresh=7, no-cache, no-store, only-if-cached, stale-if-error=8, no-transform",
    );
    let all = RequestDirectives {
        max_age: seconds(5),
        max_stale: seconds(6),
        min_fresh: seconds(7),
        no_cache: true,
        no_store: true,
        only_if_cached: true,
        stale_if_error: seconds(8),
    };
    assert_eq!(read, all);
    for (line, max_age, max_stale, min_fresh) in [
        ("max-age=5, max-age=3", seconds(3), None, None),
        ("max-age=3, max-age=5", seconds(3), None, None),
        ("max-age=3, max-age=x", seconds(0), None, None),
        ("max-stale", None, Some(LONGEST), None),
        ("max-stale, max-stale=9", None, seconds(9), None),
        ("max-stale=x", None, seconds(0), None),
        ("max-stale=", None, seconds(0), None),
        ("min-fresh=1, min-fresh=9", None, None, seconds(9)),
        ("min-fresh", None, None, Some(LONGEST)),
        ("min-fresh=x", None, None, Some(LONGEST)),
    ] {
        let read = request(line);
        assert_eq!(
            (read.max_age, read.max_stale, read.min_fresh),
            (max_age, max_stale, min_fresh),
            "{line}"
        );
    }
}

#[test]
fn pragma_counts_only_where_there_is_no_cache_control_9111_5_4() {
    for (lines, no_cache) in [
        (&["pragma: no-cache"][..], true),
        (&["pragma: NO-CACHE"], true),
        (&["pragma: x, no-cache"], true),
        (&["pragma: x", "pragma: no-cache"], true),
        (&["pragma: no-cache=x"], false),
        (&["pragma: x"], false),
        (&["pragma: no-cache", "cache-control: max-age=1"], false),
        (&["pragma: no-cache", "cache-control: "], false),
    ] {
        assert_eq!(
            RequestDirectives::read(&fields(lines)).no_cache,
            no_cache,
            "{lines:?}"
        );
    }
    // In a response it means nothing.
    let response = ResponseDirectives::read(&fields(&["pragma: no-cache"]), &[]);
    assert_eq!(response, ResponseDirectives::default());
}

#[test]
fn fields_are_named_in_quotes_and_what_names_none_is_about_all_9111_5_2_2_4() {
    let names = |names: &[&str]| -> SmallVec<[HeaderName; 2]> {
        let names = names.iter().map(|name| name.as_bytes());
        names
            .map(|name| HeaderName::from_bytes(name).expect("a name"))
            .collect()
    };
    for (argument, all, named) in [
        ("", true, &[][..]),
        ("=\"set-cookie\"", false, &["set-cookie"]),
        ("=\"Set-Cookie, X-B\"", false, &["set-cookie", "x-b"]),
        ("=\" a ,, b ,\"", false, &["a", "b"]),
        // A token in place of a quoted string (§5.2.2.4).
        ("=Set-Cookie", false, &["set-cookie"]),
        ("=", true, &[]),
        ("=\"\"", true, &[]),
        ("=\",\"", true, &[]),
        ("=\"a b\"", true, &[]),
        ("=\"a, b c\"", true, &[]),
        ("=\"ü\"", true, &[]),
        ("=\"a", true, &[]),
        ("=\"a\"b", true, &[]),
        // Without these the rest could not be read rightly.
        ("=\"vary\"", true, &[]),
        ("=\"a, Cache-Control\"", true, &[]),
        ("=\"Content-Encoding\"", true, &[]),
    ] {
        let read = response(&format!("no-cache{argument}"));
        assert_eq!(
            (read.no_cache, read.no_cache_fields),
            (all, names(named)),
            "no-cache{argument}"
        );
        let read = response(&format!("private{argument}"));
        assert_eq!(
            (read.private, read.private_fields),
            (all, names(named)),
            "private{argument}"
        );
    }
    let both = response("private=\"a\", private");
    assert!(both.private && both.private_fields == names(&["a"]));
    let many: Vec<String> = (0..=MOST_FIELDS).map(|n| format!("x-{n}")).collect();
    let read = response(&format!("private=\"{}\"", many.join(",")));
    assert!(
        read.private && read.private_fields.is_empty(),
        "more than are told apart are all"
    );
}

#[test]
fn what_is_malformed_still_forbids_and_permits_nothing_9111_4_2_1() {
    for (line, forbids) in [
        ("no-store=", true),
        ("no-store=x", true),
        ("no-store=\"", true),
        ("no-store;x", true),
        ("no-store x", true),
        ("no-store\tx", true),
        ("; no-store", false),
        ("x=\"a, no-store\"", false),
        ("x=\"a\\\", no-store\"", false),
        ("x=a\", no-store", true),
        // A quote that is not closed hides nothing.
        ("x=\"a, no-store", true),
        ("x=\"a\\\", no-store", true),
        (",, , no-store,", true),
        ("x=\"a\", no-store, y=\"b", true),
    ] {
        assert_eq!(response(line).no_store, forbids, "{line}");
        assert_eq!(request(line).no_store, forbids, "{line}");
    }
    for line in [
        "public x",
        "public=\"",
        "immutable;",
        "must-understand/",
        "only-if-cached =",
    ] {
        assert_eq!(response(line), ResponseDirectives::default(), "{line}");
        assert_eq!(request(line), RequestDirectives::default(), "{line}");
    }
}

#[test]
fn directives_of_several_lines_are_one_list_and_the_first_number_counts_9111_4_2_1() {
    let lines = fields(&[
        "cache-control: max-age=1",
        "cache-control: no-store, max-age=2",
    ]);
    let read = ResponseDirectives::read(&lines, &[]);
    assert_eq!((read.max_age, read.no_store), (seconds(1), true));
    // A quote does not reach from one line into the next.
    let lines = fields(&["cache-control: x=\"", "cache-control: no-store\""]);
    assert!(ResponseDirectives::read(&lines, &[]).no_store);
}

#[test]
fn the_first_targeted_field_that_is_there_and_valid_stands_in_for_all_9213_2_2() {
    let targets = ["edge-cache-control", "cdn-cache-control"].map(HeaderName::from_static);
    for (lines, max_age, targeted) in [
        (&["cache-control: max-age=1"][..], seconds(1), false),
        (
            &["cache-control: max-age=1", "cdn-cache-control: max-age=2"],
            seconds(2),
            true,
        ),
        (
            &[
                "cdn-cache-control: max-age=2",
                "edge-cache-control: max-age=3",
            ],
            seconds(3),
            true,
        ),
        (
            &[
                "cdn-cache-control: max-age=2",
                "edge-cache-control: max-age==",
            ],
            seconds(2),
            true,
        ),
        (
            &["cdn-cache-control: max-age=2", "edge-cache-control: "],
            seconds(2),
            true,
        ),
        (
            &["cache-control: max-age=1", "cdn-cache-control: no-such"],
            None,
            true,
        ),
        (
            &[
                "cache-control: max-age=1",
                "cdn-cache-control: max-age=\"2\"",
            ],
            None,
            true,
        ),
        (
            &[
                "cache-control: max-age=1",
                "cdn-cache-control: max-age=2;a,",
            ],
            seconds(1),
            false,
        ),
        (
            &["cache-control: max-age=1", "surrogate-control: max-age=2"],
            seconds(1),
            false,
        ),
    ] {
        let read = ResponseDirectives::read(&fields(lines), &targets);
        assert_eq!(
            (read.max_age, read.targeted),
            (max_age, targeted),
            "{lines:?}"
        );
    }
}

#[test]
fn a_request_that_wants_validation_says_so() {
    for (line, wants) in [
        ("no-cache", true),
        ("max-age=0", true),
        ("max-age=x", true),
        ("max-age=1", false),
        ("min-fresh=1", false),
    ] {
        assert_eq!(request(line).wants_validation(), wants, "{line}");
    }
}

mod any {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever stands before it in a list, but for a quoted string, `no-store` is not overlooked.
        #[test]
        fn no_store_is_found_among_anything_without_quotes(before in "[ -!#-~]{0,40}", after in "[ -~]{0,40}") {
            let read = response(&format!("{before}, no-store, {after}"));
            prop_assert!(read.no_store);
        }

        /// What is read of a list does not depend on space or on empty members.
        #[test]
        fn space_and_empty_members_change_nothing(members in proptest::collection::vec("[a-z-]{1,12}(=([a-z0-9]{1,4}|\"[a-z0-9, ]{0,9}\"))?", 0..6)) {
            let plain = response(&members.join(","));
            prop_assert_eq!(&plain, &response(&members.join(" ,\t, ,")));
            let lines: Vec<String> = members.iter().map(|member| format!("cache-control: {member}")).collect();
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            prop_assert_eq!(plain, ResponseDirectives::read(&fields(&lines), &[]));
        }
    }
}
