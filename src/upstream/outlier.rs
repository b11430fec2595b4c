//! Which endpoints fail much more often than the others do. Pure.

use super::settings::SuccessRate;

/// Of endpoints with so many requests and successes each: whose success rate is below the mean of all by more than the allowed
/// number of standard deviations, and by five per cent at least. Endpoints with too few requests are not looked at, and where too few are left, nobody is.
pub(super) fn outliers(intervals: &[(u32, u32)], settings: &SuccessRate) -> Vec<usize> {
    let rates: Vec<(usize, f64)> = intervals
        .iter()
        .enumerate()
        .filter(|(_, (requests, _))| *requests >= settings.volume.max(1))
        .map(|(at, (requests, passed))| (at, f64::from(*passed) / f64::from(*requests)))
        .collect();
    if rates.len() < settings.endpoints.max(2) as usize {
        return Vec::new();
    }
    let count = rates.len() as f64;
    let mean = rates.iter().map(|(_, rate)| rate).sum::<f64>() / count;
    let variance = rates
        .iter()
        .map(|(_, rate)| (rate - mean).powi(2))
        .sum::<f64>()
        / count;
    // Where all are well they differ by next to nothing, and somebody is always the last.
    let least = mean - (settings.deviations * variance.sqrt()).max(LEAST_GAP);
    rates
        .into_iter()
        .filter(|(_, rate)| *rate < least)
        .map(|(at, _)| at)
        .collect()
}

const LEAST_GAP: f64 = 0.05;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_fails_much_more_often_than_the_rest_stands_out() {
        let settings = SuccessRate {
            volume: 100,
            endpoints: 5,
            deviations: 1.9,
        };
        let well = [
            (1000, 999),
            (1000, 1000),
            (1000, 998),
            (500, 500),
            (200, 199),
        ];
        for (what, more, expected) in [
            ("all are well", vec![(1000, 999)], vec![]),
            ("one fails by half", vec![(1000, 500)], vec![5]),
            ("one fails, of whom little is known", vec![(99, 0)], vec![]),
        ] {
            let intervals: Vec<_> = well.iter().copied().chain(more).collect();
            assert_eq!(outliers(&intervals, &settings), expected, "{what}");
        }
        assert_eq!(
            outliers(&[(1000, 1000), (1000, 0)], &settings),
            Vec::<usize>::new()
        );
        assert_eq!(outliers(&[(1000, 0); 8], &settings), Vec::<usize>::new());
    }
}
