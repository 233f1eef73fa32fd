//! What the JSON documents look like (design section 7): each struct is an object, each field a
//! key. Plain data.
//!
//! They mirror the interface and not the decision's types, so that the one can stay while the other
//! changes. The same for programs is in `docs/schema/`, and what the program prints is held against
//! that (`tests/faults/schema.rs`).

use std::collections::BTreeMap;

use serde::Serialize;

use tagkeeper_core::model::{ContainerId, ImageId};

/// `plan` and `status`.
#[derive(Debug, Serialize)]
pub(super) struct Document<'a> {
    /// [`SCHEMA`](super::SCHEMA).
    pub(super) schema: u32,
    /// What concerns all workloads, such as a state that could not be read; absent on all but a
    /// troubled host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) note: Option<String>,
    /// `status` only: when the last pass ended, and how; null if that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[allow(
        clippy::option_option,
        reason = "absent in `plan`, null where it is not known"
    )]
    pub(super) last_pass: Option<Option<LastPass<'a>>>,
    /// By name, one for each workload of the policy.
    pub(super) workloads: BTreeMap<&'a str, Workload<'a>>,
    /// `plan` only: what the next round does for workloads that the policy does not name (any
    /// more), by name: their pins are removed. Absent where there is nothing of the kind.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) departed: BTreeMap<&'a str, Vec<Action<'a>>>,
}

/// `last_pass`.
#[derive(Debug, Serialize)]
pub(super) struct LastPass<'a> {
    /// When it ended, RFC 3339.
    pub(super) ended_at: &'a str,
    /// How long ago that was, in seconds.
    pub(super) seconds_ago: u64,
    /// Its exit code.
    pub(super) exit_code: u8,
    /// What went wrong; null if nothing did.
    pub(super) error: Option<&'a str>,
}

/// One workload.
#[derive(Debug, Serialize)]
pub(super) struct Workload<'a> {
    /// What `repository:latest` names; null if nothing has that name.
    pub(super) latest: Option<Latest<'a>>,
    /// The proven version that `latest` should name; null while nothing is proven.
    pub(super) head: Option<Head<'a>>,
    /// The proven versions behind that, as far as they are on the disk, newest first.
    pub(super) fallbacks: Vec<Fallback<'a>>,
    /// The container that does the workload's work, of several the newest; null if there is none or
    /// it cannot be told (`note` says which).
    pub(super) serving: Option<Serving<'a>>,
    /// For people: why nothing serves, what was moved by hand, ...; null if there is nothing to
    /// say.
    pub(super) note: Option<String>,
    /// The upgrade that is soaking; null if there is none.
    pub(super) pending: Option<Pending<'a>>,
    /// The last upgrades that were not promoted, newest first, one entry for each image.
    pub(super) failures: Vec<Failure<'a>>,
    /// The image of the entry of `failures` that keeps failing, or failed and is there still; null
    /// if there is none.
    pub(super) failing: Option<&'a ImageId>,
    /// Removals that the engine refused, and when each is tried again.
    pub(super) refused: Vec<RefusedRemoval<'a>>,
    /// What rollbacks rejected, by image.
    pub(super) rejected: Vec<Rejected<'a>>,
    /// The images on the disk that `[reject]` of the policy rejects.
    pub(super) rejected_by_policy: Vec<RejectedByPolicy<'a>>,
    /// Since when the records of the workload go back, RFC 3339; null if there are none yet.
    pub(super) since: Option<&'a str>,
    /// Counters since then.
    pub(super) tally: Counters,
    /// Whether the workload is on hold: no changes are made.
    pub(super) hold: bool,
    /// Why it is on hold, as the operator wrote it in `[hold]`; null if no reason was given, or it
    /// is not.
    pub(super) hold_reason: Option<&'a str>,
    /// Every name on the disk that belongs to the workload, and every nameless image of it; sorted
    /// by name and image.
    pub(super) images: Vec<NameVerdict<'a>>,
    /// Sizes of the images that are removed by these verdicts, each once, in bytes: an upper bound,
    /// as `size_bytes` is.
    pub(super) reclaimable_bytes: u64,
    /// `plan` only.
    #[serde(flatten)]
    pub(super) rounds: Option<Rounds<'a>>,
}

/// What `plan` has over `status`.
#[derive(Debug, Serialize)]
pub(super) struct Rounds<'a> {
    /// `plan` only: what the next round does, in this order.
    pub(super) actions: Vec<Action<'a>>,
    /// `plan` only: on hold, what the next round would do without it; otherwise empty.
    pub(super) held_actions: Vec<Action<'a>>,
    /// `plan` only: what the later rounds of the pass do, round by round, if each action succeeds.
    pub(super) then: Vec<Vec<Action<'a>>>,
}

