//! The two man pages, from what the program itself has: its command line, its words, the table of
//! its policy's keys.
//!
//! The `.in` files hold what people wrote; a line `@NAME@` in them stands for what is made here. A
//! place that is left over, or a source that does not look as expected, is an error: a page is
//! whole, or it is not made.

use std::io::{self, Write};

use anyhow::{Context, Result, ensure};
use clap::{Command, CommandFactory};
use clap_mangen::Man;
use roff::{Roff, bold, roman};
use tagkeeper::cli::Cli;
use tagkeeper::report;

use crate::{policy as keys, words};

const PROGRAM: &str = include_str!("tagkeeper.8.in");
const POLICY: &str = include_str!("tagkeeper.toml.5.in");

/// tagkeeper(8).
pub(crate) fn program() -> Result<String> {
    let cli = Cli::command();
    let help = cli.get_after_help().context("the help has no end")?;
    let help = help.to_string();
    let man = || Man::new(cli.clone());
    let reasons = words::REASONS.map(|reason| {
        let word = report::words::reason_word(reason);
        let verdict = format!("{word} ({})", report::words::verdict(reason.verdict()));
        entry(&verdict, &words::of_reason(reason))
    });
    let events = words::EVENTS.map(|(event, meaning)| entry(event, meaning));
    fill(
        &(title("tagkeeper", 8, "System Manager\\*(Aqs Manual") + PROGRAM),
        &[
            ("NAME", body(|w| man().render_name_section(w))?),
            ("SYNOPSIS", body(|w| man().render_synopsis_section(w))?),
            (
                "DESCRIPTION",
                body(|w| man().render_description_section(w))?,
            ),
            ("COMMANDS", commands(&cli)?),
            ("OPTIONS", body(|w| man().render_options_section(w))?),
            ("REASONS", reasons.concat()),
            ("EXIT", list(&help, "Exit codes:", exit_code)?),
            ("EVENTS", format!(".RS\n{}.RE\n", events.concat())),
            ("EXAMPLES", list(&help, "Examples:", example)?),
        ],
    )
}

/// tagkeeper.toml(5).
pub(crate) fn policy() -> Result<String> {
    fill(
        &(title("tagkeeper.toml", 5, "File Formats Manual") + POLICY),
        &[("SECTIONS", keys::sections())],
    )
}

/// The first line of a page, and before it what the rest needs for its apostrophes. Without a date:
/// the same sources make the same page.
fn title(name: &str, section: u8, manual: &str) -> String {
    let preamble = Roff::new().render();
    let version = env!("CARGO_PKG_VERSION");
    format!("{preamble}.TH {name} {section} \"\" \"tagkeeper {version}\" \"{manual}\"\n")
}

fn rendered(render: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<String> {
    let mut text = Vec::new();
    render(&mut text)?;
    Ok(String::from_utf8(text)?)
}

/// A section without its heading, which the page has.
fn body(render: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<String> {
    let section = rendered(render)?;
    let heading = section.find(".SH ").context("a section has no heading")?;
    let (_, body) = section[heading..].split_once('\n').unwrap_or_default();
    ensure!(!body.contains("\n.SH "), "a section has a second heading");
    Ok(body.to_owned())
}

/// Each command, how it is called, and the arguments that are its own.
fn commands(cli: &Command) -> Result<String> {
    let mut text = String::new();
    for command in cli.get_subcommands().filter(|c| !c.is_hide_set()) {
        let call = format!("{} {}", cli.get_name(), command.get_name());
        let command = command.clone().bin_name(&call).disable_help_flag(true);
        let man = || Man::new(command.clone());
        text += ".SS ";
        text += &body(|w| man().render_synopsis_section(w))?;
        text += &body(|w| man().render_description_section(w))?;
        if command.get_arguments().any(|arg| !arg.is_hide_set()) {
            text += &body(|w| man().render_options_section(w))?;
        }
    }
    Ok(text)
}

/// The entries below a heading of the end of `--help`. A line that `read` makes nothing of goes on
/// with the one before.
fn list(help: &str, heading: &str, read: fn(&str) -> Option<(String, String)>) -> Result<String> {
    let mut lines = help.lines().skip_while(|line| *line != heading);
    let found = lines
        .next()
        .with_context(|| format!("the help has no '{heading}'"));
    found?;
    let mut entries: Vec<(String, String)> = Vec::new();
    for line in lines.take_while(|line| !line.is_empty()) {
        match (read(line), entries.last_mut()) {
            (Some(entry), _) => entries.push(entry),
            (None, Some((_, what))) => {
                what.push(' ');
                what.push_str(line.trim());
            }
            (None, None) => anyhow::bail!("'{line}' below '{heading}' cannot be read"),
        }
    }
    ensure!(!entries.is_empty(), "'{heading}' has no entries");
    Ok(entries
        .iter()
        .map(|(head, what)| entry(head, what))
        .collect())
}

fn exit_code(line: &str) -> Option<(String, String)> {
    let (code, meaning) = line.trim_start().split_once("  ")?;
    code.parse::<u8>().ok()?;
    Some((code.to_owned(), meaning.to_owned()))
}

fn example(line: &str) -> Option<(String, String)> {
    let (call, what) = line.split_once(" # ")?;
    Some((call.trim().to_owned(), what.trim().to_owned()))
}

fn entry(head: &str, what: &str) -> String {
    let mut roff = Roff::new();
    roff.control("TP", [])
        .text([bold(head)])
        .text([roman(what)]);
    roff.to_roff()
}

/// Puts each text where its name stands.
fn fill(template: &str, places: &[(&str, String)]) -> Result<String> {
    let mut page = template.to_owned();
    for (name, text) in places {
        let place = format!("\n@{name}@\n");
        ensure!(
            page.matches(&place).count() == 1,
            "@{name}@ stands in the page once"
        );
        page = page.replace(&place, &format!("\n{}\n", text.trim_end()));
    }
    let left_over = page.lines().find(|line| line.starts_with('@'));
    ensure!(left_over.is_none(), "nothing to put at {left_over:?}");
    Ok(page)
}
