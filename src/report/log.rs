//! The log: one line for each thing that changed. The one part of the reports that writes.
//!
//! Under systemd it goes to the journal, with fields to search by (`WORKLOAD=`, `EVENT=`,
//! `VERSION=`, `IMAGE=`), and elsewhere to stderr in plain lines. No time stamps: the journal has
//! its own, and a person sees it happen. Only what this crate says at level info and above; what
//! libraries have to say is their authors' business. A log that cannot be written never stops a
//! pass.

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::path::Path;

use tracing::field::{Field, Visit};
use tracing::{Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;

use super::words;
use crate::policy_file::{Diagnostic, Refused};
use crate::text::{harmless, one_line};
use tagkeeper_core::model::{ActionKind, Event, EventKind, ImageId, WorkloadName};

/// `SYSLOG_IDENTIFIER=`, whatever the file is called that was started: what `journalctl -t` takes.
const IDENTIFIER: &str = "tagkeeper";

/// Starts the log, for the rest of the program. To be called once; a second call changes nothing.
///
/// Info is journal priority notice, and so on upwards: an idle pass logs nothing, so what is logged
/// is worth a notice.
pub fn init() {
    let journal = if is_journal(
        std::env::var("JOURNAL_STREAM").ok().as_deref(),
        &io::stderr(),
    ) {
        tracing_journald::layer().ok()
    } else {
        None
    };
    // Both fail only where a log has been started already.
    let _ = match journal {
        Some(layer) => {
            let layer = layer
                .with_field_prefix(None)
                .with_syslog_identifier(IDENTIFIER.to_owned());
            tracing::subscriber::set_global_default(
                Registry::default().with(own_events()).with(layer),
            )
        }
        None => tracing::subscriber::set_global_default(
            Registry::default()
                .with(own_events())
                .with(Lines(to_stderr)),
        ),
    };
}

/// Logs one thing that changed, as a line that begins with the workload's name.
pub fn log_event(event: &Event) {
    let Some(message) = words::event(event) else {
        return;
    };
    let message = one_line(&message);
    let workload = event.workload.as_str();
    let kind = words::event_word(&event.kind);
    let (version, image) = concerned(&event.kind);
    let version = version.as_deref();
    let image = image.map(ToString::to_string);
    let image = image.as_deref();
    if words::is_warning(&event.kind) {
        tracing::warn!(
            workload,
            event = kind,
            version,
            image,
            "{workload}: {message}"
        );
    } else {
        tracing::info!(
            workload,
            event = kind,
            version,
            image,
            "{workload}: {message}"
        );
    }
}

/// The version and the image that an event concerns, if it concerns some; of an action, the version
/// that its name says.
pub(crate) fn concerned(kind: &EventKind) -> (Option<String>, Option<&ImageId>) {
    match kind {
        EventKind::Pending { version, image, .. }
        | EventKind::Restarted { version, image, .. }
        | EventKind::Ended { version, image, .. }
        | EventKind::Promoted { version, image, .. }
        | EventKind::Restored { version, image, .. }
        | EventKind::LocalRuns { version, image, .. }
        | EventKind::RejectedServes { version, image, .. }
        | EventKind::RolledBack { version, image, .. } => (Some(version.to_string()), Some(image)),
        EventKind::Held(_) | EventKind::Released | EventKind::OtherDisk | EventKind::DiskBack => {
            (None, None)
        }
        EventKind::Done { action, .. }
        | EventKind::Dropped { action, .. }
        | EventKind::Refused { action, .. } => {
            let name = match action {
                ActionKind::Tag { reference, .. } => Some(reference),
                ActionKind::RemoveImage { reference, .. } => reference.as_ref(),
                ActionKind::CreatePin { .. }
                | ActionKind::RemovePin { .. }
                | ActionKind::RemoveContainer { .. } => None,
            };
            let version = name.and_then(|name| name.version_tag());
            (version.map(str::to_owned), Some(action.image()))
        }
    }
}

/// Logs what went wrong, with its causes. `workload` is none where it concerns them all.
pub fn log_error(workload: Option<&WorkloadName>, error: &anyhow::Error) {
    let workload = workload.map(WorkloadName::as_str);
    tracing::error!(workload, "{}", in_words(error));
}

/// Logs what a person who waits should know.
pub fn log_note(message: &str) {
    tracing::info!("{}", one_line(message));
}

/// Logs what a person should know of and what stopped nothing. `workload` is none where it concerns
/// them all.
pub fn log_warning(workload: Option<&WorkloadName>, message: &str) {
    let message = one_line(message);
    if let Some(workload) = workload.map(WorkloadName::as_str) {
        tracing::warn!(workload, "{workload}: {message}");
    } else {
        tracing::warn!("{message}");
    }
}

/// An error with its causes. Policy errors bring the word `error` along, as compilers print it; it
/// is for the log's level and the status line to say.
pub fn in_words(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    text.strip_prefix("error: ").unwrap_or(&text).to_owned()
}

/// Says on a terminal that there is nothing to look after. In the journal that would be a line each
/// minute, for ever.
pub fn log_empty_policy(policy_file: &Path) {
    if !is_journal(
        std::env::var("JOURNAL_STREAM").ok().as_deref(),
        &io::stderr(),
    ) {
        let file = policy_file.display();
        tracing::info!(
            "the policy names no workload, so there is nothing to do; add one in '{file}'"
        );
    }
}

/// Shows, on a terminal that is to have colours, why a policy is refused. The log itself has none.
pub fn show_refused(refused: &Refused) {
    to_stderr(&format!("{}\n", refused.print(true)));
}

/// Logs what is odd about a policy; on a terminal that is to have colours it is shown in them.
pub fn log_policy_warnings(warnings: &[Diagnostic], colors: bool) {
    let printed: Vec<String> = warnings.iter().map(|w| w.print(colors)).collect();
    let text = printed.join("\n\n");
    if printed.is_empty() {
        return;
    }
    if colors {
        to_stderr(&format!("{text}\n\n"));
    } else {
        // The level's word is the log's to say.
        tracing::warn!("{}", text.strip_prefix("warning: ").unwrap_or(&text));
    }
}

/// Says, beside the policy that `init` prints, that it has no workload in it.
pub fn log_nothing_found(socket: &Path) {
    tracing::info!(
        "nothing at '{}' looks like a workload, so the policy names none; once the orchestrator has deployed a version, try again",
        socket.display()
    );
}

fn own_events() -> Targets {
    Targets::new().with_target(env!("CARGO_CRATE_NAME"), Level::INFO)
}

fn to_stderr(line: &str) {
    // Where stderr is closed or full there is nowhere left to say so.
    let _ = io::stderr().lock().write_all(line.as_bytes());
}

/// Whether the stream is the one that `$JOURNAL_STREAM` names by device and inode: whether systemd
/// has connected it to the journal, and nobody has redirected it since.
fn is_journal(journal_stream: Option<&str>, stream: &impl std::os::fd::AsFd) -> bool {
    let named = journal_stream.and_then(|text| text.split_once(':'));
    let (Some((device, inode)), Ok(stat)) = (named, rustix::fs::fstat(stream)) else {
        return false;
    };
    device.parse() == Ok(stat.st_dev) && inode.parse() == Ok(stat.st_ino)
}

/// Writes each event as one line: the level if it is more than information, and the message.
struct Lines<W>(W);

impl<S: Subscriber, W: Fn(&str) + 'static> Layer<S> for Lines<W> {
    fn on_event(&self, event: &tracing::Event<'_>, _context: Context<'_, S>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        let level = match *event.metadata().level() {
            Level::ERROR => "error: ",
            Level::WARN => "warning: ",
            _ => "",
        };
        // Errors may have several lines, such as the commands to type; each is cleaned by itself.
        let lines: Vec<String> = message.0.trim_end().lines().map(harmless).collect();
        (self.0)(&format!("{level}{}\n", lines.join("\n")));
    }
}

