//! The documents against the program and against each other: what they tell people to type is what
//! it takes, and what is cited is there.

#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Parser;
use clap::error::ErrorKind;
use tagkeeper::cli::Cli;

const SOUND: [ErrorKind; 3] = [
    ErrorKind::DisplayHelp,
    ErrorKind::DisplayVersion,
    ErrorKind::MissingRequiredArgument,
];
const SCRIPT: &str = include_str!("../scripts/operating-examples");
const OPERATING: &str = include_str!("../docs/operating.md");

fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = fs::read_dir(root.join("docs")).unwrap();
    let docs = docs.map(|entry| entry.unwrap().path());
    let mut documents: Vec<PathBuf> = docs
        .filter(|path| path.extension().is_some_and(|e| e == "md"))
        .collect();
    documents.push(root.join("README.md"));
    documents
}

/// What is to be typed: lines of a block, after the prompt if there is one, and what stands in
/// backquotes. A line ends where the shell takes over, or a comment begins.
fn calls(text: &str) -> Vec<String> {
    let mut calls = Vec::new();
    let mut in_block = false;
    for line in text.lines() {
        if line.starts_with("```") {
            in_block = !in_block;
        } else if in_block {
            calls.push(line.strip_prefix("$ ").unwrap_or(line));
        } else {
            calls.extend(line.split('`').skip(1).step_by(2));
        }
    }
    let typed = calls
        .into_iter()
        .filter_map(|call| call.split(['#', '>', '|', ';']).next())
        .map(|call| call.trim_end().replace("...", ""));
    typed
        .filter(|call| call.starts_with("tagkeeper "))
        .collect()
}

#[test]
fn every_command_in_the_documents_is_one_that_tagkeeper_takes() {
    let mut wrong = Vec::new();
    let mut found = 0;
    for document in documents() {
        for call in calls(&fs::read_to_string(&document).unwrap()) {
            found += 1;
            // A command may be spoken of without the workload that it would take.
            let refused = Cli::try_parse_from(call.split_whitespace()).err();
            if let Some(error) = refused.filter(|error| !SOUND.contains(&error.kind())) {
                wrong.push(format!("{}: {call}: {error}", document.display()));
            }
        }
    }
    assert!(found > 30, "only {found} commands were found");
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn every_output_of_operating_md_is_one_that_the_script_makes_and_is_there() {
    let made: BTreeSet<&str> = SCRIPT
        .lines()
        .filter_map(|line| line.strip_prefix("show "))
        .collect();
    let mut shown = BTreeSet::new();
    for block in OPERATING.split("<!-- shown: ").skip(1) {
        let (name, rest) = block.split_once(" -->\n```console\n").unwrap();
        assert!(
            rest.starts_with("$ "),
            "'{name}' is empty: run `make operating`"
        );
        shown.insert(name);
    }
    assert_eq!(shown, made);
}

/// What people read: comments cite the design, and documents link to each other.
const TREE: [&str; 20] = [
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.toml",
    "README.md",
    "SECURITY.md",
    "bench",
    "benches",
    "clippy.toml",
    "config",
    "core",
    "demo",
    "docs",
    "fuzz/fuzz_targets",
    "hooks",
    "man",
    "ready",
    "scripts",
    "src",
    "tests",
];
const DESIGN: &str = include_str!("../docs/design.md");

/// The texts below a path, with their names.
fn texts(path: &Path) -> Vec<(PathBuf, String)> {
    if path.is_dir() {
        let is_built = path.ends_with("target");
        let entries = fs::read_dir(path).unwrap().filter(|_| !is_built);
        let paths = entries.map(|entry| entry.unwrap().path());
        return paths.flat_map(|path| texts(&path)).collect();
    }
    let text = fs::read(path).ok().and_then(|b| String::from_utf8(b).ok());
    text.map(|text| (path.to_owned(), text))
        .into_iter()
        .collect()
}

fn tree() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let names = TREE.iter().chain(&["units"]);
    let found: Vec<_> = names.map(|name| texts(&root.join(name))).collect();
    assert!(found.iter().all(|texts| !texts.is_empty()));
    found.into_iter().flatten().collect()
}

/// The text without its line breaks and the marks of comments, so that a citation may go over two
/// lines.
fn flowing(text: &str) -> String {
    let lines = text.lines().map(str::trim_start);
    let bare = lines.map(|line| line.trim_start_matches(['/', '!', '#', '*', '>']).trim());
    bare.collect::<Vec<_>>().join(" ")
}

