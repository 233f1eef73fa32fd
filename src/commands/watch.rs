//! `status --watch`: the same look again each second, drawn over the last one.
//!
//! It ends by Ctrl-C, which needs no handler: nothing of the terminal is changed that would have to
//! be put back. Each look is whole, with policy, state and clocks read anew; one that fails is
//! shown, and the next second is another.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::anyhow;
use unicode_width::UnicodeWidthChar;

use super::show::{Screen, look};
use super::{Clocks, CommandError, print, terminal};
use crate::cli::{Format, Options};
use crate::exit::Exit;
use crate::report;

/// From the end of one look to the beginning of the next.
const PAUSE: Duration = Duration::from_secs(1);
const HOME: &str = "\x1b[H";
const CLEAR_REST_OF_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";

/// Never returns but by an error: that of a terminal that is gone, or of wrong usage.
pub(super) fn watch(
    options: &Options,
    clocks: &Clocks,
    screen: &Screen<'_>,
) -> Result<Exit, CommandError> {
    let refusal = if options.format == Format::Json {
        Some(
            "--watch is for people; programs run `tagkeeper status --format json` as often as they like",
        )
    } else if std::io::stdout().is_terminal() {
        None
    } else {
        Some("--watch needs a terminal, and standard output is not one; leave --watch out")
    };
    if let Some(refusal) = refusal {
        return Err(CommandError::new(Exit::Usage, anyhow!(refusal)));
    }
    loop {
        let frame = frame(options, clocks, screen)?;
        let (rows, columns) = terminal::size();
        print(&over_the_last(&frame, rows, columns))?;
        std::thread::sleep(PAUSE);
    }
}

fn frame(options: &Options, clocks: &Clocks, screen: &Screen<'_>) -> Result<String, CommandError> {
    let page = terminal::page(options, &std::io::stdout());
    let shown = match look(options, clocks, screen) {
        Ok(looked) => looked.render(screen, Format::Text, page),
        Err(unseen) if unseen.failed.exit == Exit::Usage => return Err(unseen.failed),
        Err(unseen) => format!(
            "{}error: {}\n",
            unseen.last_pass(screen, page),
            report::text::cleaned(&report::log::in_words(&unseen.failed.error))
        ),
    };
    Ok(format!(
        "{}, refreshed every second until Ctrl-C\n\n{shown}",
        clocks().wall
    ))
}

/// A frame in place of the last one. What does not fit the terminal is left out, or it would
/// scroll; the last row then says how much that is.
fn over_the_last(frame: &str, rows: usize, columns: usize) -> String {
    let lines: Vec<&str> = frame.lines().collect();
    let usable = rows.saturating_sub(1);
    let all: usize = lines.iter().map(|line| rows_of(line, columns)).sum();
    // One row is for saying what was cut.
    let mut left = if all > usable {
        usable.saturating_sub(1)
    } else {
        usable
    };
    let mut out = HOME.to_owned();
    let mut shown = 0;
    for line in &lines {
        let taken = rows_of(line, columns);
        if taken > left {
            break;
        }
        left -= taken;
        shown += 1;
        push_line(&mut out, line);
    }
    let cut = lines.len() - shown;
    if cut > 0 && usable > 0 {
        let lines = if cut == 1 { "line" } else { "lines" };
        let note = format!("({cut} more {lines}; make the window taller, or name a workload)");
        let note: String = note.chars().take(columns.max(1)).collect();
        push_line(&mut out, &note);
    }
    out.push_str(CLEAR_BELOW);
    out
}

fn push_line(out: &mut String, line: &str) {
    out.push_str(line);
    out.push_str(CLEAR_REST_OF_LINE);
    out.push('\n');
}

/// Rows of the terminal that a line takes; colours take no columns.
fn rows_of(line: &str, columns: usize) -> usize {
    let mut is_escape = false;
    let mut taken = 0;
    for c in line.chars() {
        match c {
            '\x1b' => is_escape = true,
            'm' if is_escape => is_escape = false,
            _ if is_escape => {}
            c => taken += c.width().unwrap_or(0),
        }
    }
    taken.div_ceil(columns.max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_drawn_over_the_last_one_and_says_what_was_cut() {
        let long = "x".repeat(81);
        let cut = |lines: usize| {
            let s = if lines == 1 { "" } else { "s" };
            format!("({lines} more line{s}; make the window taller, or name a workload)\x1b[K\n")
        };
        for (frame, rows, shown) in [
            ("a\nb\n", 3, "\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J".to_owned()),
            ("a\nb\n", 2, format!("\x1b[H{}\x1b[J", cut(2))),
            ("a\nb\nc\n", 3, format!("\x1b[Ha\x1b[K\n{}\x1b[J", cut(2))),
            (
                "a\n\nb\n",
                4,
                "\x1b[Ha\x1b[K\n\x1b[K\nb\x1b[K\n\x1b[J".to_owned(),
            ),
            (&long, 3, format!("\x1b[H{long}\x1b[K\n\x1b[J")),
            (&long, 2, format!("\x1b[H{}\x1b[J", cut(1))),
            ("a\n", 0, "\x1b[H\x1b[J".to_owned()),
        ] {
            assert_eq!(
                over_the_last(frame, rows, 80),
                shown,
                "{frame} in {rows} rows"
            );
        }
    }

    #[test]
    fn colours_take_no_room() {
        let full = format!("\x1b[31m{}\x1b[0m", "m".repeat(80));
        assert_eq!(rows_of(&full, 80), 1);
        assert_eq!(rows_of(&format!("{full}m"), 80), 2);
        assert_eq!(rows_of("語語", 3), 2);
    }
}
