//! What `explain --format json` looks like: each struct is an object, each field a key. Pure.

use serde::Serialize;

use super::schema::{Failure, Pending};
use super::{SCHEMA, failure, pending, print};
use tagkeeper_core::model::{FirstSeen, ImageReport, KeptUntil, NameReport, Version};

use crate::report::words;

/// The whole document.
#[derive(Debug, Serialize)]
struct Document<'a> {
    /// [`SCHEMA`].
    schema: u32,
    /// One for each workload that the image belongs to, or belonged to.
    stories: Vec<Report<'a>>,
}

/// An entry of `stories`.
#[derive(Debug, Serialize)]
struct Report<'a> {
    /// Whose image it is.
    workload: &'a str,
    /// The version that it has, or had.
    version: &'a str,
    /// The image id.
    image: String,
    /// Size on disk in bytes, shared layers included; null if it is not on the disk.
    size_bytes: Option<u64>,
    /// When it was first seen, RFC 3339; null if that is not remembered as a time of day.
    first_seen_at: Option<&'a str>,
    /// When it was last promoted, RFC 3339; null if it never was, as far as is remembered.
    promoted_at: Option<&'a str>,
    /// What took `latest` from it; null if nothing did.
    replaced: Option<By<'a>>,
    /// What made it obsolete; null if it is not.
    retired: Option<By<'a>>,
    /// When a rollback rejected it, RFC 3339; null if it is not rejected.
    rejected_at: Option<&'a str>,
    /// Whether `[reject]` of the policy names it.
    rejected_by_policy: bool,
    /// The upgrade to it that is soaking; null if there is none.
    pending: Option<Pending<'a>>,
    /// The upgrades to it that were not promoted; null if none is remembered.
    failure: Option<Failure<'a>>,
    /// How it left the disk; null while it is there.
    removed: Option<Removed<'a>>,
    /// Its names on the disk; empty once it has left.
    names: Vec<Name>,
}

/// `replaced` and `retired`.
#[derive(Debug, Serialize)]
struct By<'a> {
    /// The version that was promoted; null if it was no promotion.
    by: Option<&'a str>,
    /// When, RFC 3339.
    at: &'a str,
}

/// `removed`.
#[derive(Debug, Serialize)]
struct Removed<'a> {
    /// `retired`, `idle`, or `other` if something other than tagkeeper removed it.
    why: &'static str,
    /// When, RFC 3339.
    at: &'a str,
    /// The names that tagkeeper removed from it then; empty if it was not tagkeeper, or they were
    /// not written down.
    names: &'a [String],
}

/// An entry of `names`.
#[derive(Debug, Serialize)]
struct Name {
    /// The name; null for a nameless image.
    reference: Option<String>,
    /// `keep`, `remove` or `retag`.
    verdict: &'static str,
    /// The row of the verdict table.
    reason: &'static str,
    /// The reason in a sentence for people.
    detail: String,
    /// For people: when that changes.
    until: String,
    /// In how many seconds of host uptime it is removed, or moves; null if that depends on
    /// something other than time.
    goes_in_secs: Option<u64>,
}

/// What `explain --format json` prints. Ends with one newline.
pub fn explain(reports: &[&ImageReport]) -> String {
    print(&Document {
        schema: SCHEMA,
        stories: reports.iter().map(|found| report(found)).collect(),
    })
}

fn report(report: &ImageReport) -> Report<'_> {
    let replaced = report.replaced.as_ref();
    let retired = report.retired.as_ref();
    Report {
        workload: report.workload.as_str(),
        version: report.version.as_str(),
        image: report.image.to_string(),
        size_bytes: report.size_bytes,
        first_seen_at: match &report.first_seen {
            FirstSeen::At(at) | FirstSeen::Before(at) => Some(at),
            FirstSeen::Ago(_) | FirstSeen::Unknown => None,
        },
        promoted_at: report.promoted_at.as_deref(),
        replaced: replaced.map(|replaced| By {
            by: Some(replaced.by.as_str()),
            at: &replaced.at,
        }),
        retired: retired.map(|retired| By {
            by: retired.by.as_ref().map(Version::as_str),
            at: &retired.at,
        }),
        rejected_at: report
            .rejected
            .as_ref()
            .map(|rejected| rejected.at.as_str()),
        rejected_by_policy: report.rejected_by_policy,
        pending: report.pending.as_ref().map(pending),
        failure: report.failure.as_ref().map(failure),
        removed: report.removed.as_ref().map(|removed| Removed {
            why: removed.why.as_str(),
            at: &removed.at,
            names: &report.past_names,
        }),
        names: report.names.iter().map(name).collect(),
    }
}

fn name(name: &NameReport) -> Name {
    Name {
        reference: name.reference.as_ref().map(ToString::to_string),
        verdict: words::verdict(name.reason.verdict()),
        reason: words::reason_word(name.reason),
        detail: words::detail(name.reason, &name.detail),
        until: words::until(&name.until),
        goes_in_secs: match name.until {
            KeptUntil::GraceOver { left_ms, .. } => Some(left_ms.div_ceil(1000)),
            KeptUntil::NextPass => Some(0),
            KeptUntil::AskedAgain(ms) => Some(ms.div_ceil(1000)),
            _ => None,
        },
    }
}
