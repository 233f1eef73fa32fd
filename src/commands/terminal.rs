//! What the commands know of the terminal: whether there is one, its size, whether it is to have
//! colours, and what a person answers there.

use std::io::{BufRead, IsTerminal, Write};

use crate::cli::{Color, Options};
use crate::report::Page;

/// Rows and columns of a terminal that does not tell.
const DEFAULT_SIZE: (usize, usize) = (24, 80);

/// How a stream is to be written on.
pub(super) fn page(options: &Options, stream: &impl IsTerminal) -> Page {
    let colors = match options.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => stream.is_terminal() && wants_colors(|name| std::env::var(name).ok()),
    };
    let columns = if stream.is_terminal() {
        size().1
    } else {
        DEFAULT_SIZE.1
    };
    Page::new(colors, columns)
}

/// Whether standard error is to have colours.
pub(super) fn errors_have_colors(options: &Options) -> bool {
    page(options, &std::io::stderr()).colors
}

/// Whether there is a person to ask: what is asked is seen, and the answer can be typed. Standard
/// output may go elsewhere.
pub(super) fn is_interactive() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Shows something and asks a person about it. Only `y` or `yes` is a yes; the end of the input is
/// a no.
pub(super) fn asks(shown: &str, question: &str) -> std::io::Result<bool> {
    let mut stderr = std::io::stderr().lock();
    write!(stderr, "{shown}{question} [y/N] ")?;
    stderr.flush()?;
    let mut answer = String::new();
    if std::io::stdin().lock().read_line(&mut answer)? == 0 {
        // Nobody has ended the line.
        writeln!(stderr)?;
    }
    Ok(is_yes(&answer))
}

fn is_yes(answer: &str) -> bool {
    let answer = answer.trim();
    ["y", "yes"]
        .iter()
        .any(|yes| answer.eq_ignore_ascii_case(yes))
}

/// Whether the environment has nothing against colours: `NO_COLOR` (no-color.org: set, and not
/// empty), and a terminal that knows none.
fn wants_colors(variable: impl Fn(&str) -> Option<String>) -> bool {
    let refused = variable("NO_COLOR").is_some_and(|value| !value.is_empty());
    !refused && variable("TERM").is_some_and(|terminal| terminal != "dumb")
}

/// Rows and columns of the terminal that standard output is.
pub(super) fn size() -> (usize, usize) {
    let told = rustix::termios::tcgetwinsize(std::io::stdout());
    match told {
        Ok(size) if size.ws_row > 0 && size.ws_col > 0 => (size.ws_row.into(), size.ws_col.into()),
        _ => DEFAULT_SIZE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_a_yes() {
        for (answer, yes) in [
            ("y\n", true),
            ("Yes\r\n", true),
            (" Y ", true),
            ("", false),
            ("\n", false),
            ("n\n", false),
            ("yep\n", false),
            ("y y\n", false),
        ] {
            assert_eq!(is_yes(answer), yes, "{answer:?}");
        }
    }

    #[test]
    fn the_environment_may_refuse_colours() {
        for (no_color, term, wanted) in [
            (None, Some("xterm"), true),
            (Some(""), Some("linux"), true),
            (Some("1"), Some("xterm"), false),
            (None, Some("dumb"), false),
            (None, None, false),
        ] {
            let variable = |name: &str| match name {
                "NO_COLOR" => no_color.map(str::to_owned),
                "TERM" => term.map(str::to_owned),
                _ => None,
            };
            assert_eq!(wants_colors(variable), wanted, "{no_color:?} {term:?}");
        }
    }
}
