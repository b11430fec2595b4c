use super::*;

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
