use super::CheckedPolicy;
use crate::policy_file::Diagnostic;
use tagkeeper_core::model::Observation;
/// x
pub fn of_engine(_checked: &CheckedPolicy, _observation: &Observation) -> Vec<Diagnostic> {
    Vec::new()
}
