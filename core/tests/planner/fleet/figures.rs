//! What came of a run, as docs/fleet.md shows it.

use std::collections::BTreeMap;

use serde::Serialize;

/// The figures of one run.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Figures {
    pub(super) practice: String,
    /// On how many hosts the bad version crashes.
    pub(super) crashes: String,
    pub(super) hosts: usize,
    pub(super) canaries: usize,
    /// Minutes from the first deployment of the bad version to the operator's stop.
    pub(super) stopped_after: Option<u64>,
    /// Hosts that got the bad version.
    pub(super) deployed: usize,
    /// Hosts whose latest was the bad version, at most at one time.
    pub(super) at_worst: usize,
    /// That times minutes.
    pub(super) bad_latest_minutes: usize,
    /// What the local services started in the outage.
    pub(super) fell_back: BTreeMap<String, usize>,
    /// What latest is at the end.
    pub(super) at_end: BTreeMap<String, usize>,
    /// Minutes without a service, from the bad version's first deployment on.
    pub(super) down_minutes: u64,
    pub(super) reclaimed_bytes: u64,
    /// What images take at the end.
    pub(super) left_bytes: u64,
    /// Hosts on which an image did not fit.
    pub(super) refused_pulls: usize,
    /// Hooks of one minute, at most.
    pub(super) hooks_at_most: u64,
    /// Hosts that at some time did not have their last proven image.
    pub(super) lost: usize,
    /// Minutes after the bad version's first deployment, and the hosts whose latest it is.
    pub(super) bad_latest: Vec<(u64, usize)>,
}
