//! `plan` and `status`: look, print, and move nothing.

use super::{
    Clocks, PASS_MS, Stop, about_file, connect, known_workload, load_policy, policy_file, print,
    state_dir, stop_of_load, terminal,
};
use crate::cli::{Format, Options};
use crate::deadline::Deadline;
use crate::decide::{self, Decision, Story};
use crate::exit::Exit;
use crate::pass::{self, ReadyAsker};
use crate::policy::{Policy, WorkloadName};
use crate::ready;
use crate::report::{self, Page, Preface};
use crate::state::{LoadError, Loaded, Now, State};

/// Which of the two it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    Plan,
    Status,
}

/// What is to be shown.
pub(super) struct Subject<'a> {
    view: View,
    /// The one workload that it is narrowed to.
    workload: Option<&'a WorkloadName>,
}

impl<'a> Subject<'a> {
    pub(super) fn new(view: View, workload: Option<&'a WorkloadName>) -> Self {
        Self { view, workload }
    }
}

/// What one look came to.
pub(super) struct Look {
    policy: Policy,
    now: Now,
    decision: Decision,
    preface: Preface,
    /// Why the state that there is could not be read.
    corrupt: Option<anyhow::Error>,
}

pub(super) fn show(
    options: &Options,
    clocks: &Clocks,
    subject: &Subject<'_>,
) -> Result<Exit, Stop> {
    let look = look(options, clocks, subject)?;
    look.tell_corrupt();
    print(&look.render(
        subject.view,
        options.format,
        terminal::page(options, &std::io::stdout()),
    ))?;
    Ok(look.exit())
}

/// Looks once: reads policy and state, observes the engine, decides. Writes nothing and prints nothing.
pub(super) fn look(
    options: &Options,
    clocks: &Clocks,
    subject: &Subject<'_>,
) -> Result<Look, Stop> {
    let policy = load_policy(options)?;
    let workload = subject
        .workload
        .map(|name| known_workload(policy.workloads.keys(), name))
        .transpose()?;
    // Before the state: what is saved meanwhile is no reboot.
    let reading = clocks();
    let deadline = Deadline::after(clocks, PASS_MS);
    let mut preface = Preface::new(policy_file(options));
    let dir = state_dir(options);
    let mut corrupt = None;
    let state = match dir.load() {
        Ok(Loaded::State(state)) => state,
        Ok(Loaded::Absent) => State::fresh(),
        Err(error @ LoadError::Corrupt { .. }) => {
            let error = about_file(&dir, error);
            preface.notes.push(format!(
                "{error:#}; this is what a fresh start would do, and the next pass sets the file aside"
            ));
            corrupt = Some(error);
            State::fresh()
        }
        Err(error) => return Err(stop_of_load(&dir, error)),
    };
    let now = state.clock.advance(&reading);
    let mut engine = connect(options, &policy.engine, deadline)?;
    let mut commands = ready::Commands::new(deadline);
    let mut run_ready = |questions: &[ready::Question<'_>]| commands.ask_all(questions);
    let mut asker = ReadyAsker::new(&mut run_ready);
    // `ready` commands are for passes and for what shows the next pass; `status` runs none (design 4.3).
    let asker = (subject.view == View::Plan).then_some(&mut asker);
    let mut decision = pass::look(&mut engine, &policy, &state, &now, asker)
        .map_err(|error| Stop::new(Exit::Unavailable, error))?;
    if let Some(only) = workload {
        // The decision is the whole one, as a pass makes it; less of it is shown.
        decision.plan.workloads.retain(|name, _| *name == only);
        decision.plan.departed.clear();
    }
    Ok(Look {
        policy,
        now,
        decision,
        preface,
        corrupt,
    })
}

impl Look {
    /// Says why the state that there is could not be read.
    pub(super) fn tell_corrupt(&self) {
        if let Some(error) = &self.corrupt {
            report::log::log_error(None, error);
        }
    }

    /// How a command ends that has shown what it saw.
    pub(super) fn exit(&self) -> Exit {
        if self.corrupt.is_some() {
            Exit::Failed
        } else {
            Exit::Done
        }
    }

    /// What is known of each image.
    pub(super) fn stories(&self) -> Vec<Story> {
        decide::stories(&self.policy, &self.decision, &self.now)
    }

    pub(super) fn render(&self, view: View, format: Format, page: Page) -> String {
        let (plan, preface) = (&self.decision.plan, &self.preface);
        match (view, format) {
            (View::Plan, Format::Text) => report::text::plan(plan, preface, page),
            (View::Plan, Format::Json) => report::json::plan(plan, preface),
            (View::Status, Format::Text) => report::text::status(plan, preface, page),
            (View::Status, Format::Json) => report::json::status(plan, preface),
        }
    }
}
