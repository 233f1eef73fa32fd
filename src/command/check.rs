//! `check`: reads the policy and reports every error in it.

use super::{Stop, policy_file, print, read_policy};
use crate::cli::{Format, Options};
use crate::exit::Exit;
use crate::report::{self, Preface};

pub(super) fn check(options: &Options) -> Result<Exit, Stop> {
    let loaded = read_policy(options);
    match (&loaded, options.format) {
        (Ok(policy), Format::Text) => print(&report::text::check(
            policy,
            &Preface::new(policy_file(options)),
        ))?,
        (loaded, Format::Json) => print(&report::json::check(loaded.as_ref()))?,
        (Err(_), Format::Text) => {}
    }
    loaded
        .map(|_| Exit::Done)
        .map_err(|refused| Stop::new(Exit::Refused, refused))
}
