use super::*;

/// Endpoints by number, each with what its table says besides.
fn group(endpoints: &[(usize, &str)], text: &str) -> Arc<Upstream> {
    let all: Vec<String> = endpoints
        .iter()
        .map(|(n, more)| format!("{{ address = \"{}\"{more} }}", address(*n)))
        .collect();
    let text = format!("endpoints = [{}]\nhealth = \"tcp\"\n{text}", all.join(", "));
    Upstream::new("app", settings(&text))
}

fn share(upstream: &Arc<Upstream>, of: impl Fn(SocketAddr) -> bool) -> f64 {
    let hits = Worker::new().spread(upstream, 20_000);
    let own: u64 = hits.iter().filter(|(at, _)| of(**at)).map(|(_, n)| n).sum();
    own as f64 / 20_000.0
}

#[tokio::test(start_paused = true)]
async fn the_next_priority_takes_what_the_first_lacks_the_endpoints_for() {
    let second = ", priority = 1";
    let members: Vec<(usize, &str)> = (0..20)
        .map(|n| (n, if n < 10 { "" } else { second }))
        .collect();
    for balance in ["p2c", "maglev"] {
        let upstream = group(&members, &format!("balance = \"{balance}\""));
        let of_second = |at| addresses(10..20).contains(&at);
        // So many of the first ten are unwell, and so much goes to the second.
        for (unwell, expected) in [
            (0, 0.0),
            (3, 0.0),
            (5, 1.0 - 0.5 / 0.7),
            (8, 1.0 - 0.2 / 0.7),
            (10, 1.0),
        ] {
            (0..unwell).for_each(|n| upstream.probed(&key(n), false));
            let share = share(&upstream, of_second);
            assert!(
                (share - expected).abs() < 0.02,
                "{balance} {unwell}: {share}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn backups_come_in_when_the_others_are_gone_and_leave_when_they_are_back() {
    let upstream = group(&[(0, ""), (1, ""), (2, ", backup = true")], "");
    let worker = Worker::new();
    assert_eq!(worker.takers(&upstream), addresses([0, 1]));
    upstream.probed(&key(0), false);
    assert_eq!(worker.takers(&upstream), addresses([1]));
    upstream.probed(&key(1), false);
    assert_eq!(worker.takers(&upstream), addresses([2]));
    upstream.probed(&key(1), true);
    upstream.probed(&key(1), true);
    assert_eq!(worker.takers(&upstream), addresses([1]));
}

#[tokio::test(start_paused = true)]
async fn a_backup_takes_a_retry_that_all_others_had() {
    let upstream = group(&[(0, ""), (1, ", backup = true")], "");
    let worker = Worker::new();
    let ask = Ask {
        tried: &[key(0)],
        ..worker.ask()
    };
    let picked = upstream.pick(&ask).expect("the backup takes it");
    assert_eq!(picked.address(), address(1));
}

#[tokio::test(start_paused = true)]
async fn the_own_zone_is_preferred_as_far_as_it_has_the_endpoints() {
    let (a, b) = (", zone = \"a\"", ", zone = \"b\"");
    let members: Vec<(usize, &str)> = (0..20).map(|n| (n, if n < 10 { a } else { b })).collect();
    let upstream = group(&members, "zone = \"a\"");
    let of_own = |at| addresses(0..10).contains(&at);
    for (unwell, expected) in [(0, 1.0), (3, 1.0), (6, 0.4 / 0.7), (10, 0.0)] {
        (0..unwell).for_each(|n| upstream.probed(&key(n), false));
        let share = share(&upstream, of_own);
        assert!((share - expected).abs() < 0.02, "{unwell}: {share}");
    }
    (10..20).for_each(|n| upstream.probed(&key(n), false));
    (0..1).for_each(|n| (0..2).for_each(|_| upstream.probed(&key(n), true)));
    let share = share(&upstream, of_own);
    assert!((share - 0.5).abs() < 0.02, "all are used in panic: {share}");
}

#[tokio::test(start_paused = true)]
async fn an_operator_drains_disables_weighs_and_enables_at_run_time() {
    let upstream = group(&[(0, ""), (1, ""), (2, ", weight = 0")], "");
    let worker = Worker::new();
    assert_eq!(worker.takers(&upstream), addresses([0, 1]));
    assert_eq!(upstream.set_admin("10.0.0.0:80", Admin::Drained), 1);
    assert_eq!(worker.takers(&upstream), addresses([1]));
    assert_eq!(upstream.set_admin("10.0.0.9:80", Admin::Drained), 0);
    assert_eq!(upstream.set_weight("10.0.0.2:80", Some(3)), 1);
    let share = share(&upstream, |at| at == address(2));
    assert!((share - 0.75).abs() < 0.02, "{share}");
    assert_eq!(upstream.set_admin("10.0.0.0:80", Admin::Enabled), 1);
    assert_eq!(upstream.set_admin("10.0.0.1:80", Admin::Disabled), 1);
    assert_eq!(upstream.set_weight("10.0.0.2:80", None), 1);
    assert_eq!(worker.takers(&upstream), addresses([0]));
    upstream.set_admin("10.0.0.0:80", Admin::Disabled);
    assert_eq!(worker.pick(&upstream).err(), Some(Unavailable::Disabled));
    let admin: Vec<Admin> = upstream
        .status()
        .endpoints
        .iter()
        .map(|e| e.admin)
        .collect();
    assert_eq!(admin, [Admin::Disabled, Admin::Disabled, Admin::Enabled]);
}
