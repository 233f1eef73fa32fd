//! Arguments: options, each with a value, up to the first word that is none, then words.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::str::FromStr;

/// What was typed.
#[derive(Debug, Default)]
pub(crate) struct Options {
    pub(crate) help: bool,
    values: BTreeMap<String, String>,
    /// What follows the options.
    pub(crate) words: Vec<String>,
}

/// The arguments make no sense: the operator's mistake, not the workload's.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

impl Options {
    /// Reads the arguments; `known` are the options that the command takes, without their dashes.
    pub(crate) fn parse(
        arguments: impl Iterator<Item = OsString>,
        known: &[&str],
    ) -> Result<Self, Usage> {
        let mut options = Self::default();
        let mut arguments = arguments.map(|argument| {
            argument
                .into_string()
                .map_err(|argument| Usage(format!("{} is not UTF-8", argument.to_string_lossy())))
        });
        while let Some(argument) = arguments.next() {
            let argument = argument?;
            if argument == "--" {
                break;
            }
            let Some(option) = argument.strip_prefix("--") else {
                options.words.push(argument);
                break;
            };
            if option == "help" {
                options.help = true;
                continue;
            }
            let (name, value) = match option.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (option, None),
            };
            if !known.contains(&name) {
                return Err(Usage(format!("unknown option '--{name}'")));
            }
            let value = match value {
                Some(value) => value,
                None => arguments
                    .next()
                    .unwrap_or_else(|| Err(Usage(format!("'--{name}' needs a value"))))?,
            };
            if options.values.insert(name.to_owned(), value).is_some() {
                return Err(Usage(format!("'--{name}' is there twice")));
            }
        }
        for argument in arguments {
            options.words.push(argument?);
        }
        Ok(options)
    }

    /// The value of an option as it was typed.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// The value of an option that is a number, a duration, an address.
    pub(crate) fn value<T: FromStr>(&self, name: &str, example: &str) -> Result<Option<T>, Usage> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        let problem = || Usage(format!("'--{name} {text}' makes no sense: try {example}"));
        text.parse().map(Some).map_err(|_| problem())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, Usage> {
        Options::parse(line.split(' ').map(OsString::from), &["host", "timeout"])
    }

    #[test]
    fn options_end_at_the_first_word_and_words_may_look_like_options() {
        let options = parse("--host 127.0.0.1 --timeout=5s run --host --help").unwrap();
        assert_eq!(options.text("host"), Some("127.0.0.1"));
        assert_eq!(options.text("timeout"), Some("5s"));
        assert_eq!(options.words, ["run", "--host", "--help"]);
        assert!(!options.help);
        assert_eq!(parse("-- --host").unwrap().words, ["--host"]);
        assert!(parse("--help").unwrap().help);
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (line, problem) in [
            ("--hast x", "unknown option '--hast'"),
            ("--host", "'--host' needs a value"),
            ("--host a --host=b", "'--host' is there twice"),
        ] {
            assert_eq!(parse(line).unwrap_err().0, problem, "{line}");
        }
        let options = parse("--host x").unwrap();
        let problem = options.value::<u16>("host", "8080").unwrap_err();
        assert_eq!(problem.0, "'--host x' makes no sense: try 8080");
    }
}
