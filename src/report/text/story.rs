//! The story of one image, for `explain`. Pure.

use crate::decide::{Fate, FirstSeen, Story, Until, Verdict};
use crate::report::layout::{Page, Text, Tone};
use crate::report::words;
use crate::span;
use crate::state::Departure;

/// Column at which what happened begins.
const VALUE_COLUMN: usize = 14;

/// The story of an image: what happened, then what becomes of each of its names, and when.
pub(super) fn story(story: &Story, page: Page) -> String {
    let title = Text::default()
        .and(Tone::Strong, story.version.as_str())
        .and(Tone::Plain, format!(" {}", subject(story)));
    let mut out = page.paragraph("", 0, title);
    for (label, tone, told) in past(story) {
        let lead = Text::default().and(tone, format!("  {label}"));
        out.push_str(&page.paragraph(lead, VALUE_COLUMN, told));
    }
    out.extend(story.names.iter().map(|name| fate(name, page)));
    out
}

fn subject(story: &Story) -> String {
    let (image, workload) = (story.image.short(), &story.workload);
    match story.size_bytes {
        Some(bytes) => format!("is image {image} of {workload}, {}", words::size(bytes)),
        None => format!("was image {image} of {workload}, and is not on the disk"),
    }
}

/// What happened, in the order of a life: a label, its tone, and the words.
fn past(story: &Story) -> Vec<(&'static str, Tone, String)> {
    let mut told = vec![("first seen", Tone::Faint, first_seen(&story.first_seen))];
    if let Some(pending) = &story.pending {
        let words = format!(
            "since {} in {}, {}",
            pending.began_at,
            pending.container,
            words::count(pending.restarts, "restart")
        );
        told.push(("soaking", Tone::Warning, words));
    }
    if let Some(failure) = &story.failure {
        let words = format!(
            "{} after {}; {}, the last until {}",
            failure.reason,
            span::compact(failure.up_secs.saturating_mul(1000)),
            words::count(failure.attempts, "attempt"),
            failure.at
        );
        told.push(("failed", Tone::Bad, words));
    }
    if let Some(at) = &story.promoted_at {
        told.push(("promoted", Tone::Good, at.clone()));
    }
    if let Some(replaced) = &story.replaced {
        let words = format!("{} by {}", replaced.at, replaced.by);
        told.push(("replaced", Tone::Faint, words));
    }
    if let Some(rejected) = &story.rejected {
        let words = format!(
            "{}; `tagkeeper accept {} {}` lifts that",
            rejected.at, story.workload, rejected.version
        );
        told.push(("rejected", Tone::Bad, words));
    }
    if let Some(retired) = &story.retired {
        let words = match &retired.by {
            Some(version) => format!("{} by the promotion of {version}", retired.at),
            None => retired.at.clone(),
        };
        told.push(("retired", Tone::Faint, words));
    }
    if let Some(removed) = &story.removed {
        let why = match removed.why {
            Departure::Retired => "it was obsolete",
            Departure::Idle => "it had lain idle, and was proven by nothing",
            Departure::Unasked => "not by tagkeeper, as far as it knows",
        };
        told.push(("removed", Tone::Bad, format!("{}: {why}", removed.at)));
    }
    told
}

fn first_seen(seen: &FirstSeen) -> String {
    match seen {
        FirstSeen::At(at) => at.clone(),
        FirstSeen::Before(at) => format!("{at}, when the records began: it was there before"),
        FirstSeen::Ago(ms) => format!("{} of host uptime ago", span::compact(*ms)),
        FirstSeen::Unknown => "not remembered".to_owned(),
    }
}

fn fate(fate: &Fate, page: Page) -> String {
    let verdict = fate.reason.verdict();
    let tone = match verdict {
        Verdict::Keep => Tone::Good,
        Verdict::Retag => Tone::Warning,
        Verdict::Remove => Tone::Bad,
    };
    let lead = Text::default().and(tone, format!("  {}", verdict.as_str()));
    let name = Text::default().and(Tone::Strong, words::name(fate.reference.as_ref()));
    let why = format!("{}: {}", fate.reason.as_str(), fate.detail);
    page.paragraph(lead, VALUE_COLUMN, name)
        + &page.paragraph("", VALUE_COLUMN, why)
        + &page.paragraph("", VALUE_COLUMN, until(&fate.until))
}

