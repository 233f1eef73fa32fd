//! `explain`: the history of one image. Looks, prints, and moves nothing.

use std::collections::BTreeSet;

use anyhow::anyhow;

use tagkeeper_core::Gather;
use tagkeeper_core::model::{
    ImageId, ImageReport, LATEST, Reference, WorkloadName, begins_digest, is_hex,
};

use super::show::{Screen, View, look};
use super::{Clocks, CommandError, print, terminal};
use crate::cli::{Format, Options};
use crate::exit::Exit;
use crate::report;

/// Fewest digits that are taken for the beginning of an id.
const ID_DIGITS_MIN: usize = 4;
/// Candidates that are named to somebody who mistyped, or was not clear.
const NAMED_MAX: usize = 5;

pub(super) fn explain(
    options: &Options,
    clocks: &Clocks,
    (workload, asked): (Option<WorkloadName>, &str),
) -> Result<Exit, CommandError> {
    let subject = Screen::new(View::Status, workload.as_ref(), true);
    let looked = look(options, clocks, &subject)?;
    looked.log_corrupt();
    let mut reports = looked.image_reports();
    if let Some(workload) = &workload {
        reports.retain(|report| report.workload == *workload);
    }
    let found = find(&reports, asked).map_err(|why| CommandError::failed(anyhow!(why)))?;
    let shown = match options.format {
        Format::Json => report::json::explain(&found),
        Format::Text => {
            let page = terminal::page(options, &std::io::stdout());
            report::text::explain(&found, looked.preface(), page)
        }
    };
    print(&shown)?;
    Ok(looked.exit())
}

/// The reports of the one image that a person means: by a name of it, its version, or the beginning
/// of its id. The same image can be that of several workloads.
///
/// # Errors
/// Nothing is meant, or several images are: what to type instead, for people.
fn find<'s>(reports: &'s [ImageReport], asked: &str) -> Result<Vec<&'s ImageReport>, String> {
    let asked = asked.trim();
    let name = Reference::parse(asked).ok();
    let has_name = |report: &&ImageReport| {
        let mut names = names_of(report);
        names.any(|known| name.as_ref() == Some(known) || is_shortened(asked, &known.to_string()))
    };
    let once_had = |report: &&ImageReport| {
        let mut names = report.past_names.iter();
        names.any(|known| {
            known == asked
                || is_shortened(asked, known)
                || (name.is_some() && Reference::parse(known).ok() == name)
        })
    };
    // A name that was not written down, of an image that is gone: its version says which, among the
    // workloads that have the repository.
    let had_version = |report: &&ImageReport| {
        let tag = name.as_ref().and_then(Reference::version_tag);
        asked.contains(':')
            && report.names.is_empty()
            && report.past_names.is_empty()
            && tag == Some(report.version.as_str())
            && name
                .as_ref()
                .is_some_and(|name| has_repository(reports, report, name))
    };
    let is_version =
        |report: &&ImageReport| report.version.as_str() == asked || has_tag(report, asked);
    let begins =
        |report: &&ImageReport| begins_digest(asked, &report.image.to_string(), ID_DIGITS_MIN);
    let ways: [&dyn Fn(&&ImageReport) -> bool; 5] =
        [&has_name, &once_had, &is_version, &begins, &had_version];
    for way in ways {
        let found: Vec<&ImageReport> = reports.iter().filter(|report| way(report)).collect();
        let images: BTreeSet<&ImageId> = found.iter().map(|report| &report.image).gather();
        match images.len() {
            0 => {}
            1 => return Ok(found),
            _ => return Err(ambiguous(&found, asked)),
        }
    }
    Err(unknown(reports, asked))
}

fn names_of(report: &ImageReport) -> impl Iterator<Item = &Reference> {
    let names = report.names.iter();
    names.filter_map(|name| name.reference.as_ref())
}

/// Whether what was asked is a name as a screen shortens it: `app@sha256:0123456789ab..`.
fn is_shortened(asked: &str, name: &str) -> bool {
    let start = asked.strip_suffix("..");
    start.is_some_and(|start| start.contains("@sha256:") && name.starts_with(start))
}

/// Whether an image of the same workload has, or had, a name in the repository.
fn has_repository(reports: &[ImageReport], report: &ImageReport, name: &Reference) -> bool {
    let of_workload = reports
        .iter()
        .filter(|other| other.workload == report.workload);
    let mut known = of_workload.flat_map(names_of);
    known.any(|known| known.repository() == name.repository())
}

/// Whether one of the image's names has this tag. All that is `latest` is not of one version.
fn has_tag(report: &ImageReport, tag: &str) -> bool {
    let mut names = names_of(report);
    tag != LATEST && names.any(|name| name.tag() == Some(tag))
}

fn ambiguous(found: &[&ImageReport], asked: &str) -> String {
    let candidates: Vec<String> = found
        .iter()
        .take(NAMED_MAX)
        .map(|report| {
            let name = names_of(report).next();
            let nameless = match report.size_bytes {
                Some(_) => "no name",
                None => "not on the disk",
            };
            let named = name.map_or_else(|| nameless.to_owned(), ToString::to_string);
            format!("{} of {} ({named})", report.image.short(), report.workload)
        })
        .collect();
    format!(
        "'{asked}' is more than one image; say which by its name or id: {}",
        candidates.join(", ")
    )
}

fn unknown(reports: &[ImageReport], asked: &str) -> String {
    let mut known: BTreeSet<String> = BTreeSet::new();
    for report in reports {
        known.insert(report.version.to_string());
        known.insert(report.image.short());
        known.extend(names_of(report).map(ToString::to_string));
        known.extend(report.past_names.iter().cloned());
    }
    let mut near: Vec<(usize, &str)> = known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(known, asked), known.as_str()))
        // What has nothing in common with it is not what was meant.
        .filter(|(distance, known)| *distance <= 2 && *distance < known.len().max(asked.len()))
        .collect();
    near.sort_unstable();
    let digits = asked.strip_prefix("sha256:").unwrap_or(asked);
    let is_short_id = (1..ID_DIGITS_MIN).contains(&digits.len()) && is_hex(digits);
    let enough = format!("id needs {ID_DIGITS_MIN} digits or more");
    let hint = match near.first() {
        Some((_, near)) if is_short_id => format!("did you mean '{near}'? An {enough}"),
        Some((_, near)) => format!("did you mean '{near}'?"),
        None if is_short_id => format!("an {enough}"),
        None => "`tagkeeper status --all` lists the images of the workloads".to_owned(),
    };
    format!("nothing is known of an image '{asked}': {hint}")
}