/// The message of an event, without its fields: they are in the sentence.
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            // Writing into a String does not fail.
            let _ = write!(self.0, "{value:?}");
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.0.push_str(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::MetadataExt;
    use std::sync::{Arc, Mutex};

    use super::*;
    use tagkeeper_core::model::{SoakTrouble, Version};

    fn id() -> ImageId {
        ImageId::new("b".repeat(64))
    }

    fn event(why: &str) -> Event {
        Event {
            workload: WorkloadName::new("telemetry"),
            kind: EventKind::Restarted {
                version: Version::new("v2"),
                image: id(),
                cause: SoakTrouble::NotReady(why.to_owned()),
                up_ms: 60_000,
            },
        }
    }

    fn put_back() -> Event {
        Event {
            workload: WorkloadName::new("telemetry"),
            kind: EventKind::Restored {
                version: Version::new("v2"),
                image: id(),
                up_ms: 600_000,
            },
        }
    }

    /// What stderr would get.
    fn lines_of(say: impl FnOnce()) -> String {
        let written = Arc::new(Mutex::new(String::new()));
        let sink = Arc::clone(&written);
        let lines = Lines(move |line: &str| sink.lock().unwrap().push_str(line));
        tracing::subscriber::with_default(Registry::default().with(own_events()).with(lines), say);
        let written = written.lock().unwrap();
        written.clone()
    }

    #[test]
    fn a_line_for_people() {
        assert_eq!(
            lines_of(|| log_event(&event("no"))),
            "telemetry: v2 is not ready (no) after 1m: the soak starts again\n"
        );
        assert_eq!(
            lines_of(|| log_event(&put_back())),
            "warning: telemetry: latest is back on v2, which has soaked for 10m: it was on another version\n"
        );
    }

    #[test]
    fn an_event_is_one_line_and_steers_no_terminal() {
        let logged = lines_of(|| log_event(&event("\u{1b}[2J\nno")));
        assert_eq!(
            logged,
            "telemetry: v2 is not ready (\u{fffd}[2J no) after 1m: the soak starts again\n"
        );
    }

    #[test]
    fn levels() {
        let logged = lines_of(|| {
            tracing::error!("the engine is gone\u{1b}[2J\n  systemctl start docker\n");
            tracing::warn!("careful");
            tracing::info!(other = "field", "said");
            tracing::debug!("not said");
        });
        assert_eq!(
            logged,
            "error: the engine is gone\u{fffd}[2J\n  systemctl start docker\nwarning: careful\nsaid\n"
        );
    }

    #[test]
    fn only_this_crate() {
        let logged = lines_of(|| {
            tracing::error!(target: "hyper::client", "not ours");
            tracing::info!(target: "tagkeeper", "ours");
            tracing::info!(target: "tagkeeper::reconcile", "ours too");
        });
        assert_eq!(logged, "ours\nours too\n");
    }

    /// A layer that keeps the fields of each event.
    struct Fields(Arc<Mutex<Vec<(String, String)>>>);

    impl<S: Subscriber> Layer<S> for Fields {
        fn on_event(&self, event: &tracing::Event<'_>, _context: Context<'_, S>) {
            struct Collect<'a>(&'a mut Vec<(String, String)>);
            impl Visit for Collect<'_> {
                fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
                    self.0.push((field.name().to_owned(), format!("{value:?}")));
                }
                fn record_str(&mut self, field: &Field, value: &str) {
                    self.0.push((field.name().to_owned(), value.to_owned()));
                }
            }
            event.record(&mut Collect(&mut self.0.lock().unwrap()));
        }
    }

    #[test]
    fn fields_to_search_by() {
        let image = id().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let layer = Fields(Arc::clone(&seen));
        tracing::subscriber::with_default(Registry::default().with(layer), || {
            log_event(&put_back());
        });
        let mut seen = seen.lock().unwrap().clone();
        seen.sort();
        let seen: Vec<_> = seen
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            seen,
            [
                ("event", "restored"),
                ("image", image.as_str()),
                (
                    "message",
                    "telemetry: latest is back on v2, which has soaked for 10m: it was on another version"
                ),
                ("version", "v2"),
                ("workload", "telemetry"),
            ]
        );
    }

    #[test]
    fn the_journal_is_known_by_device_and_inode() {
        let stream = File::open("/dev/null").unwrap();
        let (device, inode) = stream.metadata().map(|m| (m.dev(), m.ino())).unwrap();
        for (named, expected) in [
            (Some(format!("{device}:{inode}")), true),
            (Some(format!("{device}:{}", inode + 1)), false),
            (Some(format!("{}:{inode}", device + 1)), false),
            (Some(format!("{device}")), false),
            (Some("a:b".to_owned()), false),
            (Some(String::new()), false),
            (None, false),
        ] {
            assert_eq!(is_journal(named.as_deref(), &stream), expected, "{named:?}");
        }
    }
}
