//! The time now, as docker writes it.

use std::fmt::Write as _;

/// The time now as RFC 3339 in UTC, with nanoseconds.
#[must_use]
pub fn now() -> String {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    let (days, seconds) = (time.tv_sec.div_euclid(86_400), time.tv_sec.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let mut text = String::with_capacity(32);
    // Writing to a String cannot fail.
    let _written =
        write!(text, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:09}Z", time.tv_nsec);
    text
}

/// Days after 1970-01-01 to year, month, day of the Gregorian calendar.
fn civil(days: i64) -> (i64, i64, i64) {
    // Years that start in March put the leap day at their end; 400 of them are 146,097 days.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (year + era * 400 + carry, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(20_779), (2026, 11, 22));
        assert!(now().ends_with('Z') && now().len() == 30);
    }
}