/// When what becomes of a name changes, in words.
pub(crate) fn until(until: &Until) -> String {
    match until {
        Until::HoldEnds => "stays until the hold ends".to_owned(),
        Until::OtherPromoted => "stays until another version is promoted".to_owned(),
        Until::Soaked(0) => "has soaked; becomes latest in the next pass".to_owned(),
        Until::Soaked(left_ms) => format!(
            "becomes latest in {}, if it stays up",
            span::compact(left_ms.saturating_add(999))
        ),
        Until::Promotions(1) => "goes after the next promotion".to_owned(),
        Until::Promotions(count) => format!("goes after {count} more promotions"),
        Until::OtherWorkload => "stays while another workload wants it".to_owned(),
        Until::VersionUnwanted => {
            "stays while its version is latest, pending or stands in for latest".to_owned()
        }
        Until::Unused {
            container,
            others,
            at_once,
        } => {
            let users = match others {
                0 => format!("container {container} no longer uses it"),
                others => format!("container {container} and {others} more no longer use it"),
            };
            if *at_once {
                format!("goes once {users}")
            } else {
                format!("stays until {users}; then its grace period begins")
            }
        }
        Until::AnyReplaced => "stays until a promotion replaces another version".to_owned(),
        Until::GraceOver {
            left_ms,
            pressure_percent,
        } => {
            let in_time = span::compact(left_ms.saturating_add(999));
            let sooner = pressure_percent.map_or_else(String::new, |percent| {
                format!(", or before if the disk becomes more than {percent}% full")
            });
            format!("goes when its grace period ends, in {in_time} of host uptime{sooner}")
        }
        Until::NextPass => "in the next pass".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::{Detail, Reason};
    use crate::image::Version;
    use crate::policy::WorkloadName;
    use crate::report::layout::WIDTH;
    use crate::report::sample::{at, id, reference};
    use crate::state::{Failure, Rejected, Removed, Replaced, Retired};

    fn eventful() -> Story {
        let version = Version::new;
        Story {
            workload: WorkloadName::new("telemetry"),
            image: id('a'),
            version: version("v1"),
            size_bytes: Some(120_400_000),
            first_seen: FirstSeen::At(at(1)),
            promoted_at: Some(at(2)),
            replaced: Some(Replaced {
                by: version("v2"),
                at: at(3),
            }),
            retired: Some(Retired {
                by: Some(version("v3")),
                at: at(4),
            }),
            rejected: Some(Rejected {
                version: version("v1"),
                at: at(5),
            }),
            pending: None,
            failure: Some(Failure {
                version: version("v1"),
                image: id('a'),
                attempts: 2,
                up_secs: 31,
                reason: "exited (1)".to_owned(),
                at: at(0),
            }),
            removed: None,
            names: vec![Fate {
                reference: Some(reference("registry.example/app:v1")),
                reason: Reason::InUse,
                detail: Detail::Words("used by debug (exited)"),
                until: Until::Unused {
                    container: "debug".to_owned(),
                    others: 1,
                    at_once: true,
                },
            }],
        }
    }

    #[test]
    fn a_whole_story() {
        assert_eq!(
            story(&eventful(), Page::default()),
            "\
v1 is image aaaaaaaaaaaa of telemetry, 120 MB
  first seen  2026-11-22T23:01:00Z
  failed      exited (1) after 31s; 2 attempts, the last until
              2026-11-22T23:00:00Z
  promoted    2026-11-22T23:02:00Z
  replaced    2026-11-22T23:03:00Z by v2
  rejected    2026-11-22T23:05:00Z; `tagkeeper accept telemetry v1` lifts that
  retired     2026-11-22T23:04:00Z by the promotion of v3
  keep        registry.example/app:v1
              in-use: used by debug (exited)
              goes once container debug and 1 more no longer use it
"
        );
    }

    #[test]
    fn grace_ends_in_its_time_or_when_the_disk_is_full() {
        let grace = |pressure_percent| Until::GraceOver {
            left_ms: 59_001,
            pressure_percent,
        };
        let end = "goes when its grace period ends, in 1m of host uptime";
        assert_eq!(until(&grace(None)), end);
        let sooner = format!("{end}, or before if the disk becomes more than 80% full");
        assert_eq!(until(&grace(Some(80))), sooner);
    }

    #[test]
    fn a_story_that_is_over() {
        let gone = Story {
            size_bytes: None,
            first_seen: FirstSeen::Unknown,
            removed: Some(Removed {
                why: Departure::Idle,
                at: at(9),
            }),
            names: Vec::new(),
            ..eventful()
        };
        let told = story(&gone, Page::default());
        for part in [
            "v1 was image aaaaaaaaaaaa of telemetry, and is not on the disk\n",
            "  first seen  not remembered\n",
            "  removed     2026-11-22T23:09:00Z: it had lain idle, and was proven by nothing\n",
        ] {
            assert!(told.contains(part), "{part}{told}");
        }
    }

    #[test]
    fn wide_names_and_words_from_outside_do_not_break_it() {
        let mut wide = eventful();
        wide.version = Version::new("語".repeat(60));
        wide.names[0].reference = Some(reference(&format!("{}/app:v1", "r".repeat(90))));
        wide.names[0].until = Until::Unused {
            container: format!("{}\u{1b}[2J", "テレメトリ".repeat(20)),
            others: 0,
            at_once: false,
        };
        let told = story(&wide, Page::default());
        assert_eq!(told.lines().find(|line| words::columns(line) > WIDTH), None);
        assert!(!told.contains('\u{1b}'), "{told:?}");
    }
}
