use super::*;

fn that(fits: impl Fn(StatusCode) -> bool) -> Vec<u16> {
    let all = (100..1000).map(|code| StatusCode::from_u16(code).unwrap());
    all.filter(|code| fits(*code))
        .map(|code| code.as_u16())
        .collect()
}

#[test]
fn these_may_be_used_again_although_they_do_not_say_how_long_9110_15_1() {
    let expected = [200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501];
    assert_eq!(that(is_heuristically_cacheable), expected);
}

#[test]
fn a_rules_lifetime_is_for_what_was_asked_for() {
    assert_eq!(that(is_kept_by_ttl), [200, 203, 206, 300, 301, 308]);
}

#[test]
fn a_rules_time_for_errors_is_for_what_every_client_would_get() {
    let kept = that(is_kept_as_error);
    for code in [404, 405, 410, 414, 451, 500, 502, 503, 504, 520] {
        assert!(kept.contains(&code), "{code}");
    }
    for code in [
        200, 302, 400, 401, 403, 407, 408, 412, 416, 421, 425, 428, 429, 431, 511,
    ] {
        assert!(!kept.contains(&code), "{code}");
    }
}

#[test]
fn these_are_never_stored_6585_3_4_5_6() {
    let expected = [206, 304, 407, 412, 416, 428, 429, 431, 511];
    assert_eq!(that(is_never_stored), expected);
}

#[test]
fn a_status_without_known_rules_is_not_understood_9111_5_2_2_3() {
    let understood = that(is_understood);
    for code in [200, 204, 301, 308, 404, 410, 422, 451, 500, 504] {
        assert!(understood.contains(&code), "{code}");
    }
    for code in [207, 226, 299, 418, 420, 499, 599, 600, 999] {
        assert!(!understood.contains(&code), "{code}");
    }
}
