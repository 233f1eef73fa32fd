//! `check`: reads the policy and reports every error in it, and what is valid but probably a
//! mistake.
//!
//! Some of it only the host knows: whether a program is there, whether the engine has the
//! repositories. What cannot be looked at is said, and is no error.

use tagkeeper_core::model::Observation;

use super::{Clocks, CommandError, check_policy, lists, operators_file, print, terminal};
use crate::cli::{Format, Options};
use crate::confine;
use crate::exit::Exit;
use crate::policy_file::{self, CheckedPolicy};
use crate::report::{self, Preface};

pub(super) fn check(options: &Options, clocks: &Clocks) -> Result<Exit, CommandError> {
    let checked = match check_policy(options) {
        Ok(checked) => checked,
        Err(refused) => {
            if options.format == Format::Json {
                print(&report::json::refused(&refused))?;
            }
            return Err(CommandError::new(Exit::Refused, refused));
        }
    };
    let mut warnings = checked.warnings.clone();
    let roots = policy_file::Roots::default();
    let roots = options.policy.is_none().then_some(&roots);
    let service = policy_file::service();
    warnings.extend(policy_file::of_host(
        &checked,
        roots,
        &service,
        &policy_file::System,
    ));
    let mut remarks = Vec::new();
    match observed(options, &checked, clocks) {
        Ok(Some(observed)) => warnings.extend(policy_file::of_engine(&checked, &observed)),
        Ok(None) => {}
        Err(error) => remarks.push(report::unseen_engine(&error)),
    }
    if !confine::is_possible() {
        remarks.push(report::NO_LANDLOCK.to_owned());
    }
    let policy = &checked.settings.policy;
    match options.format {
        Format::Text => {
            let colors = terminal::errors_have_colors(options);
            report::log::log_policy_warnings(&warnings, colors);
            for remark in &remarks {
                report::log::log_warning(None, remark);
            }
            let preface = Preface::new(operators_file(options));
            print(&report::text::check(policy, &preface))?;
        }
        Format::Json => print(&report::json::check(policy, &warnings, &remarks))?,
    }
    Ok(Exit::Done)
}

/// What the engine shows; none if the policy has no workload, and there is nothing to ask it.
fn observed(
    options: &Options,
    checked: &CheckedPolicy,
    clocks: &Clocks,
) -> anyhow::Result<Option<Observation>> {
    if checked.settings.policy.workloads.is_empty() {
        return Ok(None);
    }
    let seen = lists(options, &checked.settings.engine, clocks);
    seen.map(Some).map_err(|failed| failed.error)
}
