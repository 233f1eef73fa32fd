//! Durations for people: `4m12s`, `6 min`. Pure.

use std::time::Duration;

/// A duration in whole seconds, without spaces: `0s`, `4m12s`, `1day2h`.
pub fn compact(ms: u64) -> String {
    humantime::format_duration(Duration::from_secs(ms / 1000))
        .to_string()
        .replace(' ', "")
}

/// A duration in one unit, as people say it: `12 s`, `6 min`, `3 h`, `2 days`.
pub(crate) fn span(secs: u64) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    match secs {
        ..MINUTE => format!("{secs} s"),
        MINUTE..HOUR => format!("{} min", secs / MINUTE),
        HOUR..=172_799 => format!("{} h", secs / HOUR),
        _ => format!("{} days", secs / DAY),
    }
}

/// What is left of a duration in milliseconds: rounded up, so that it says nothing is left only
/// once nothing is.
pub(crate) fn left(ms: u64) -> String {
    let secs = ms.div_ceil(1000);
    if secs < 60 {
        return format!("{secs} s");
    }
    let unit_secs = match secs {
        ..=3_600 => 60,
        3_601..=172_800 => 3_600,
        _ => 86_400,
    };
    span(secs.div_ceil(unit_secs) * unit_secs)
}

/// How long before `now` a time was, both RFC 3339; none where one cannot be read, or it was not
/// before.
pub(crate) fn ago(at: &str, now: &str) -> Option<String> {
    let read = |text| chrono::DateTime::parse_from_rfc3339(text).ok();
    let passed = read(now)?.signed_duration_since(read(at)?);
    let secs = u64::try_from(passed.num_seconds()).ok()?;
    Some(span(secs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        for (secs, said) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3_599, "59 min"),
            (3_600, "1 h"),
            (172_799, "47 h"),
            (172_800, "2 days"),
            (40 * 86_400, "40 days"),
        ] {
            assert_eq!(span(secs), said);
        }
        for (ms, said) in [
            (1, "1 s"),
            (59_000, "59 s"),
            (60_001, "2 min"),
            (3_600_000, "1 h"),
            (7_140_000, "2 h"),
            (172_800_001, "3 days"),
            (360_000, "6 min"),
        ] {
            assert_eq!(left(ms), said);
        }
    }

    #[test]
    fn a_time_that_cannot_be_read_or_lies_ahead_is_not_ago() {
        let now = "2026-11-28T12:00:00Z";
        for (at, said) in [
            ("2026-11-28T11:59:48Z", Some("12 s")),
            ("2026-11-28T13:59:48+02:00", Some("12 s")),
            ("2026-11-26T11:00:00Z", Some("2 days")),
            ("2026-11-28T12:00:01Z", None),
            ("yesterday", None),
        ] {
            assert_eq!(ago(at, now).as_deref(), said, "{at}");
        }
    }
}
