//! `plan` and `status`: observe, print, and move nothing.

use std::collections::BTreeSet;

use tagkeeper_core::model::{
    Action, ImageId, ImageReport, Now, Observation, Plan, State, WorkloadName,
};
use tagkeeper_core::planner::{self, Decision, Rounds};

use super::{
    Clocks, CommandError, PASS_MS, about_file, connect, error_of_load, known_workload, load_policy,
    operators_file, print, state_dir, terminal, timer,
};
use crate::cli::{Format, Options};
use crate::deadline::Deadline;
use crate::exit::Exit;
use crate::last_pass;
use crate::policy_file::Settings;
use crate::ready;
use crate::reconcile::{self, ReadyAnswers};
use crate::report::{self, LastPassView, Page, Preface};
use crate::store::{LoadError, StateDir};

/// Which of the two it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    Plan,
    Status,
}

/// What is to be shown.
#[derive(Clone, Copy)]
pub(super) struct Screen<'a> {
    view: View,
    /// The one workload that it is narrowed to.
    workload: Option<&'a WorkloadName>,
    /// The details of each workload, and not only one line.
    details: bool,
    /// Also images that nothing happens to.
    all: bool,
}

impl<'a> Screen<'a> {
    pub(super) fn new(view: View, workload: Option<&'a WorkloadName>, details: bool) -> Self {
        Self {
            view,
            workload,
            details,
            all: false,
        }
    }

    pub(super) fn with_all(self, all: bool) -> Self {
        Self { all, ..self }
    }
}

/// What one look found.
pub(super) struct Looked {
    settings: Settings,
    now: Now,
    state: State,
    observed: Observation,
    /// The one workload that is shown.
    only: Option<WorkloadName>,
    preface: Preface,
    /// Why the state that there is could not be read.
    corrupt: Option<anyhow::Error>,
}

/// Why there was nothing to look at.
pub(super) struct Unseen {
    pub(super) failed: CommandError,
    /// What is known all the same; none where the command was wrong.
    preface: Option<Box<Preface>>,
}

impl From<CommandError> for Unseen {
    fn from(failed: CommandError) -> Self {
        Self {
            failed,
            preface: None,
        }
    }
}

impl From<Unseen> for CommandError {
    fn from(unseen: Unseen) -> Self {
        unseen.failed
    }
}

impl Unseen {
    fn new(failed: CommandError, preface: &Preface) -> Self {
        let mut preface = preface.clone();
        // What is about to be printed as the error of this look need not be read twice.
        let now = report::log::in_words(&failed.error);
        if let Some(LastPassView { pass, .. }) = &mut preface.last_pass {
            pass.error = pass.error.take().filter(|error| !error.ends_with(&now));
        }
        Self {
            failed,
            preface: Some(Box::new(preface)),
        }
    }

    /// When the last pass ended, how, and whether the timer is active: `status` says so without the
    /// engine, too.
    pub(super) fn last_pass(&self, screen: &Screen<'_>, page: Page) -> String {
        let shown = self.preface.as_ref();
        let shown = shown.filter(|_| screen.view == View::Status);
        shown.map_or_else(String::new, |preface| {
            report::text::last_pass(preface, page)
        })
    }
}

pub(super) fn show(
    options: &Options,
    clocks: &Clocks,
    screen: &Screen<'_>,
) -> Result<Exit, CommandError> {
    let page = terminal::page(options, &std::io::stdout());
    let looked = match look(options, clocks, screen) {
        Ok(looked) => looked,
        Err(unseen) => {
            if options.format == Format::Text {
                print(&unseen.last_pass(screen, page))?;
            }
            return Err(unseen.failed);
        }
    };
    looked.log_corrupt();
    print(&looked.render(screen, options.format, page))?;
    Ok(looked.exit())
}

/// Looks once: reads policy and state, observes the engine. Writes nothing and prints nothing.
pub(super) fn look(
    options: &Options,
    clocks: &Clocks,
    screen: &Screen<'_>,
) -> Result<Looked, Unseen> {
    // Before the state: a pass may save a later clock meanwhile, and that is no reboot.
    let reading = clocks();
    let deadline = Deadline::after(clocks, PASS_MS);
    let mut preface = Preface::new(operators_file(options));
    preface.wall = Some(reading.wall.clone());
    let dir = state_dir(options);
    preface.last_pass = last_pass::read(dir.path()).map(|pass| LastPassView {
        seconds_ago: reading.monotonic_ms.saturating_sub(pass.monotonic_ms) / 1000,
        pass,
    });
    if screen.view == View::Status && super::is_default_state_dir(dir.path()) {
        preface.timer = timer::state(deadline);
    }
    let settings = load_policy(options).map_err(|failed| Unseen::new(failed, &preface))?;
    let only = screen
        .workload
        .map(|name| known_workload(settings.policy.workloads.keys(), name))
        .transpose()?;
    let (state, corrupt) =
        load_state(options, &dir, &mut preface).map_err(|failed| Unseen::new(failed, &preface))?;
    let now = state.clock.at_most(&reading);
    let observed = observe(options, &settings, &state, &now, screen.view, deadline)
        .map_err(|failed| Unseen::new(failed, &preface))?;
    Ok(Looked {
        settings,
        now,
        state,
        observed,
        only,
        preface,
        corrupt,
    })
}

