//! The words that tagkeeper says, for people who look them up: reasons and events.
//!
//! Reasons are worded where the program words them (`report::words`). The events are explained
//! here; `tests/manual.rs` sees to it that the program says no other.

use tagkeeper::report::words;
use tagkeeper_core::model::Reason;

pub(crate) const REASONS: [Reason; 11] = Reason::ALL;

pub(crate) fn of_reason(reason: Reason) -> String {
    let said = words::reason(reason).1;
    let mut characters = said.chars();
    let first = characters
        .next()
        .map(|c| c.to_uppercase().to_string())
        .unwrap_or_default();
    format!("{first}{}.", characters.as_str())
}

/// The values of `EVENT=`, and what each means.
pub(crate) const EVENTS: [(&str, &str); 18] = [
    ("pending", "An upgrade began to soak."),
    ("restarted", "Its soak began again."),
    (
        "failed",
        "Its containers ended with a failure, or crash-loop.",
    ),
    (
        "withdrawn",
        "It was stopped, removed or replaced before it was proven.",
    ),
    (
        "superseded",
        "It was replaced after its soak, while the workload was on hold.",
    ),
    ("promoted", "An image became latest."),
    ("retagged", "A name other than latest was moved or given."),
    ("removed", "A name, an image or a container was removed."),
    ("pinned", "A container was created that pins a fallback."),
    (
        "restored",
        "The name latest was put back on the proven image.",
    ),
    ("deferred", "Something was left for a later pass."),
    ("refused", "The engine refused a removal."),
    ("rolled-back", "An operator rolled back."),
    ("held", "A hold began; nothing is changed while it lasts."),
    (
        "released",
        "The hold is over, or was taken out of the policy.",
    ),
    ("rejected", "A version that is rejected began to serve."),
    (
        "other-disk",
        "The engine shows a disk with none of the images on record.",
    ),
    (
        "disk-back",
        "Images on record are back on the disk, and so is what was known of them.",
    ),
];
