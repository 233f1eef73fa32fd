//! The man pages and the completions say what the program does: no option, command or key too few,
//! none too many, and nothing that `man` or a shell stumbles over.

#![cfg(test)]

#[path = "../man/pages.rs"]
mod pages;
#[path = "../man/policy.rs"]
mod policy;
#[path = "../man/words.rs"]
mod words;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use clap::CommandFactory;
use clap_complete::Shell;
use tagkeeper::cli::Cli;
use tagkeeper::policy_file::{Row, Section, Source, parse};

type Words = BTreeSet<String>;

/// The source of a page, below its title, as a person would type what is in it.
fn plain(page: &str) -> String {
    let (_, text) = page.split_once("\n.SH NAME\n").unwrap();
    let mut text = text.replace("\\-", "-");
    for mark in ["\\fB", "\\fI", "\\fR"] {
        text = text.replace(mark, "");
    }
    text
}

/// The words that begin so, without the punctuation around them.
fn words_with(prefix: &str, text: &str) -> Words {
    text.split(|c: char| c.is_whitespace() || "[]<>|`'\",()=".contains(c))
        .map(|word| word.trim_end_matches(['.', ':', ';']))
        .filter(|word| word.starts_with(prefix) && *word != prefix)
        .map(str::to_owned)
        .collect()
}

fn commands() -> Words {
    let cli = Cli::command();
    let shown = cli.get_subcommands().filter(|c| !c.is_hide_set());
    shown.map(|c| c.get_name().to_owned()).collect()
}

/// Every long option of any command.
fn options() -> Words {
    let mut cli = Cli::command();
    cli.build();
    let commands = std::iter::once(&cli).chain(cli.get_subcommands());
    commands
        .flat_map(clap::Command::get_arguments)
        .filter(|arg| !arg.is_hide_set())
        .filter_map(|arg| arg.get_long())
        .map(|long| format!("--{long}"))
        .collect()
}

#[test]
fn tagkeeper_8_names_the_options_that_there_are_and_no_others() {
    let page = plain(&pages::program().unwrap());
    assert_eq!(words_with("--", &page), options());
    let other = plain(&pages::policy().unwrap());
    let strange = &words_with("--", &other) - &options();
    assert_eq!(strange, Words::new(), "in tagkeeper.toml(5)");
}

