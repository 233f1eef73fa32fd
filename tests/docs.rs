//! The documents against the program: what they tell people to type is what it takes.

#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

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

/// What is to be typed: lines of a block, after the prompt if there is one, and what stands in backquotes. A line ends where
/// the shell takes over, or a comment begins.
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
            if let Err(error) = Cli::try_parse_from(call.split_whitespace())
                && !SOUND.contains(&error.kind())
            {
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
