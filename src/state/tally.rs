//! What a workload has come to over its whole life here: counters that only grow, for people and for metrics. Plain data.

use serde::{Deserialize, Serialize};

/// Counted since the workload came into the state. No decision depends on it.
///
/// Promotions, failures, restarts and rollbacks are counted in the decision, and saved with it. Removals are known only
/// after the engine has confirmed them, and saved by the round that follows: each is counted at most once, and a pass that
/// is killed in between loses the count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tally {
    /// Upgrades that became latest and the head of the lineage.
    #[serde(skip_serializing_if = "is_zero")]
    pub promotions: u64,
    /// Pending upgrades that ended without a promotion.
    #[serde(skip_serializing_if = "is_zero")]
    pub failures: u64,
    /// New incarnations of images that were pending.
    #[serde(skip_serializing_if = "is_zero")]
    pub restarts: u64,
    /// Rollbacks by a person.
    #[serde(skip_serializing_if = "is_zero")]
    pub rollbacks: u64,
    /// Names of images, and nameless images, that were removed.
    #[serde(skip_serializing_if = "is_zero")]
    pub removals: u64,
    /// Sizes of the images that left the disk with those removals, in bytes: layers that they shared with others
    /// included, so an upper bound.
    #[serde(skip_serializing_if = "is_zero")]
    pub bytes_won_back: u64,
}

impl Tally {
    /// Whether nothing has been counted yet.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what another one has counted.
    pub fn add(&mut self, other: &Self) {
        let Self {
            promotions,
            failures,
            restarts,
            rollbacks,
            removals,
            bytes_won_back,
        } = other;
        for (sum, more) in [
            (&mut self.promotions, promotions),
            (&mut self.failures, failures),
            (&mut self.restarts, restarts),
            (&mut self.rollbacks, rollbacks),
            (&mut self.removals, removals),
            (&mut self.bytes_won_back, bytes_won_back),
        ] {
            *sum = sum.saturating_add(*more);
        }
    }
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde calls"
)]
fn is_zero(count: &u64) -> bool {
    *count == 0
}