/// The state, or a fresh one where there is none or it is corrupt, with the error; notes what a
/// person should know of it.
fn load_state(
    options: &Options,
    dir: &StateDir,
    preface: &mut Preface,
) -> Result<(State, Option<anyhow::Error>), CommandError> {
    match dir.load() {
        Ok(Some(state)) => Ok((state, None)),
        Ok(None) => {
            if let Some(missing) = super::missing_state_dir(options, dir) {
                let note = format!(
                    "{missing}, so this is what a fresh start would do; is --state-dir right?"
                );
                preface.notes.push(note);
            }
            Ok((State::default(), None))
        }
        Err(error @ LoadError::Corrupt { .. }) => {
            let error = about_file(dir, error);
            preface.notes.push(format!(
                "{error:#}; this is what a fresh start would do, and the next pass sets the file aside"
            ));
            let state = dir.load_rejections();
            Ok((state.map_err(|e| error_of_load(dir, e))?, Some(error)))
        }
        Err(error) => Err(error_of_load(dir, error)),
    }
}

fn observe(
    options: &Options,
    settings: &Settings,
    state: &State,
    now: &Now,
    view: View,
    deadline: Deadline<'_>,
) -> Result<Observation, CommandError> {
    let mut engine = connect(options, &settings.engine, deadline)?;
    let mut commands = ready::Commands::new(deadline);
    let mut ask = |queries: &[_]| commands.ask_all(&settings.policy, queries);
    let mut answers = ReadyAnswers::new(&mut ask);
    // `ready` commands are for passes and for what shows the next pass; `status` runs none (design
    // 4.3).
    let answers = (view == View::Plan).then_some(&mut answers);
    reconcile::observe_for(&mut engine, &settings.policy, state, now, answers)
        .map_err(|error| CommandError::new(Exit::Unavailable, error))
}

/// The rounds that follow the first one, as they are printed.
pub(super) type LaterRounds = Vec<Vec<(WorkloadName, Action)>>;

impl Looked {
    /// Says why the state that there is could not be read.
    pub(super) fn log_corrupt(&self) {
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

    /// What is known of each image: the history of the state, the verdicts of the next decision.
    pub(super) fn image_reports(&self) -> Vec<ImageReport> {
        let decision = planner::decide(&self.settings.policy, &self.state, &self.observed);
        planner::image_reports(&self.settings.policy, &decision, &self.now)
    }

    pub(super) fn preface(&self) -> &Preface {
        &self.preface
    }

    fn planned(&self) -> (Plan, LaterRounds, BTreeSet<ImageId>) {
        let Rounds {
            first: Decision { mut plan, .. },
            later,
            leaving,
        } = planner::rounds(&self.settings.policy, &self.state, &self.observed);
        self.narrow(&mut plan);
        let is_shown = |name: &WorkloadName| self.only.as_ref().is_none_or(|only| only == name);
        let later = later.into_iter().map(|round| {
            let shown = round.actions.into_iter().filter(|(name, _)| is_shown(name));
            shown.collect::<Vec<_>>()
        });
        let later = later.filter(|round| !round.is_empty()).collect();
        (plan, later, leaving)
    }

    fn status(&self) -> Plan {
        let mut plan = planner::status(&self.settings.policy, &self.state, &self.observed);
        self.narrow(&mut plan);
        plan
    }

    /// The decision is the whole one, as a pass makes it; less of it is shown.
    fn narrow(&self, plan: &mut Plan) {
        plan.sort_by_names();
        if let Some(only) = &self.only {
            plan.workloads.retain(|name, _| name == only);
            plan.departed.clear();
        }
    }

    pub(super) fn render(&self, screen: &Screen<'_>, format: Format, page: Page) -> String {
        let preface = &self.preface;
        match (screen.view, format) {
            (View::Plan, Format::Text) => {
                let (plan, later, leaving) = self.planned();
                report::text::plan(&plan, &later, &leaving, preface, page)
            }
            (View::Plan, Format::Json) => {
                let (plan, later, _) = self.planned();
                report::json::plan(&plan, &later, preface)
            }
            (View::Status, Format::Text) => {
                let shown = report::text::Shown {
                    details: screen.details,
                    all: screen.all,
                };
                report::text::status(&self.status(), preface, shown, page)
            }
            (View::Status, Format::Json) => report::json::status(&self.status(), preface),
        }
    }
}
