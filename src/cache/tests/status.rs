use super::*;

#[test]
fn a_member_says_what_the_cache_did_9211_2() {
    let forwarded = CacheStatus::forwarded;
    for (status, expected) in [
        (CacheStatus::hit(376), "egret; hit; ttl=376"),
        (CacheStatus::hit(-412), "egret; hit; ttl=-412"),
        (
            CacheStatus::hit(i64::MAX),
            "egret; hit; ttl=999999999999999",
        ),
        (
            CacheStatus {
                stored: true,
                ..forwarded(Fwd::UriMiss)
            },
            "egret; fwd=uri-miss; stored",
        ),
        (
            CacheStatus {
                fwd_status: Some(StatusCode::NOT_MODIFIED),
                ttl: Some(60),
                ..forwarded(Fwd::Stale)
            },
            "egret; fwd=stale; fwd-status=304; ttl=60",
        ),
        (
            CacheStatus {
                collapsed: true,
                ..forwarded(Fwd::Miss)
            },
            "egret; fwd=miss; collapsed",
        ),
    ] {
        assert_eq!(status.render("egret").unwrap(), expected);
    }
}

#[test]
fn a_member_tells_the_key_and_details_only_if_they_are_given_9211_2_7() {
    let forwarded = CacheStatus::forwarded;
    for (status, expected) in [
        (
            CacheStatus {
                key: Some("http://a/\"b\"\n".into()),
                ..CacheStatus::hit(1)
            },
            "egret; hit; ttl=1; key=\"http://a/\\\"b\\\"?\"",
        ),
        (
            CacheStatus {
                detail: Some("only-if-cached"),
                ..CacheStatus::default()
            },
            "egret; detail=only-if-cached",
        ),
        (
            CacheStatus {
                detail: Some("too large"),
                ..forwarded(Fwd::Bypass)
            },
            "egret; fwd=bypass; detail=\"too large\"",
        ),
        // One that says both was forwarded.
        (
            CacheStatus {
                hit: true,
                ..forwarded(Fwd::Request)
            },
            "egret; fwd=request",
        ),
    ] {
        assert_eq!(status.render("egret").unwrap(), expected);
    }
}

#[test]
fn a_name_is_a_token_or_a_string_9211_2() {
    for (name, expected) in [
        ("egret", "egret; hit; ttl=1"),
        ("a.example:80/x", "a.example:80/x; hit; ttl=1"),
        ("1st", "\"1st\"; hit; ttl=1"),
        ("my cache", "\"my cache\"; hit; ttl=1"),
        ("a\"b\\\r\n\u{fc}", "\"a\\\"b\\\\???\"; hit; ttl=1"),
        ("", "\"\"; hit; ttl=1"),
    ] {
        assert_eq!(CacheStatus::hit(1).render(name).unwrap(), expected);
    }
}

#[test]
fn the_member_follows_those_of_caches_closer_to_the_origin_9211_2() {
    let mut headers = HeaderMap::new();
    headers.append(CACHE_STATUS, HeaderValue::from_static("origin; hit"));
    CacheStatus::forwarded(Fwd::VaryMiss).append(&mut headers, "egret");
    let lines: Vec<_> = headers.get_all(CACHE_STATUS).iter().collect();
    assert_eq!(lines, ["origin; hit", "egret; fwd=vary-miss"]);
}

#[test]
fn a_word_for_the_record_tells_how_the_request_was_answered() {
    let confirmed = Some(StatusCode::NOT_MODIFIED);
    let forwarded = |fwd, fwd_status, collapsed| CacheStatus {
        fwd_status,
        collapsed,
        ..CacheStatus::forwarded(fwd)
    };
    for (status, word) in [
        (CacheStatus::hit(0), "hit"),
        (CacheStatus::hit(-1), "stale"),
        (CacheStatus::default(), "none"),
        (forwarded(Fwd::UriMiss, None, false), "miss"),
        (forwarded(Fwd::VaryMiss, confirmed, false), "miss"),
        (forwarded(Fwd::Miss, None, true), "collapsed"),
        (forwarded(Fwd::Stale, confirmed, false), "revalidated"),
        (forwarded(Fwd::Stale, None, false), "expired"),
        (forwarded(Fwd::Request, None, false), "refresh"),
        (forwarded(Fwd::Request, confirmed, false), "revalidated"),
        (forwarded(Fwd::Partial, None, false), "partial"),
        (forwarded(Fwd::Bypass, None, false), "bypass"),
        (forwarded(Fwd::Method, None, false), "bypass"),
    ] {
        assert_eq!(status.word(), word, "{status:?}");
    }
}
