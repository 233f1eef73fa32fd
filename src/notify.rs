//! What systemd is told while a pass runs: `STATUS=` and `EXTEND_TIMEOUT_USEC=`. Nothing where
//! nobody listens.
//!
//! A notification that cannot be delivered never stops a pass.

use sd_notify::NotifyState;

/// Added to a call's own deadline, in milliseconds: the pass has to say what happened after it.
const SLACK_MS: u64 = 10_000;

/// One line on how the pass found things; `systemctl status` shows it. Of a longer text the first
/// line counts: the next ones would be notifications of their own.
pub fn status(text: &str) {
    let line = text.lines().next().unwrap_or_default();
    let _ = sd_notify::notify(&[NotifyState::Status(line)]);
}

/// A call comes that may take as long as its deadline.
pub fn long_call(call_timeout_ms: u64) {
    let micros = call_timeout_ms
        .saturating_add(SLACK_MS)
        .saturating_mul(1000);
    let _ = sd_notify::notify(&[NotifyState::ExtendTimeoutUsec(
        u32::try_from(micros).unwrap_or(u32::MAX),
    )]);
}
