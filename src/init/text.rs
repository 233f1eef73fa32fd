//! Writes a [`Draft`] down as TOML with comments. Pure.

use std::collections::BTreeSet;
use std::fmt::{Display, Write as _};
use std::path::Path;

use super::guess::{Draft, Guess};
use crate::engine::Lists;
use crate::policy_file::{DEFAULT_SOCKET, key_name, printable, quoted};
use tagkeeper_core::model::Image;
use tagkeeper_core::model::Reference;

/// A line with its comment has no more columns, but where others of its section are longer.
const WIDTH: usize = 104;
/// How many of a list are named; the rest is counted.
const NAMED: usize = 4;

const HEAD: &str = "\
# Read it, mend it, and save it as /etc/tagkeeper/policy.toml. Then `tagkeeper check` says whether it is sound, and
# `tagkeeper plan` what it would do. The policy that comes with tagkeeper explains every key.
";

const NOTHING: &str = "
# Nothing here looks like a workload: a local repository with a `latest`, whose image another repository carries too.
# The orchestrator may not have deployed anything yet. This is what one looks like:
#[workload.NAME]
#repository = \"docker-app\"                       # whose latest the local service runs
#remotes = [\"registry.example/docker-app\"]       # where the orchestrator pulls it from
#container = \"app\"                               # what the local service calls its container
";

const ALONE: &str = "
# These have a latest, and versions or a container, but no other repository here carries their images. If an orchestrator
# upgrades one of them, take the \"#\" away and write where it pulls from.
";

pub(super) fn write(draft: &Draft, lists: &Lists, socket: &Path) -> String {
    let mut out = String::new();
    let socket = socket.to_string_lossy();
    let found = [
        counted(lists.images.len(), "image"),
        counted(lists.containers.len(), "container"),
    ];
    let _ = writeln!(
        out,
        "# A first policy, guessed from {} at {}.",
        found.join(" and "),
        printable(&socket)
    );
    out.push_str(HEAD);
    if socket != DEFAULT_SOCKET && socket.starts_with('/') && !socket.contains('\0') {
        let _ = writeln!(out, "\n[engine]\nsocket = {}", quoted_path(&socket));
    }
    if draft.workloads.is_empty() {
        out.push_str(NOTHING);
    }
    for guess in &draft.workloads {
        out.push('\n');
        out.push_str(&section(guess));
    }
    if !draft.alone.is_empty() {
        out.push_str(ALONE);
    }
    for guess in &draft.alone {
        out.push_str("#\n");
        for line in section(guess).lines() {
            let mark = if line.starts_with('#') { "" } else { "#" };
            let _ = writeln!(out, "{mark}{line}");
        }
    }
    if !draft.left.is_empty() {
        let _ = writeln!(out, "\n# No sign of a workload: {}.", listed(&draft.left));
    }
    out
}

/// A path with every character that TOML would not take as it is written as an escape.
fn quoted_path(path: &str) -> String {
    let mut out = String::from("\"");
    for c in path.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn section(guess: &Guess) -> String {
    let mut out = format!("[workload.{}]\n", key_name(&guess.name));
    for doubt in &guess.unsure {
        let _ = writeln!(out, "# unsure: {}", printable(doubt));
    }
    let mut lines: Vec<(String, String)> = Vec::new();
    let mut line = |key: &str, value: &str, why: &str| {
        lines.push((format!("{key} = {value}"), printable(why)));
    };
    let latest = guess.latest;
    let versions = versions(latest);
    let short = latest.id.short();
    let is_latest = if versions.is_empty() {
        format!("its latest is {short}")
    } else {
        format!("its latest is {versions} ({short})")
    };
    line("repository", &quoted(guess.repository.as_str()), &is_latest);
    let remotes: Vec<String> = guess
        .remotes
        .iter()
        .map(|remote| quoted(remote.repository.as_str()))
        .collect();
    let why = if remotes.is_empty() {
        "where does the orchestrator pull from?"
    } else if guess.rests_on_a_name() {
        "see above"
    } else {
        "carries the same images"
    };
    line("remotes", &format!("[{}]", remotes.join(", ")), why);
    let container = match guess.local {
        Some(local) => match &local.reference {
            Some(reference) => format!("{}, from {reference}", local.state.as_str()),
            None => format!(
                "{}, from {}",
                local.state.as_str(),
                local
                    .image
                    .as_ref()
                    .map_or_else(String::new, tagkeeper_core::model::ImageId::short)
            ),
        },
        None => "a guess".to_owned(),
    };
    line("container", &quoted(&guess.container), &container);
    if let Some(pattern) = &guess.pattern {
        let seen = guess.orchestrated.iter().map(|c| c.name());
        line("orchestrated", &quoted(pattern), &listed(seen));
    }
    if guess.rests_on_a_name() {
        line(
            "hold",
            "true",
            "look and do not touch, until the remotes are known to be right",
        );
    }
    out + &beside(&lines)
}

/// Settings with their comments, all of which begin at one column; above the setting where there is no room beside it.
fn beside(lines: &[(String, String)]) -> String {
    let columns = |text: &str| text.chars().count();
    let has_room =
        |(setting, why): &&(String, String)| columns(setting) + columns(why) <= WIDTH - 4;
    let widths = lines.iter().filter(has_room).map(|(s, _)| columns(s));
    let width = widths.max().unwrap_or_default();
    let mut out = String::new();
    for line in lines {
        let (setting, why) = line;
        let _ = if why.is_empty() {
            writeln!(out, "{setting}")
        } else if has_room(&line) {
            writeln!(out, "{setting:<width$}  # {why}")
        } else {
            writeln!(out, "# {why}:\n{setting}")
        };
    }
    out
}

/// The versions that an image has, each once.
fn versions(image: &Image) -> String {
    let versions: BTreeSet<&str> = image.tags().filter_map(Reference::version_tag).collect();
    listed(versions)
}

/// `a, b, c, d and 3 more`.
pub(super) fn listed<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let mut all: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    let more = all.len().saturating_sub(NAMED);
    all.truncate(NAMED);
    let named = all.join(", ");
    if more == 0 {
        named
    } else {
        format!("{named} and {more} more")
    }
}

fn counted(n: usize, what: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {what}{plural}")
}
