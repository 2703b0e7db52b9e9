//! Sizes as docker prints them.

const DECIMAL: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
const BINARY: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// Bytes with three digits and a decimal unit: `4.27MB`, as in `images` and `ps -s`.
pub(crate) fn size(bytes: u64) -> String {
    scaled(bytes, 1000, 3, &DECIMAL)
}

/// Bytes with four digits and a binary unit: `1.952GiB`, as for memory in `stats`.
pub(crate) fn binary_size(bytes: u64) -> String {
    scaled(bytes, 1024, 4, &BINARY)
}

/// `%.<digits>g` and a unit, without floating point.
fn scaled(bytes: u64, base: u128, digits: u32, units: &[&str; 7]) -> String {
    let (mut unit, mut divisor) = (0, 1_u128);
    let bytes = u128::from(bytes);
    while bytes >= divisor * base && unit + 1 < units.len() {
        divisor *= base;
        unit += 1;
    }
    let whole_digits = (bytes / divisor).checked_ilog10().unwrap_or(0) + 1;
    let decimals = digits.saturating_sub(whole_digits);
    let step = 10_u128.pow(decimals);
    let value = (bytes * step + divisor / 2) / divisor;
    let (whole, fraction) = (value / step, value % step);
    if fraction == 0 {
        return format!("{whole}{}", units[unit]);
    }
    let text = format!("{fraction:0width$}", width = decimals as usize);
    format!("{whole}.{}{}", text.trim_end_matches('0'), units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (bytes, three, binary) in [
            (0, "0B", "0B"),
            (999, "999B", "999B"),
            (1000, "1kB", "1000B"),
            (4_271_000, "4.27MB", "4.073MiB"),
            (42_700_000, "42.7MB", "40.72MiB"),
            (427_000_000, "427MB", "407.2MiB"),
            (1_500_000_000, "1.5GB", "1.397GiB"),
            (1 << 30, "1.07GB", "1GiB"),
            (u64::MAX, "18.4EB", "16EiB"),
        ] {
            assert_eq!((&*size(bytes), &*binary_size(bytes)), (three, binary));
        }
    }
}