/// `latest`.
#[derive(Debug, Serialize)]
pub(super) struct Latest<'a> {
    /// The tag it has besides `latest`; where it has none, `sha256-` and twelve digits.
    pub(super) version: &'a str,
    /// The image id.
    pub(super) image: &'a ImageId,
    /// Whether it is the head: what was promoted last and not rolled back.
    pub(super) proven: bool,
    /// When it was promoted, RFC 3339; null if it was not. What is behind the head was, too.
    pub(super) promoted_at: Option<&'a str>,
}

/// `head`.
#[derive(Debug, Serialize)]
pub(super) struct Head<'a> {
    /// The version it was promoted as.
    pub(super) version: &'a str,
    /// The image id.
    pub(super) image: &'a ImageId,
}

/// An entry of `fallbacks`.
#[derive(Debug, Serialize)]
pub(super) struct Fallback<'a> {
    /// The version it was promoted as.
    pub(super) version: &'a str,
    /// The image id.
    pub(super) image: &'a ImageId,
    /// The container that keeps the image in use for the policy's `pin`; absent where there is
    /// none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pin: Option<&'a str>,
}

/// `serving`.
#[derive(Debug, Serialize)]
pub(super) struct Serving<'a> {
    /// The container's name.
    pub(super) container: &'a str,
    /// The container's id.
    pub(super) id: &'a ContainerId,
    /// Id of the image it runs.
    pub(super) image: &'a ImageId,
    /// The version of that image.
    pub(super) version: &'a str,
    /// Whether it is a local container.
    pub(super) local: bool,
    /// The names of all containers that serve: they run one image.
    pub(super) containers: Vec<&'a str>,
}

/// `pending`.
#[derive(Debug, Serialize)]
pub(super) struct Pending<'a> {
    /// The version that would become latest.
    pub(super) version: &'a str,
    /// The image that would.
    pub(super) image: &'a ImageId,
    /// Name of the container that serves it, of several the newest; null while none runs.
    pub(super) container: Option<&'a str>,
    /// Id of that container; null while none runs.
    pub(super) id: Option<&'a ContainerId>,
    /// How long it has soaked, in whole seconds of host uptime.
    pub(super) up_secs: u64,
    /// How long it must, in whole seconds.
    pub(super) soak_secs: u64,
    /// How often its soak began again.
    pub(super) restarts: u32,
    /// For people: what the soak waits for; null while it counts.
    pub(super) waits: Option<String>,
}

/// An entry of `failures`.
#[derive(Debug, Serialize)]
pub(super) struct Failure<'a> {
    /// The version that was not promoted.
    pub(super) version: &'a str,
    /// Its image id.
    pub(super) image: &'a ImageId,
    /// `failed`, `withdrawn` (stopped, removed or replaced before its soak was over) or
    /// `superseded` (replaced after its soak, on hold).
    pub(super) outcome: &'static str,
    /// Incarnations that did not last.
    pub(super) attempts: u32,
    /// How long the last one stayed up, in whole seconds.
    pub(super) up_secs: u64,
    /// For people: how the last one ended by itself; where none did, what took it away.
    pub(super) reason: String,
    /// When, RFC 3339.
    pub(super) at: &'a str,
}

/// An entry of `refused`.
#[derive(Debug, Serialize)]
pub(super) struct RefusedRemoval<'a> {
    /// What was to be removed: a reference, an image id or a container id.
    pub(super) target: &'a str,
    /// What the engine said.
    pub(super) reason: &'a str,
    /// In how many seconds of host uptime it is tried again.
    pub(super) retry_in_secs: u64,
}

/// An entry of `rejected`.
#[derive(Debug, Serialize)]
pub(super) struct Rejected<'a> {
    /// The version it had; `accept` goes by it.
    pub(super) version: &'a str,
    /// The image id; rejections are by it.
    pub(super) image: &'a ImageId,
    /// When, RFC 3339.
    pub(super) at: &'a str,
}

/// An entry of `rejected_by_policy`.
#[derive(Debug, Serialize)]
pub(super) struct RejectedByPolicy<'a> {
    /// The version it has.
    pub(super) version: &'a str,
    /// The image id.
    pub(super) image: &'a ImageId,
}

