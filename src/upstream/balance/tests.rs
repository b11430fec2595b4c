use super::*;

#[test]
fn who_chooses_among_equals_stays_in_bounds_and_those_that_spread_reach_all() {
    for entry in table::BALANCERS {
        let equals = Equals::new(entry);
        let mut hits = [0u32; 4];
        for _ in 0..4000 {
            hits[equals.pick(4)] += 1;
        }
        assert_eq!(equals.pick(1), 0, "{}", entry.name);
        match (entry.name, entry.by) {
            ("first", _) => assert_eq!(hits, [4000, 0, 0, 0]),
            ("round-robin", _) => assert_eq!(hits, [1000; 4]),
            // There is no table of places that nobody named.
            (_, By::Key) => assert_eq!(hits, [4000, 0, 0, 0]),
            (name, _) => assert!(
                hits.iter().all(|hits| (800..1200).contains(hits)),
                "{name}: {hits:?}"
            ),
        }
    }
}

#[test]
fn a_round_robin_by_weight_gives_the_heaviest_no_long_runs() {
    let seats = [(1, 5), (2, 1), (3, 1)].map(|(id, weight)| Weighted { id, weight });
    let balancer = (round_robin::ENTRY.build)(Shape::Of(&seats));
    let dice = Dice::seeded(0);
    let field = Equal {
        count: 3,
        dice: &dice,
    };
    let picks: Vec<usize> = (0..7000).filter_map(|_| balancer.pick(&field)).collect();
    let longest = picks.chunk_by(|a, b| a == b).map(<[usize]>::len).max();
    assert!(longest <= Some(4), "{longest:?}");
    for (place, expected) in [(0, 5000_i32), (1, 1000), (2, 1000)] {
        let hits = picks.iter().filter(|picked| **picked == place).count() as i32;
        assert!((hits - expected).abs() <= 5, "{place}: {hits}");
    }
}
