//! `explain`: the whole story of one image. Looks, prints, and moves nothing.

use std::collections::BTreeSet;

use anyhow::anyhow;

use super::show::{Subject, View, look};
use super::{Clocks, Stop, print, terminal};
use crate::cli::{Format, Options};
use crate::decide::Story;
use crate::exit::Exit;
use crate::image::{ImageId, LATEST, Reference};
use crate::report;

/// Fewest digits that are taken for the beginning of an id.
const ID_DIGITS_MIN: usize = 4;
/// Candidates that are named to somebody who mistyped, or was not clear.
const NAMED_MAX: usize = 5;

pub(super) fn explain(options: &Options, clocks: &Clocks, asked: &str) -> Result<Exit, Stop> {
    let look = look(options, clocks, &Subject::new(View::Status, None))?;
    look.tell_corrupt();
    let stories = look.stories();
    let found = find(&stories, asked).map_err(|why| Stop::failed(anyhow!(why)))?;
    let shown = match options.format {
        Format::Json => report::json::explain(&found),
        Format::Text => report::text::explain(&found, terminal::page(options, &std::io::stdout())),
    };
    print(&shown)?;
    Ok(look.exit())
}

/// The stories of the one image that a person means: by a name of it, its version, or the beginning of its id. The same
/// image can be that of several workloads.
///
/// # Errors
/// Nothing is meant, or several images are: what to type instead, for people.
fn find<'s>(stories: &'s [Story], asked: &str) -> Result<Vec<&'s Story>, String> {
    let name = Reference::parse(asked).ok();
    let bears = |story: &&Story| {
        let mut names = story
            .names
            .iter()
            .filter_map(|fate| fate.reference.as_ref());
        names.any(|bearing| name.as_ref() == Some(bearing))
    };
    // A name that is gone is found by its version, among the images that are gone.
    let bore = |story: &&Story| {
        let tag = name.as_ref().and_then(Reference::version_tag);
        asked.contains(':') && story.names.is_empty() && tag == Some(story.version.as_str())
    };
    let is_version = |story: &&Story| story.version.as_str() == asked || has_tag(story, asked);
    let digits = asked.strip_prefix("sha256:").unwrap_or(asked);
    let begins = |story: &&Story| {
        let id = story.image.to_string();
        digits.len() >= ID_DIGITS_MIN
            && id
                .strip_prefix("sha256:")
                .is_some_and(|id| id.starts_with(digits))
    };
    let ways: [&dyn Fn(&&Story) -> bool; 4] = [&bears, &is_version, &begins, &bore];
    for way in ways {
        let found: Vec<&Story> = stories.iter().filter(|story| way(story)).collect();
        let images: BTreeSet<&ImageId> = found.iter().map(|story| &story.image).collect();
        match images.len() {
            0 => {}
            1 => return Ok(found),
            _ => return Err(ambiguous(&found, asked)),
        }
    }
    Err(unknown(stories, asked))
}

/// Whether one of the image's names has this tag. All that is `latest` is not of one version.
fn has_tag(story: &Story, tag: &str) -> bool {
    let mut names = story
        .names
        .iter()
        .filter_map(|fate| fate.reference.as_ref());
    tag != LATEST && names.any(|name| name.tag() == Some(tag))
}

fn ambiguous(found: &[&Story], asked: &str) -> String {
    let candidates: Vec<String> = found
        .iter()
        .take(NAMED_MAX)
        .map(|story| {
            let name = story.names.iter().find_map(|fate| fate.reference.as_ref());
            let bears = name.map_or_else(|| "not on the disk".to_owned(), ToString::to_string);
            format!("{} of {} ({bears})", story.image.short(), story.workload)
        })
        .collect();
    format!(
        "'{asked}' is more than one image; say which by its name or id: {}",
        candidates.join(", ")
    )
}

fn unknown(stories: &[Story], asked: &str) -> String {
    let mut known: BTreeSet<String> = BTreeSet::new();
    for story in stories {
        known.insert(story.version.to_string());
        known.insert(story.image.short());
        let names = story
            .names
            .iter()
            .filter_map(|fate| fate.reference.as_ref());
        known.extend(names.map(ToString::to_string));
    }
    let mut near: Vec<(usize, &str)> = known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(known, asked), known.as_str()))
        .filter(|(distance, _)| *distance <= 2)
        .collect();
    near.sort_unstable();
    let hint = match near.first() {
        Some((_, near)) => format!("did you mean '{near}'?"),
        None => "`tagkeeper status` lists the images of the workloads".to_owned(),
    };
    format!("nothing is known of an image '{asked}': {hint}")
}
