//! What the commands know of the terminal: whether there is one, its size, and whether it is to have colours.

use std::io::IsTerminal;

use crate::cli::{Color, Options};
use crate::report::Page;

/// Rows and columns of a terminal that does not tell.
const DEFAULT_SIZE: (usize, usize) = (24, 80);

/// What standard output is to be written on.
pub(super) fn page(options: &Options) -> Page {
    let colors = match options.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            std::io::stdout().is_terminal() && wants_colors(|name| std::env::var(name).ok())
        }
    };
    Page { colors }
}

/// Whether the environment has nothing against colours: `NO_COLOR` (no-color.org: set, and not empty), and a terminal
/// that knows none.
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