/// `tally`: counters that only grow while the workload is in the policy and its state is not lost.
#[derive(Debug, Serialize)]
pub(super) struct Counters {
    /// Upgrades that became latest.
    pub(super) promotions: u64,
    /// Upgrades that failed; those that were withdrawn or superseded do not count.
    pub(super) failures: u64,
    /// How often a soak began again.
    pub(super) restarts: u64,
    /// Rollbacks by a person.
    pub(super) rollbacks: u64,
    /// Names of images, and nameless images, that were removed.
    pub(super) removals: u64,
    /// Sizes of the images that left the disk with them, in bytes: an upper bound, as `size_bytes`
    /// is.
    pub(super) reclaimed_bytes: u64,
}

/// An entry of `images`.
#[derive(Debug, Serialize)]
pub(super) struct NameVerdict<'a> {
    /// The name, `repository:tag` or `repository@digest`; null for a nameless image.
    pub(super) reference: Option<String>,
    /// The image id.
    pub(super) image: &'a ImageId,
    /// Size on disk in bytes, layers that it shares with other images included.
    pub(super) size_bytes: u64,
    /// `keep`, `remove` or `retag`.
    pub(super) verdict: &'static str,
    /// The row of the verdict table: `latest`, `pending`, `fallback`, `in-use`, `twin`, `retired`,
    /// `inherited`, `grace` or `idle`; or `renamed` or `adopt`.
    pub(super) reason: &'static str,
    /// The reason in a sentence for people.
    pub(super) detail: String,
    /// Whether the workload is on hold, so that the verdict is not carried out.
    pub(super) held: bool,
}

/// An entry of `actions`.
#[derive(Debug, Serialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub(super) enum Action<'a> {
    /// Give a name to an image, moving it from another if need be.
    Tag {
        /// Id of the image that gets the name.
        image: &'a ImageId,
        /// The name.
        reference: String,
    },
    /// Create a container that is never started, so that it keeps a fallback's image in use (the
    /// policy's `pin`).
    CreateContainer {
        /// Its name.
        container: &'a str,
        /// Id of that image.
        image: &'a ImageId,
    },
    /// Remove the stale local container, or a pin that is no longer needed.
    RemoveContainer {
        /// Its name.
        container: &'a str,
        /// Its id.
        id: &'a ContainerId,
    },
    /// Remove one name of an image, or a nameless image.
    RemoveImage {
        /// The name; null to remove a nameless image by its id.
        reference: Option<String>,
        /// The image id.
        image: &'a ImageId,
    },
}

/// What a hook reads.
#[derive(Debug, Serialize)]
pub(super) struct HookEvent<'a> {
    /// [`SCHEMA`](super::SCHEMA).
    pub(super) schema: u32,
    /// The event's id: the same each time the hook is run for it.
    pub(super) id: &'a str,
    /// `promoted`, `failed` or `rolled-back`: the word in the journal's `EVENT=`.
    pub(super) event: &'static str,
    /// The workload.
    pub(super) workload: &'a str,
    /// The version that was promoted, that failed, or that is rejected now.
    pub(super) version: Option<&'a str>,
    /// Its image id.
    pub(super) image: Option<String>,
    /// `promoted`: the version that was latest before; null if nothing was replaced.
    pub(super) previous: Option<&'a str>,
    /// `rolled-back`: the version that latest goes back to; null if latest stayed where it was.
    pub(super) back_to: Option<&'a str>,
    /// The line of the log, without the workload's name.
    pub(super) message: String,
    /// When the pass observed it, RFC 3339.
    pub(super) at: &'a str,
    /// The clock that decisions use: host uptime added up over reboots, in whole seconds.
    pub(super) clock_secs: u64,
}

/// `check`.
#[derive(Debug, Serialize)]
pub(super) struct Check<'a> {
    /// [`SCHEMA`](super::SCHEMA).
    pub(super) schema: u32,
    /// Whether the policy is valid.
    pub(super) ok: bool,
    /// The names of its workloads; none of a refused one.
    pub(super) workloads: Vec<&'a str>,
    /// The errors, the first 50; none in a valid policy.
    pub(super) errors: Vec<Finding<'a>>,
    /// How many errors there are beyond those.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) more_errors: Option<usize>,
    /// What is valid but probably unintended.
    pub(super) warnings: Vec<Finding<'a>>,
}

/// An entry of `errors` or `warnings`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding<'a> {
    /// The file; null if it concerns none.
    pub(super) file: Option<&'a str>,
    /// The line, from 1; null if the error has no place in the file.
    pub(super) line: Option<usize>,
    /// The column in characters, from 1; null as `line`.
    pub(super) column: Option<usize>,
    /// The key, `workload.telemetry.soak`; null if it concerns none.
    pub(super) key: Option<&'a str>,
    /// What is wrong.
    pub(super) message: String,
    /// What to do about it; null if there is nothing to say.
    pub(super) help: Option<&'a str>,
}