/// The sections and requirements of the design that a text cites: `4.5`, `8`, `R5`.
fn citations(text: &str) -> Vec<String> {
    let text = flowing(text).replace("Design ", "design ");
    let mut cited = Vec::new();
    for after in text.split("design ").skip(1) {
        let after = after.strip_prefix("section ").unwrap_or(after);
        // "design 4.3, 4.4" cites two of them.
        for word in after.split(' ') {
            let name = word.trim_end_matches([',', '.', ';', ':', ')', '`', '*', '"']);
            let number = name.strip_prefix('R').unwrap_or(name);
            let is_number = number.starts_with(|c: char| c.is_ascii_digit())
                && number.chars().all(|c| c.is_ascii_digit() || c == '.');
            if !is_number {
                break;
            }
            cited.push(name.to_owned());
            if !word.ends_with(',') {
                break;
            }
        }
    }
    cited
}

fn sections_of_the_design() -> BTreeSet<String> {
    let headings = DESIGN.lines().filter(|line| line.starts_with("##"));
    let numbers =
        headings.filter_map(|line| line.trim_start_matches('#').split_whitespace().next());
    let sections = numbers.map(|number| number.trim_end_matches('.').to_owned());
    let requirements = DESIGN.lines().filter_map(|line| line.strip_prefix("| **"));
    let names = requirements.filter_map(|line| line.split("**").next());
    sections.chain(names.map(str::to_owned)).collect()
}

#[test]
fn citations_are_found_as_they_are_written() {
    for (text, expected) in [
        ("(design 4.5).", &["4.5"][..]),
        ("/// as said (design\n/// section 8).", &["8"]),
        ("# Design 4.6 asks, design R5 too", &["4.6", "R5"]),
        ("design 4.3, 4.4: both", &["4.3", "4.4"]),
        ("design 4.5, row by row", &["4.5"]),
        ("the design of 2026", &[]),
    ] {
        assert_eq!(citations(text), expected, "{text}");
    }
}

#[test]
fn every_section_of_the_design_that_is_cited_is_there() {
    let sections = sections_of_the_design();
    for there in ["1", "4.1", "4.7", "5.2", "9", "R1", "R10"] {
        assert!(sections.contains(there), "{there} is not in {sections:?}");
    }
    let mut found = 0;
    let mut wrong = Vec::new();
    for (path, text) in tree() {
        for cited in citations(&text) {
            found += 1;
            if !sections.contains(&cited) {
                wrong.push(format!("{}: design {cited}", path.display()));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(found > 80, "only {found} citations were found");
}

/// How many links to files the pages among these texts have, and those that lead nowhere.
fn links(texts: Vec<(PathBuf, String)>) -> (usize, Vec<String>) {
    let mut found = 0;
    let mut wrong = Vec::new();
    let is_page = |(path, _): &(PathBuf, String)| path.extension().is_some_and(|e| e == "md");
    for (path, text) in texts.into_iter().filter(is_page) {
        for link in text.split("](").skip(1) {
            let target = link.split([')', ' ', '#']).next().unwrap();
            if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            found += 1;
            if !path.parent().unwrap().join(target).exists() {
                wrong.push(format!("{}: {target}", path.display()));
            }
        }
    }
    (found, wrong)
}

#[test]
fn every_link_between_the_documents_leads_somewhere() {
    let (found, wrong) = links(tree());
    assert_eq!(wrong, Vec::<String>::new());
    assert!(found > 30, "only {found} links were found");
}

/// As `make install` puts them there; the packages hold the same files (tests/packages.rs).
#[test]
fn every_link_of_an_installed_page_leads_to_an_installed_file() {
    let root = tempfile::tempdir().unwrap();
    let made = Command::new("make")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("MAKEFLAGS")
        .env_remove("MAKELEVEL")
        .arg("install")
        .arg(format!("DESTDIR={}", root.path().display()))
        .arg(format!("binary={}", env!("CARGO_BIN_EXE_tagkeeper")))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{said}");
    let doc = root.path().join("usr/share/doc/tagkeeper");
    let installed = texts(&doc);
    // Debian has it under another name.
    fs::remove_file(doc.join("CHANGELOG.md")).unwrap();
    let (found, wrong) = links(installed);
    assert_eq!(wrong, Vec::<String>::new());
    assert!(found > 30, "only {found} links were found");
}

/// CONTRIBUTING.md: comments wrap at 100 columns. A table has its rows whole.
#[test]
fn comments_wrap_at_100_columns() {
    let is_long = |line: &&str| {
        let comment = line.trim_start();
        let is_row = comment.trim_start_matches(['/', '!', ' ']).starts_with('|');
        comment.starts_with("//") && !is_row && line.chars().count() > 100
    };
    let sources = tree();
    let sources = sources
        .iter()
        .filter(|(path, _)| path.extension().is_some_and(|e| e == "rs"));
    let long: Vec<String> = sources
        .flat_map(|(path, text)| {
            let lines = text.lines().filter(is_long);
            lines.map(move |line| format!("{}: {line}", path.display()))
        })
        .collect();
    assert_eq!(long, [""; 0]);
}
