//! Plain data in the words of docs/glossary.md. Nothing here decides.

mod clock;
mod event;
mod grammar;
mod history;
mod id;
mod image;
mod note;
mod observation;
mod pattern;
mod plan;
mod policy;
mod report;
mod state;

pub use clock::{Clock, Now, Reading};
pub use event::{Event, EventKind, SoakTrouble, Undelivered, WhyDropped};
pub(crate) use grammar::TAG_MAX_BYTES;
pub use history::{HISTORY_KEPT, ImageHistory, Removed, RemovedBy, Replaced, RetiredBy};
pub use id::{DIGITS as ID_DIGITS, Id};
pub use image::{
    ImageId, LATEST, NameError, Reference, Repository, SHORT_DIGITS, Version, begins_digest, is_hex,
};
pub use note::{Detail, Note};
pub use observation::{
    Container, ContainerId, ContainerState, Details, Disk, Health, Image, Observation, PinLabel,
    Readiness,
};
pub use pattern::{Pattern, PatternError};
pub use plan::{
    Action, ActionKind, Guard, HeldBy, Latest, Member, NameVerdict, PendingView, Plan, Reason,
    RefusedView, ServingView, TagPurpose, Verdict, Waits, WorkloadPlan,
};
pub(crate) use policy::DEFAULT_GRACE_MS;
pub use policy::{Hold, LocalFallback, Policy, Ready, Rejection, Workload, WorkloadName};
pub use report::{FirstSeen, ImageReport, KeptUntil, NameReport};
pub use state::{
    Counters, End, EndedBy, Failure, ImageRecord, ImageRecords, Incarnation, LineageEntry, Memory,
    Moment, NoFallback, Outcome, Pending, RefusedRemoval, Rejected, State, Stopped, WorkloadState,
    growing_wait_ms,
};
