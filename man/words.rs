//! The words that tagkeeper says, for people who look them up: verdicts and events.
//!
//! The two matches are exhaustive: a new word does not compile before it is explained here.

use tagkeeper::decide::{EventKind, Reason};

pub(crate) const REASONS: [Reason; 12] = [
    Reason::Held,
    Reason::Latest,
    Reason::Pending,
    Reason::Adopt,
    Reason::Renamed,
    Reason::Fallback,
    Reason::Twin,
    Reason::InUse,
    Reason::Retired,
    Reason::Inherited,
    Reason::Grace,
    Reason::Idle,
];

pub(crate) fn of_reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Held => "The workload is on hold.",
        Reason::Latest => "It is latest, or names the same image.",
        Reason::Pending => "It is being soaked.",
        Reason::Adopt => {
            "A remote name of a fallback's version, on an image that never ran: the name moves to the fallback."
        }
        Reason::Renamed => {
            "The local name of a fallback that bears a remote name too: the name goes, the image stays."
        }
        Reason::Fallback => "It was proven here, and is what to go back to.",
        Reason::Twin => {
            "The same version as a wanted image, in an image of its own: a dry run needs it."
        }
        Reason::InUse => {
            "A container uses it, running or not. It is looked at again in the next pass."
        }
        Reason::Retired => "A promotion made it obsolete.",
        Reason::Inherited => {
            "It was there before tagkeeper, and no promotion has replaced anything since."
        }
        Reason::Grace => "Not proven, and idle for less than the grace period.",
        Reason::Idle => {
            "Not proven, and idle for the grace period, or for ten minutes on a disk under pressure."
        }
    }
}

pub(crate) const EVENTS: [EventKind; 10] = [
    EventKind::Pending,
    EventKind::Restarted,
    EventKind::Failed,
    EventKind::Promoted,
    EventKind::Retagged,
    EventKind::Removed,
    EventKind::Pinned,
    EventKind::Restored,
    EventKind::Deferred,
    EventKind::RolledBack,
];

pub(crate) fn of_event(event: EventKind) -> &'static str {
    match event {
        EventKind::Pending => "An upgrade began to soak.",
        EventKind::Restarted => "Its soak began again.",
        EventKind::Failed => "It ended without a promotion.",
        EventKind::Promoted => "An image became latest.",
        EventKind::Retagged => "A name other than latest was moved or given.",
        EventKind::Removed => "An image, a name or a container was removed.",
        EventKind::Pinned => "A container was made that holds a fallback.",
        EventKind::Restored => "The name latest was put back on the proven image.",
        EventKind::Deferred => "Something was left for a later pass.",
        EventKind::RolledBack => "A person rolled back.",
    }
}
