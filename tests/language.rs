//! What the program, its schemas and its manual say to people is plain English: none of the turns
//! of phrase that an earlier edition had and that readers stumbled over.

#![cfg(test)]

use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use tagkeeper::cli::Cli;
use tagkeeper::report::words;
use tagkeeper_core::model::Reason;

/// Words and phrases, with what to say instead.
const WORST: &[(&str, &str)] = &[
    ("mend", "fix"),
    ("mends", "fixes"),
    ("won back", "reclaimed"),
    ("wins back", "reclaims"),
    ("bytes_won_back", "reclaimed_bytes"),
    ("leaving_bytes", "reclaimable_bytes"),
    ("is sound", "is valid"),
    ("bears", "has"),
    ("bearing", "with"),
    ("hardly meant", "probably a mistake"),
    ("stands", "is"),
    ("stand", "be"),
    ("somebody", "name the actor"),
    ("nobody", "name the actor"),
    ("odd about", "probably a mistake"),
    ("looked at, not touched", "no changes are made"),
    ("proven by nothing", "not proven"),
    ("hangs on", "depends on"),
    ("calls for", "needs"),
    ("lain idle", "been idle"),
    ("lies about", "is unused"),
    ("being soaked", "soaking"),
    ("is no file", "is not a file"),
    ("is no socket", "is not a socket"),
    ("closed to this user", "no permission"),
    ("kept to fall back to", "kept as fallback"),
    ("the whole story", "the history"),
    ("goes with", "is removed with"),
    ("their pins go", "their pins are removed"),
    ("a later pass goes on", "the next pass tries again"),
    ("as good as", "say what it is"),
    ("takes to serve", "say which one serves"),
];

/// The phrases that a text has, in one line, lower case, without what joins words on a screen.
fn found(text: &str) -> Vec<&'static str> {
    let plain: String = text
        .to_lowercase()
        .chars()
        .map(|c| {
            if c.is_alphanumeric() || c == '_' || c == ',' {
                c
            } else {
                ' '
            }
        })
        .collect();
    let words: Vec<&str> = plain.split_whitespace().collect();
    let text = format!(" {} ", words.join(" "))
        .replace(", ", " , ")
        .replace(" , ", " ");
    let worst = WORST.iter().map(|(phrase, _)| *phrase);
    worst
        .filter(|phrase| text.contains(&format!(" {} ", phrase.replace(", ", " "))))
        .collect()
}

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn files_below(directory: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path, extensions));
        } else if path
            .extension()
            .is_some_and(|e| extensions.iter().any(|known| e == *known))
        {
            files.push(path);
        }
    }
    files
}

/// The lines of a source that the program may say: neither comments nor its unit tests.
fn said_in(source: &str) -> String {
    let shipped = source.split("#[cfg(test)]\nmod tests {").next();
    let lines = shipped.unwrap_or_default().lines();
    let lines: Vec<&str> = lines
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    lines.join("\n")
}

#[test]
fn the_help_of_every_command_is_plain() {
    let mut cli = Cli::command();
    cli.build();
    let mut helps = vec![cli.render_long_help().to_string()];
    for command in cli.get_subcommands_mut() {
        helps.push(command.render_long_help().to_string());
    }
    assert_eq!(helps.len(), 11, "the program, its nine commands, and help");
    for help in helps {
        assert_eq!(found(&help), [""; 0], "{help}");
    }
}

#[test]
fn the_reasons_are_plain() {
    for reason in Reason::ALL {
        let (word, said) = words::reason(reason);
        assert!(!said.is_empty() && !said.ends_with('.'), "{word}: {said}");
        assert_eq!(found(said), [""; 0], "{word}");
    }
}

#[test]
fn what_the_reports_and_the_commands_say_is_plain() {
    let mut files = files_below(&root("src/report"), &["rs", "txt"]);
    files.extend(files_below(&root("src/commands"), &["rs"]));
    files.push(root("src/cli.rs"));
    assert!(files.len() > 40, "{files:#?}");
    let all: Vec<(PathBuf, Vec<&str>)> = files
        .into_iter()
        .map(|file| {
            let phrases = found(&said_in(&read(&file)));
            (file, phrases)
        })
        .filter(|(_, phrases)| !phrases.is_empty())
        .collect();
    assert!(all.is_empty(), "{all:#?}");
}

#[test]
fn the_schemas_and_the_manual_are_plain() {
    let mut files = files_below(&root("docs/schema"), &["json"]);
    files.extend(files_below(&root("man"), &["in"]));
    files.push(root("config/policy.toml"));
    assert!(files.len() >= 9, "{files:#?}");
    for file in files {
        assert_eq!(found(&read(&file)), [""; 0], "{}", file.display());
    }
}

#[test]
fn a_phrase_is_found_whole_and_across_lines() {
    for (text, phrases) in [
        ("help: mend it", &["mend"][..]),
        ("we recommend an amendment", &[]),
        ("bytes\n  won\n  back", &["won back"]),
        (
            "on hold: looked at, not touched",
            &["looked at, not touched"],
        ),
        ("it stands, and bears a name", &["bears", "stands"]),
    ] {
        assert_eq!(found(text), phrases, "{text}");
    }
}
