//! `check`: reads the policy and reports every error in it, and what is legal but odd.
//!
//! Some of it only the host knows: whether a program is there, whether the engine has the repositories. What cannot be looked
//! at is said, and is no error.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{Clocks, PASS_MS, Stop, connect, policy_file, print, terminal};
use crate::cli::{Format, Options};
use crate::deadline::Deadline;
use crate::engine::Engine;
use crate::exit::Exit;
use crate::image::Repository;
use crate::policy::{self, Refused, Survey};
use crate::report::{self, Preface};

pub(super) fn check(options: &Options, clocks: &Clocks) -> Result<Exit, Stop> {
    let survey = match survey(options) {
        Ok(survey) => survey,
        Err(refused) => {
            if options.format == Format::Json {
                print(&report::json::refused(&refused))?;
            }
            return Err(Stop::new(Exit::Refused, refused));
        }
    };
    let mut warnings = survey.warnings.clone();
    warnings.extend(survey.of_programs(trouble_of_program));
    let unseen = match present(options, &survey, Deadline::after(clocks, PASS_MS)) {
        Ok(present) => {
            warnings.extend(present.map_or_else(Vec::new, |p| survey.of_repositories(&p)));
            None
        }
        Err(error) => Some(error),
    };
    let policy = &survey.policy;
    match options.format {
        Format::Text => {
            let colors = terminal::errors_have_colors(options);
            report::log::log_policy_warnings(&warnings, colors);
            if let Some(error) = &unseen {
                report::log::log_unseen_engine(error);
            }
            print(&report::text::check(
                policy,
                &Preface::new(policy_file(options)),
            ))?;
        }
        Format::Json => print(&report::json::check(policy, &warnings, unseen.as_ref()))?,
    }
    Ok(Exit::Done)
}

fn survey(options: &Options) -> Result<Survey, Refused> {
    match &options.policy {
        Some(file) => policy::survey_file(file),
        None => policy::survey_files(&policy::Roots::default()),
    }
}

/// The repositories that the engine has; none if the policy has no workload, and there is nothing to ask it.
fn present(
    options: &Options,
    survey: &Survey,
    deadline: Deadline<'_>,
) -> anyhow::Result<Option<BTreeSet<Repository>>> {
    if survey.policy.workloads.is_empty() {
        return Ok(None);
    }
    let world = connect(options, &survey.policy.engine, deadline)
        .map_err(|stop| stop.error)?
        .observe()?;
    let references = world.images.iter().flat_map(|image| &image.references);
    Ok(Some(references.map(|r| r.repository().clone()).collect()))
}

/// Why a program cannot be run, as far as that can be told without running it.
fn trouble_of_program(path: &Path) -> Option<String> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some("does not exist".to_owned()),
        Err(error) => Some(format!("cannot be looked at: {error}")),
        Ok(meta) if !meta.is_file() => Some("is no file".to_owned()),
        Ok(meta) if meta.permissions().mode() & 0o111 == 0 => Some("is not executable".to_owned()),
        Ok(_) => None,
    }
}
