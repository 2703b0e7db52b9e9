//! From the runtime specification's numbers, which are cgroup v1's, to cgroup v2's.

use crate::{Error, Result};

/// Converts CPU shares (2 to 262144, default 1024) to a weight (1 to 10000, default 100).
///
/// The curve through both ends and both defaults that runc (1.3.2), crun (1.23) and systemd's users agree
/// on: `10^((log2(s)^2 + 125 log2(s)) / 612 - 7/34)`. The linear one of older runtimes gave 39 for the
/// default 1024, so a container weighed less than any process beside it.
pub(crate) fn cpu_weight(shares: u64) -> u64 {
    /// Ends of v1's range.
    const LEAST: u64 = 2;
    const MOST: u64 = 262_144;
    match shares {
        0..=LEAST => 1,
        MOST.. => 10_000,
        _ => {
            #[expect(clippy::cast_precision_loss, reason = "at most 2^18")]
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between 1 and 10000"
            )]
            let weight = 10_f64.powf(exponent).ceil() as u64;
            weight.clamp(1, 10_000)
        }
    }
}

/// Converts a block I/O weight (10 to 1000) to `io.weight`'s range (1 to 10000), linearly as runc and crun do.
pub(crate) fn io_weight(weight: u16) -> u32 {
    1 + (u32::from(weight).clamp(10, 1000) - 10) * 9999 / 990
}

/// Returns what goes into `memory.swap.max`: v1's limit is of memory and swap together.
///
/// `None` leaves it alone. Zero means unset, as Docker and containerd send it.
pub(crate) fn swap(swap: Option<i64>, limit: Option<i64>) -> Result<Option<String>> {
    let bad = |value: i64, reason| Error::BadValue { field: "memory.swap", value: value.to_string(), reason };
    match (swap.unwrap_or(0), limit.unwrap_or(0)) {
        // Unlimited memory with the old swap limit would be no limit on nothing.
        (0, -1) | (-1, _) => Ok(Some("max".to_owned())),
        (0, _) => Ok(None),
        (value, _) if value < -1 => Err(bad(value, "is negative and not -1")),
        (value, 0 | -1) => Err(bad(value, "counts memory and swap together, so it needs `memory.limit` too")),
        (value, limit) if value < limit => Err(bad(value, "is below `memory.limit`, which is part of it")),
        (value, limit) => Ok(Some((value - limit).to_string())),
    }
}

/// Returns the kernel's word for a limit: `max` for -1.
pub(crate) fn limit(value: i64) -> String {
    if value < 0 { "max".to_owned() } else { value.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_become_weights() {
        for (shares, weight) in [
            (0, 1),
            (2, 1),
            (3, 2),
            (20, 6),
            (512, 59),
            (1024, 100),
            (2048, 174),
            (262_144, 10_000),
            (u64::MAX, 10_000),
        ] {
            assert_eq!(cpu_weight(shares), weight, "{shares}");
        }
        assert!((2..300_000).zip(3..).all(|(low, high)| cpu_weight(low) <= cpu_weight(high)));
    }

    #[test]
    fn io_weights_fill_the_range() {
        for (weight, expected) in [(10, 1), (500, 4950), (1000, 10_000), (0, 1), (u16::MAX, 10_000)] {
            assert_eq!(io_weight(weight), expected, "{weight}");
        }
    }

    #[test]
    fn swap_is_without_memory() {
        for (swap_limit, memory, expected) in [
            (None, None, None),
            (None, Some(100), None),
            (Some(0), Some(100), None),
            (None, Some(-1), Some("max")),
            (Some(-1), Some(100), Some("max")),
            (Some(-1), None, Some("max")),
            (Some(100), Some(100), Some("0")),
            (Some(250), Some(100), Some("150")),
        ] {
            assert_eq!(swap(swap_limit, memory).unwrap().as_deref(), expected, "{swap_limit:?} {memory:?}");
        }
        for (swap_limit, memory) in
            [(Some(50), Some(100)), (Some(50), None), (Some(50), Some(-1)), (Some(-2), None)]
        {
            assert!(swap(swap_limit, memory).is_err(), "{swap_limit:?} {memory:?}");
        }
    }
}
