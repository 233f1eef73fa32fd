//! `plan` and `status`: look, print, and move nothing.

use super::{Stop, about_file, connect, load_policy, policy_file, print, state_dir, stop_of_load};
use crate::cli::{Format, Options};
use crate::decide::Decision;
use crate::exit::Exit;
use crate::pass::{self, ReadyAsker};
use crate::report::{self, Preface};
use crate::state::{LoadError, Loaded, Reading, State};

/// What `plan` and `status` have in common: they look, print, and move nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    Plan,
    Status,
}

pub(super) fn show(options: &Options, reading: &Reading, view: View) -> Result<Exit, Stop> {
    let policy = load_policy(options)?;
    let mut preface = Preface::new(policy_file(options));
    let dir = state_dir(options);
    let state = match dir.load() {
        Ok(Loaded::State(state)) => state,
        Ok(Loaded::Absent) => State::fresh(),
        Err(error @ LoadError::Corrupt { .. }) => {
            let error = about_file(&dir, error);
            preface.notes.push(format!(
                "{error:#}; this is what a fresh start would do, and the next pass sets the file aside"
            ));
            report::log::log_error(None, &error);
            State::fresh()
        }
        Err(error) => return Err(stop_of_load(&dir, error)),
    };
    let now = state.clock.advance(reading);
    let mut engine = connect(options, &policy)?;
    let mut run_ready = crate::ready::ask;
    let mut asker = ReadyAsker::new(&mut run_ready);
    // `ready` commands are for passes and for what shows the next pass; `status` runs none (design 4.3).
    let asker = (view == View::Plan).then_some(&mut asker);
    let decision = pass::look(&mut engine, &policy, &state, &now, asker)
        .map_err(|error| Stop::new(Exit::Unavailable, error))?;
    print(&render(&decision, &preface, view, options.format))?;
    Ok(if preface.notes.is_empty() {
        Exit::Done
    } else {
        Exit::Failed
    })
}

fn render(decision: &Decision, preface: &Preface, view: View, format: Format) -> String {
    let plan = &decision.plan;
    match (view, format) {
        (View::Plan, Format::Text) => report::text::plan(plan, preface),
        (View::Plan, Format::Json) => report::json::plan(plan, preface),
        (View::Status, Format::Text) => report::text::status(plan, preface),
        (View::Status, Format::Json) => report::json::status(plan, preface),
    }
}
