use super::*;

#[tokio::test(start_paused = true)]
async fn an_endpoint_falls_and_rises_by_its_probes() {
    let text = "health = { tcp = true, rise = 2, fall = 3 }";
    let upstream = upstream(3, text);
    let worker = Worker::new();
    let (well, unwell) = (addresses([0, 1, 2]), addresses([0, 2]));
    upstream.probed(&key(1), true);
    for (passed, takers) in [
        (false, &well),
        (false, &well),
        (true, &well),
        (false, &well),
        (false, &well),
        (false, &unwell),
        (true, &unwell),
        (false, &unwell),
        (true, &unwell),
        (true, &well),
    ] {
        upstream.probed(&key(1), passed);
        assert_eq!(worker.takers(&upstream), *takers);
    }
    let told: Vec<News> = [Change::Down, Change::Up]
        .map(|change| News::Endpoint(key(1), change))
        .into();
    assert_eq!(upstream.take_news(), told);
    assert_eq!(upstream.take_news(), []);
    upstream.probed(&key(9), false);
    assert_eq!(worker.takers(&upstream), well);
}

#[tokio::test(start_paused = true)]
async fn the_first_probe_decides_alone() {
    let upstream = upstream(2, "health = \"tcp\"");
    upstream.probed(&key(0), false);
    assert_eq!(Worker::new().takers(&upstream), addresses([1]));
    assert_eq!(upstream.status().endpoints[0].health, "down");
    assert_eq!(upstream.status().endpoints[1].health, "unknown");
}

const OUTLIER: &str = "outlier = { failures = 3, base = \"10s\", longest = \"25s\", interval = \"5s\", share = \"50%\" }";

