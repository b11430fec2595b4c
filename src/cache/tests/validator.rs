use super::*;

fn date(text: &str) -> Option<i64> {
    let near = Timestamp::from_second(1_800_000_000).unwrap();
    http_date(text.as_bytes(), near).map(Timestamp::as_second)
}

#[test]
fn dates_are_read_in_three_forms_9110_5_6_7() {
    for (text, expected) in [
        ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
        ("Sunday, 06-Nov-94 08:49:37 GMT", Some(784_111_777)),
        ("Sun Nov  6 08:49:37 1994", Some(784_111_777)),
        ("Sun, 06 Nov 1994 08:49:37", None),
        ("Sun, 06 Nov 1994 08:49:37 +0100", None),
        ("06 Nov 1994 08:49:37 GMT", None),
        ("Sun, 32 Nov 1994 08:49:37 GMT", None),
        ("0", None),
        ("", None),
        (&"x".repeat(100_000), None),
    ] {
        assert_eq!(date(text), expected, "{text}");
    }
}

#[test]
fn two_digits_that_seem_far_ahead_are_of_the_past_9110_5_6_7() {
    // 2027 is near: 2068 is not yet fifty years ahead.
    assert!(date("Monday, 06-Feb-68 08:49:37 GMT").is_some_and(|second| second > 0));
    let near = Timestamp::from_second(0).unwrap();
    let read = http_date(b"Monday, 06-Feb-68 08:49:37 GMT", near).unwrap();
    assert!(read.as_second() < 0);
}

#[test]
fn entity_tags_are_read_strictly_9110_8_8_3() {
    for (text, weak) in [
        ("\"a\"", Some(false)),
        (" \"a\" ", Some(false)),
        ("\"\"", Some(false)),
        ("W/\"a\"", Some(true)),
        ("\"\u{fc}\"", Some(false)),
        ("w/\"a\"", None),
        ("W/ \"a\"", None),
        ("a", None),
        ("\"a", None),
        ("\"a\"b", None),
        ("\"a b\"", None),
        ("\"a\u{7f}\"", None),
        ("\"a\", \"b\"", None),
        ("W/", None),
        ("\"", None),
        ("", None),
    ] {
        let tag = EntityTag::parse(text.as_bytes());
        assert_eq!(tag.map(EntityTag::is_weak), weak, "{text}");
    }
}

#[test]
fn comparison_is_strong_or_weak_9110_8_8_3_2() {
    for (one, other, strongly, weakly) in [
        ("W/\"1\"", "W/\"1\"", false, true),
        ("W/\"1\"", "W/\"2\"", false, false),
        ("W/\"1\"", "\"1\"", false, true),
        ("\"1\"", "\"1\"", true, true),
    ] {
        let one = EntityTag::parse(one.as_bytes()).unwrap();
        let other = EntityTag::parse(other.as_bytes()).unwrap();
        assert_eq!(one.matches_strongly(other), strongly);
        assert_eq!(one.matches_weakly(other), weakly);
    }
}
