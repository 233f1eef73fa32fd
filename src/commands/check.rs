//! `check`: reads the policy and reports every error in it, and what is valid but probably a
//! mistake.
//!
//! Some of it only the host knows: whether a program is there, whether the engine has the
//! repositories. What cannot be looked at is said, and is no error.

use tagkeeper_core::model::Observation;

use super::{Clocks, CommandError, PASS_MS, connect, operators_file, print, terminal};
use crate::cli::{Format, Options};
use crate::confine;
use crate::deadline::Deadline;
use crate::engine::Engine;
use crate::exit::Exit;
use crate::policy_file::{self, CheckedPolicy, Refused};
use crate::report::{self, Preface};

pub(super) fn check(options: &Options, clocks: &Clocks) -> Result<Exit, CommandError> {
    let checked = match checked(options) {
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
    match observed(options, &checked, Deadline::after(clocks, PASS_MS)) {
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

fn checked(options: &Options) -> Result<CheckedPolicy, Refused> {
    match &options.policy {
        Some(file) => policy_file::check_file(file),
        None => policy_file::check(&policy_file::Roots::default()),
    }
}

/// What the engine shows; none if the policy has no workload, and there is nothing to ask it.
fn observed(
    options: &Options,
    checked: &CheckedPolicy,
    deadline: Deadline<'_>,
) -> anyhow::Result<Option<Observation>> {
    if checked.settings.policy.workloads.is_empty() {
        return Ok(None);
    }
    let lists = connect(options, &checked.settings.engine, deadline)
        .map_err(|failed| failed.error)?
        .observe(&[])?;
    Ok(Some(Observation {
        images: lists.images,
        containers: lists.containers,
        ..Observation::default()
    }))
}
