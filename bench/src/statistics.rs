//! The numbers of a row: tenth percentile and median, which a noisy machine disturbs least.

use std::time::Duration;

use serde_json::{Value, json};

use crate::measure::Sample;

/// All starts of one subject, summed up.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Row {
    pub(crate) starts: u64,
    pub(crate) failures: u64,
    /// Milliseconds.
    pub(crate) wall_p10: f64,
    pub(crate) wall_median: f64,
    pub(crate) cpu_p10: f64,
    pub(crate) cpu_median: f64,
    /// KiB.
    pub(crate) peak: u64,
}

impl Row {
    pub(crate) fn of(samples: &[Sample]) -> Self {
        let column = |pick: fn(&Sample) -> Duration| -> Vec<f64> {
            let mut values: Vec<f64> =
                samples.iter().map(|sample| pick(sample).as_secs_f64() * 1e3).collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let (wall, cpu) = (column(|sample| sample.wall), column(|sample| sample.cpu));
        let count = |samples: usize| u64::try_from(samples).unwrap_or(u64::MAX);
        Self {
            starts: count(samples.len()),
            failures: count(samples.iter().filter(|sample| sample.code != 0).count()),
            wall_p10: percentile(&wall, 10),
            wall_median: percentile(&wall, 50),
            cpu_p10: percentile(&cpu, 10),
            cpu_median: percentile(&cpu, 50),
            peak: samples.iter().map(|sample| sample.peak).max().unwrap_or(0),
        }
    }

    pub(crate) fn to_json(self) -> Value {
        json!([
            self.starts,
            self.failures,
            self.wall_p10,
            self.wall_median,
            self.cpu_p10,
            self.cpu_median,
            self.peak
        ])
    }

    pub(crate) fn from_json(value: &Value) -> Self {
        let (count, time) = (
            |index: usize| value[index].as_u64().unwrap_or(0),
            |index: usize| value[index].as_f64().unwrap_or(0.0),
        );
        Self {
            starts: count(0),
            failures: count(1),
            wall_p10: time(2),
            wall_median: time(3),
            cpu_p10: time(4),
            cpu_median: time(5),
            peak: count(6),
        }
    }
}

/// The value below which `percent` per cent of the sorted values lie.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    sorted.get(sorted.len().saturating_sub(1) * percent / 100).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles() {
        let values: Vec<f64> = (0..101).map(f64::from).collect();
        for (percent, expected) in [(0, 0.0), (10, 10.0), (50, 50.0), (100, 100.0)] {
            assert!((percentile(&values, percent) - expected).abs() < f64::EPSILON);
        }
        assert!(percentile(&[], 50).abs() < f64::EPSILON);
    }
}
