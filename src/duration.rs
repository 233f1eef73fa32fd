//! Durations for people: `4m12s`. Pure.

use std::time::Duration;

/// A duration in whole seconds, without spaces: `0s`, `4m12s`, `1day2h`.
pub fn compact(ms: u64) -> String {
    humantime::format_duration(Duration::from_secs(ms / 1000))
        .to_string()
        .replace(' ', "")
}
