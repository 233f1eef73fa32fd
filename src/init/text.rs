//! Writes a [`Candidates`] down as TOML with comments. Pure.

use std::collections::BTreeSet;
use std::fmt::{Display, Write as _};
use std::path::Path;

use tagkeeper_core::Gather;
use tagkeeper_core::model::{Container, Image, ImageId, Observation, Reference};

use super::candidate::{Candidate, Candidates, KubeOnly};
use crate::policy_file::{DEFAULT_SOCKET, KUBERNETES, key_name, printable, quoted};
use crate::report::words;

/// A line with its comment has no more columns, but where others of its section are longer.
const WIDTH: usize = 104;
/// How many of a list are named; the rest is counted.
const NAMED: usize = 4;

const HEAD: &str = "\
# Review and edit it, then save it as /etc/tagkeeper/policy.d/host.toml. `tagkeeper check` validates it,
# and `tagkeeper plan` shows what it would do. /etc/tagkeeper/policy.toml explains every key.
";

const NOTHING: &str = "
# Nothing here looks like a workload: a local repository with a `latest`, whose image another repository
# has, too. The orchestrator may not have deployed anything yet. This is what a workload looks like:
#[workload.NAME]
#repository = \"docker-app\"                       # whose latest the local service runs
#remotes = [\"registry.example/docker-app\"]       # where the orchestrator pulls it from
#container = \"app\"                               # what the local service calls its container
";

const WITHOUT_REMOTES: &str = "
# These have a latest, and versions or a container, but no other repository here has their images. If an
# orchestrator upgrades one of them, remove the \"#\" and write where it pulls from.
";

const KUBE_ONLY: &str = "
# Only pods run these, and no local service does. If their old versions are to be removed by tagkeeper,
# remove the \"#\". The local repository is created by the first promotion.
";

pub(super) fn write(candidates: &Candidates, seen: &Observation, socket: &Path) -> String {
    let mut out = String::new();
    let socket = socket.to_string_lossy();
    let found = [
        words::count(seen.images.len(), "image"),
        words::count(seen.containers.len(), "container"),
    ];
    let _ = writeln!(
        out,
        "# A starter policy, guessed from {} at {}.",
        found.join(" and "),
        printable(&socket)
    );
    out.push_str(HEAD);
    if socket != DEFAULT_SOCKET && socket.starts_with('/') && !socket.contains('\0') {
        let _ = writeln!(out, "\n[engine]\nsocket = {}", quoted_path(&socket));
    }
    if candidates.workloads.is_empty() {
        out.push_str(NOTHING);
    }
    for candidate in &candidates.workloads {
        out.push('\n');
        out.push_str(&section(candidate));
    }
    if !candidates.without_remotes.is_empty() {
        out.push_str(WITHOUT_REMOTES);
    }
    for candidate in &candidates.without_remotes {
        out.push_str("#\n");
        for line in section(candidate).lines() {
            let mark = if line.starts_with('#') { "" } else { "#" };
            let _ = writeln!(out, "{mark}{line}");
        }
    }
    if !candidates.kube_only.is_empty() {
        out.push_str(KUBE_ONLY);
    }
    for found in &candidates.kube_only {
        out.push_str("#\n");
        for line in kube_only_section(found).lines() {
            let _ = writeln!(out, "#{line}");
        }
    }
    if !candidates.left.is_empty() {
        let _ = writeln!(
            out,
            "\n# No sign of a workload: {}.",
            listed(&candidates.left)
        );
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

fn section(candidate: &Candidate) -> String {
    let mut out = format!("[workload.{}]\n", key_name(&candidate.name));
    for doubt in &candidate.unsure {
        let _ = writeln!(out, "# unsure: {}", printable(doubt));
    }
    let mut lines: Vec<(String, String)> = Vec::new();
    let mut line = |key: &str, value: &str, why: &str| {
        lines.push((format!("{key} = {value}"), printable(why)));
    };
    let repository = quoted(candidate.repository.as_str());
    line(
        "repository",
        &repository,
        &latest_in_words(candidate.latest),
    );
    let remotes = candidate.remotes.iter().map(|r| r.repository.as_str());
    let why = if candidate.remotes.is_empty() {
        "where does the orchestrator pull from?"
    } else if candidate.rests_on_a_name() {
        "see above"
    } else {
        "has the same images"
    };
    line("remotes", &list(remotes), why);
    let containers = match candidate.containers.as_slice() {
        [one] => quoted(one),
        several => list(several.iter().map(String::as_str)),
    };
    line("container", &containers, &local_in_words(candidate.local));
    if let Some(pattern) = &candidate.pattern {
        let seen = candidate.orchestrated.iter().map(|c| c.name());
        line("orchestrated", &quoted(pattern), &listed(seen));
    }
    match &candidate.moving_tag {
        Some(tag) => line(
            "dry_runs",
            "false",
            &format!("{tag} looks like a tag that moves"),
        ),
        None => line(
            "#dry_runs",
            "false",
            "if the orchestrator never idles its container",
        ),
    }
    if candidate.rests_on_a_name() {
        line(
            "hold",
            "true",
            "no changes are made until you have checked the remotes",
        );
    }
    out + &beside(&lines)
}

fn kube_only_section(found: &KubeOnly) -> String {
    let line = |key: &str, value: &str, why: &str| (format!("{key} = {value}"), printable(why));
    let mut lines = vec![
        line("repository", &quoted(&found.repository), "not there yet"),
        line("remotes", &list([found.remote.as_str()].into_iter()), ""),
    ];
    if found.container != found.name {
        lines.push(line("container", &quoted(&found.container), "a guess"));
    }
    let pattern = format!("{KUBERNETES}{}_*", found.pod_name());
    lines.push(line(
        "orchestrated",
        &quoted(&pattern),
        &found.running.name(),
    ));
    lines.push(line(
        "dry_runs",
        "false",
        "no local container does its work",
    ));
    format!("[workload.{}]\n{}", key_name(&found.name), beside(&lines))
}

pub(super) fn list<'t>(texts: impl Iterator<Item = &'t str>) -> String {
    let texts: Vec<String> = texts.map(quoted).collect();
    format!("[{}]", texts.join(", "))
}

fn latest_in_words(latest: &Image) -> String {
    let (versions, short) = (versions(latest), latest.id.short());
    if versions.is_empty() {
        format!("its latest is {short}")
    } else {
        format!("its latest is {versions} ({short})")
    }
}

fn local_in_words(local: Option<&Container>) -> String {
    let Some(local) = local else {
        return "a guess".to_owned();
    };
    let from = match &local.reference {
        Some(reference) => reference.to_string(),
        None => local.image.as_ref().map(ImageId::short).unwrap_or_default(),
    };
    format!("{}, from {from}", local.state.as_str())
}

/// Settings with their comments, all of which begin at one column; above the setting where there is
/// no room beside it.
pub(super) fn beside(lines: &[(String, String)]) -> String {
    let columns = |text: &str| text.chars().count();
    let has_room =
        |(setting, why): &&(String, String)| columns(setting) + columns(why) <= WIDTH - 4;
    let commented = lines.iter().filter(|(_, why)| !why.is_empty());
    let widths = commented.filter(has_room).map(|(s, _)| columns(s));
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
    let versions: BTreeSet<&str> = image.tags().filter_map(Reference::version_tag).gather();
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