#[tokio::test(start_paused = true)]
async fn failures_in_a_row_eject_for_growing_times() {
    let upstream = upstream(4, OUTLIER);
    let worker = Worker::new();
    for seconds in [10, 20, 25, 25] {
        worker.fail(&upstream, 2, 3);
        assert_eq!(worker.takers(&upstream), addresses([0, 1, 3]), "{seconds}");
        let long = Duration::from_secs(seconds);
        let told = News::Endpoint(key(2), Change::Ejected(long));
        assert_eq!(upstream.take_news(), [told]);
        advance(long - Duration::from_millis(1)).await;
        assert_eq!(worker.takers(&upstream), addresses([0, 1, 3]), "{seconds}");
        advance(Duration::from_millis(1)).await;
        assert_eq!(
            worker.takers(&upstream),
            addresses([0, 1, 2, 3]),
            "{seconds}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_ejection_is_forgiven_after_good_times() {
    let upstream = upstream(4, OUTLIER);
    let worker = Worker::new();
    worker.fail(&upstream, 2, 3);
    advance(Duration::from_secs(10)).await;
    worker.fail(&upstream, 2, 3);
    advance(Duration::from_secs(20)).await;
    for _ in 0..4 {
        advance(Duration::from_secs(6)).await;
        let picked = worker.pick(&upstream).expect("somebody takes it");
        picked.succeeded(Duration::from_millis(1), Some(200));
    }
    upstream.take_news();
    worker.fail(&upstream, 2, 3);
    let told = News::Endpoint(key(2), Change::Ejected(Duration::from_secs(10)));
    assert_eq!(upstream.take_news(), [told], "as if for the first time");
}

#[tokio::test(start_paused = true)]
async fn a_success_between_failures_keeps_an_endpoint_in() {
    let upstream = upstream(2, OUTLIER);
    let worker = Worker::new();
    for _ in 0..20 {
        worker.fail(&upstream, 0, 2);
        loop {
            let picked = worker.pick(&upstream).expect("somebody takes it");
            picked.succeeded(Duration::from_millis(1), Some(200));
            if picked.address() == address(0) {
                break;
            }
        }
    }
    assert_eq!(upstream.take_news(), []);
}

#[tokio::test(start_paused = true)]
async fn the_statuses_of_the_settings_are_failures_and_others_are_not() {
    for (status, ejects) in [
        (200, false),
        (404, false),
        (500, false),
        (502, true),
        (503, true),
        (504, true),
    ] {
        let upstream = upstream(2, OUTLIER);
        let worker = Worker::new();
        for _ in 0..100 {
            let picked = worker.pick(&upstream).expect("somebody takes it");
            let bad = picked.address() == address(0);
            picked.succeeded(
                Duration::from_millis(1),
                Some(if bad { status } else { 200 }),
            );
        }
        assert_eq!(!upstream.take_news().is_empty(), ejects, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn at_most_a_share_is_ejected_and_never_the_only_one() {
    for (count, most) in [(1, 0), (2, 1), (4, 2), (10, 5)] {
        let upstream = upstream(count, OUTLIER);
        let worker = Worker::new();
        for _ in 0..1000 {
            worker.pick(&upstream).expect("somebody takes it").failed();
        }
        let ejected = upstream
            .status()
            .endpoints
            .iter()
            .filter(|e| e.ejected.is_some())
            .count();
        assert_eq!(ejected, most, "of {count}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_fails_more_often_than_the_others_is_ejected_by_rate() {
    let text = "outlier = { failures = false, success-rate = { volume = 50 }, interval = \"5s\" }";
    let upstream = upstream(8, text);
    let worker = Worker::new();
    for round in 0..3 {
        for n in 0..2000 {
            let picked = worker.pick(&upstream).expect("somebody takes it");
            // Every other request of one endpoint fails.
            match picked.address() == address(5) && n % 2 == 0 {
                true => picked.failed(),
                false => picked.succeeded(Duration::from_millis(1), None),
            }
        }
        if round == 0 {
            assert_eq!(upstream.take_news(), [], "the interval is not over");
        }
        advance(Duration::from_secs(5)).await;
    }
    let told = News::Endpoint(key(5), Change::Ejected(Duration::from_secs(10)));
    assert_eq!(upstream.take_news(), [told]);
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_starts_slowly() {
    for balance in ["p2c", "round-robin", "random", "maglev"] {
        let text = format!("health = \"tcp\"\nslow-start = \"100s\"\nbalance = \"{balance}\"");
        let upstream = upstream(4, &text);
        let worker = Worker::new();
        upstream.probed(&key(1), false);
        upstream.probed(&key(1), true);
        upstream.probed(&key(1), true);
        let mut before = 0.0;
        for (at, share) in [(0, 0.1), (25, 0.325), (50, 0.55), (75, 0.775), (100, 1.0)] {
            let hits = worker.spread(&upstream, 40_000);
            let own = hits.get(&address(1)).copied().unwrap_or(0) as f64 / 40_000.0;
            // What it does not take goes to the other three.
            let expected = match balance {
                "maglev" => share / 4.0,
                _ => share / (3.0 + share),
            };
            assert!(
                (own - expected).abs() < 0.03,
                "{balance} after {at} s: {own}, not {expected}"
            );
            assert!(own > before, "{balance} after {at} s");
            before = own;
            advance(Duration::from_secs(25)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn too_few_that_are_well_make_all_be_used_and_that_is_told_once_a_minute() {
    let upstream = upstream(10, "health = \"tcp\"\npanic = \"25%\"");
    let worker = Worker::new();
    (0..7).for_each(|n| upstream.probed(&key(n), false));
    assert_eq!(worker.takers(&upstream), addresses([7, 8, 9]));
    upstream.take_news();
    upstream.probed(&key(7), false);
    assert_eq!(worker.takers(&upstream), addresses(0..10));
    assert!(upstream.status().panic);
    let panic = News::Panic(Panic { usable: 2, of: 10 });
    assert!(upstream.take_news().contains(&panic));
    for (seconds, told) in [(30, false), (31, true)] {
        advance(Duration::from_secs(seconds)).await;
        (0..3).for_each(|_| upstream.probed(&key(8), false));
        (0..2).for_each(|_| upstream.probed(&key(8), true));
        let news = upstream.take_news();
        let panics = news.iter().any(|news| matches!(news, News::Panic(_)));
        assert_eq!(panics, told, "after {seconds} s more: {news:?}");
    }
    (0..7).for_each(|n| (0..2).for_each(|_| upstream.probed(&key(n), true)));
    assert_eq!(worker.takers(&upstream), addresses((0..7).chain([8, 9])));
}

#[tokio::test(start_paused = true)]
async fn without_panic_nobody_who_is_unwell_is_used() {
    let upstream = upstream(2, "health = \"tcp\"\npanic = false");
    (0..2).for_each(|n| upstream.probed(&key(n), false));
    assert_eq!(
        Worker::new().pick(&upstream).err(),
        Some(Unavailable::Unhealthy)
    );
}

#[tokio::test(start_paused = true)]
async fn all_who_are_unwell_are_used_rather_than_nobody() {
    let upstream = upstream(2, "health = \"tcp\"");
    (0..2).for_each(|n| upstream.probed(&key(n), false));
    assert_eq!(Worker::new().takers(&upstream), addresses([0, 1]));
}