#[test]
fn tagkeeper_8_names_the_commands_that_there_are_and_no_others() {
    let page = plain(&pages::program().unwrap());
    let headings = page
        .lines()
        .filter_map(|line| line.strip_prefix(".SS tagkeeper "));
    let described: Words = headings
        .map(|line| line.split(' ').next().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(described, commands());

    let strange = &calls(&page) - &commands();
    assert_eq!(strange, Words::new());
    let strange = &calls(&plain(&pages::policy().unwrap())) - &commands();
    assert_eq!(strange, Words::new(), "in tagkeeper.toml(5)");
}

/// What follows the program's name where it is called: in bold, in quotes, as an example.
fn calls(page: &str) -> Words {
    let openings = [".B ", "`", "\"", ".TP\n"].map(|before| format!("{before}tagkeeper "));
    let found = openings.iter().flat_map(|call| page.split(call).skip(1));
    let words = found.filter_map(|rest| rest.split([' ', '`', '"', '\n']).next());
    let calls = words.filter(|word| !word.starts_with('-'));
    calls.map(str::to_owned).collect()
}

#[test]
fn tagkeeper_toml_5_names_the_keys_that_there_are_and_no_others() {
    let page = plain(&pages::policy().unwrap());
    let mut described = Vec::new();
    for section in page.split("\n.SH ") {
        let heading = section.strip_prefix('[');
        let Some((name, text)) = heading.and_then(|rest| rest.split_once("]\n")) else {
            continue;
        };
        let mut keys: Words = text
            .split(".TP\n")
            .skip(1)
            .filter_map(|entry| entry.split_once(" = "))
            .map(|(key, _)| key.to_owned())
            .collect();
        // The last paragraph of the workload: what else may be set there, and is explained above.
        if let Some((_, also)) = text.split_once("A workload may also set ") {
            let also = also.split_once(", as in").unwrap().0.replace(" and ", ", ");
            keys.extend(also.split(", ").map(str::to_owned));
        }
        let name = name.replace("telemetry", "NAME");
        let mut sections = Section::ALL.into_iter();
        let section = sections.find(|s| s.heading() == format!("[{name}]"));
        let rows = Row::of(section.unwrap());
        assert_eq!(
            keys,
            rows.map(|row| row.name.to_owned()).collect(),
            "[{name}]"
        );
        described.push(section.unwrap());
    }
    assert_eq!(described, Section::ALL);
}

#[test]
fn the_policies_that_tagkeeper_toml_5_shows_are_valid() {
    let page = plain(&pages::policy().unwrap());
    let examples: Vec<&str> = page
        .split("\n.EX\n")
        .skip(1)
        .map(|example| example.split("\n.EE").next().unwrap())
        .collect();
    assert_eq!(examples.len(), 4);
    let source = Source {
        label: "the page".to_owned(),
        text: examples.join("\n"),
    };
    parse(&[source]).unwrap();
}

fn ran(command: &mut Command) -> Output {
    let output = command.output();
    output.unwrap_or_else(|e| panic!("{command:?}: {e}; run `make test`"))
}

fn said(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", output.status);
    assert_eq!(stderr, "");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn man_shows_the_pages_without_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    for (name, page, told) in [
        (
            "tagkeeper.8",
            pages::program().unwrap(),
            "<WORKLOAD> <VERSION>",
        ),
        (
            "tagkeeper.toml.5",
            pages::policy().unwrap(),
            "soak = \"10m\"",
        ),
    ] {
        let file = dir.path().join(name);
        fs::write(&file, page).unwrap();
        let mut man = Command::new("man");
        man.args(["--local-file", "--warnings"]).arg(&file);
        man.envs([
            ("LC_ALL", "C.UTF-8"),
            ("MANWIDTH", "80"),
            ("MANPAGER", "cat"),
        ]);
        let shown = said(&ran(&mut man));
        assert!(shown.contains(told), "'{told}' is not in\n{shown}");
        let mut words = shown.split_whitespace();
        let place = words.find(|w| w.len() > 2 && w.starts_with('@') && w.ends_with('@'));
        assert_eq!(place, None, "a place was left over in\n{shown}");
    }
}

/// A completion file, written where the shell looks for it.
fn completion(shell: Shell, dir: &Path) -> String {
    let file = clap_complete::generate_to(shell, &mut Cli::command(), "tagkeeper", dir).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn bash_and_fish_complete_the_commands_and_zsh_takes_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let bash = completion(Shell::Bash, dir.path());
    let script = r#"source "$1"; COMP_WORDS=(tagkeeper ''); COMP_CWORD=1
        _tagkeeper tagkeeper '' tagkeeper; printf '%s\n' "${COMPREPLY[@]}""#;
    let bash = said(&ran(
        Command::new("bash").args(["-c", script, "bash", &bash])
    ));
    let fish = completion(Shell::Fish, dir.path());
    let script = format!("source '{fish}'; complete --do-complete 'tagkeeper '");
    let fish = said(&ran(Command::new("fish").args([
        "--no-config",
        "-c",
        &script,
    ])));
    for (shell, offered) in [("bash", bash), ("fish", fish)] {
        let offered: Words = words_with("", &offered);
        for command in commands() {
            assert!(
                offered.contains(&command),
                "{shell}: {command} is not in {offered:?}"
            );
        }
    }
    let zsh = completion(Shell::Zsh, dir.path());
    said(&ran(Command::new("zsh").args(["-n", &zsh])));
}

/// The words in the source of `words::event_word`, and the outcomes of an upgrade.
#[test]
fn every_event_is_explained() {
    let source = include_str!("../src/report/words.rs");
    let (_, rest) = source.split_once("pub fn event_word(").unwrap();
    let (body, _) = rest.split_once("\n}\n").unwrap();
    let said = body.split('"').skip(1).step_by(2).map(str::to_owned);
    let outcomes = ["failed", "withdrawn", "superseded"].map(str::to_owned);
    let said: Words = said.chain(outcomes).collect();
    let explained: Words = words::EVENTS.map(|(event, _)| event.to_owned()).into();
    assert_eq!(explained, said);
}
