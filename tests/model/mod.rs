//! A model host that drives the real observe-decide-save-act code through random histories.
//!
//! [`host`] is the engine and the machine; [`step`] what may happen, [`events`] how it happens; [`seam`] puts the model
//! behind the program's traits, with faults; [`truth`] and [`serving`] know what is true without asking the program;
//! [`checks`], [`removals`], [`pins`] and [`saves`] hold every change against it, [`quiet`] what must be reached in the end.

pub(crate) mod checks;
pub(crate) mod events;
pub(crate) mod host;
pub(crate) mod names;
pub(crate) mod pins;
pub(crate) mod quiet;
mod regressions;
pub(crate) mod removals;
pub(crate) mod saves;
pub(crate) mod seam;
pub(crate) mod serving;
pub(crate) mod step;
pub(crate) mod truth;

use std::cell::RefCell;
use std::rc::Rc;

use tagkeeper::decide;
use tagkeeper::pass::{self, Pass, PassError, ReadyAsker};
use tagkeeper::policy::{EnginePolicy, Policy, Workload};
use tagkeeper::state::{Now, State};
use tagkeeper::world::Readiness;

use host::Host;
use names::{Names, VERSIONS, WORKLOADS, tag_of};
use seam::Seam;
use step::{Fault, Setting, Step};
use truth::Truth;

/// The host, the program's state, and the truth about both.
#[allow(
    clippy::struct_excessive_bools,
    reason = "independent facts about the pass that runs"
)]
pub(crate) struct Model {
    names: Rc<Names>,
    setting: Setting,
    host: Host,
    /// The policy as it is written now.
    policy: Rc<Policy>,
    /// The policy that the running pass has read.
    running: Rc<Policy>,
    entries: [Workload; WORKLOADS],
    present: [bool; WORKLOADS],
    /// Which build of each version the registry has.
    builds: [[u64; VERSIONS]; WORKLOADS],
    /// What the `ready` commands say.
    ready: [bool; WORKLOADS],
    /// What is on the disk of the program.
    saved: Option<State>,
    truth: Truth,
    /// Changes with everything but the time.
    stamp: u64,
    // Of the pass that runs.
    fault: Fault,
    calls: u64,
    saves: u64,
    killed: bool,
    changed: bool,
    interfered: bool,
    names_raced: bool,
    users_raced: bool,
    moved: [bool; WORKLOADS],
    rolling_back: Option<usize>,
    // Of the history.
    violation: Option<String>,
    passes: u64,
    traced: bool,
    log: Vec<String>,
}

/// What a history came to.
pub(crate) struct Told {
    /// Passes that were run.
    pub(crate) passes: u64,
    /// What went against the design.
    pub(crate) violation: Option<String>,
    /// What happened, if that was asked for.
    pub(crate) log: Vec<String>,
}

/// Plays a history on a host made to a setting.
pub(crate) fn play(names: &Rc<Names>, setting: Setting, steps: &[Step], traced: bool) -> Told {
    let model = RefCell::new(Model::new(names, setting, traced));
    for step in steps {
        take(&model, step);
        if model.borrow().violation.is_some() {
            break;
        }
    }
    if model.borrow().violation.is_none() {
        come_to_rest(&model);
    }
    let model = model.into_inner();
    Told {
        passes: model.passes,
        violation: model.violation,
        log: model.log,
    }
}

fn take(model: &RefCell<Model>, step: &Step) {
    if model.borrow().traced {
        let line = format!("{step:?}");
        model.borrow_mut().trace(line);
    }
    match step {
        Step::Passes(count) => {
            for _ in 0..*count {
                run_pass(model, Fault::None);
            }
        }
        Step::Disturbed(fault) => run_pass(model, fault.clone()),
        Step::Wait { minutes } => model.borrow_mut().host.wait(minutes * 60_000),
        Step::Event(event) => model.borrow_mut().happen(event),
        Step::RollBack { workload, fault } => roll_back(model, *workload, fault.clone()),
        Step::Accept { workload, version } => model.borrow_mut().accept(*workload, *version),
        Step::LoseState => model.borrow_mut().lose_state(),
    }
}

/// One pass, a minute after what was before.
fn run_pass(model: &RefCell<Model>, fault: Fault) {
    let (policy, state, now) = model.borrow_mut().begin(fault);
    let outcome = with_pass(model, &policy, &now, |pass| pass.run(state));
    let mut model = model.borrow_mut();
    match outcome {
        Ok(outcome) => model.ended_well(outcome.failed_actions),
        Err(error) => model.broke_off(&error),
    }
}

fn roll_back(model: &RefCell<Model>, workload: usize, fault: Fault) {
    if !model.borrow().present[workload] {
        return;
    }
    let (policy, state, now) = model.borrow_mut().begin(fault);
    let name = model.borrow().names.workloads[workload].clone();
    model.borrow_mut().rolling_back = Some(workload);
    let outcome = with_pass(model, &policy, &now, |pass| {
        pass::roll_back(pass, &state, &name)
    });
    let mut model = model.borrow_mut();
    match outcome {
        Ok(Ok(done)) => model.ended_well(done.failed_actions),
        Ok(Err(refusal)) => {
            if model.changed || model.saves > 0 {
                model.violated("a refused rollback changed something");
            }
            if model.traced {
                model.trace(format!("    {refusal}"));
            }
        }
        Err(error) => model.broke_off(&error),
    }
    model.rolling_back = None;
}

fn with_pass<T>(
    model: &RefCell<Model>,
    policy: &Policy,
    now: &Now,
    run: impl FnOnce(&mut Pass<'_, Seam<'_>, Seam<'_>, Seam<'_>>) -> T,
) -> T {
    let mut ask = |asked: &[tagkeeper::ready::Question<'_>]| {
        let answers = asked.iter();
        answers
            .map(|(_, inquiry)| Some(model.borrow().answer_ready(inquiry)))
            .collect()
    };
    let (mut engine, mut store, mut witness) = (Seam(model), Seam(model), Seam(model));
    run(&mut Pass {
        policy,
        now,
        engine: &mut engine,
        store: &mut store,
        witness: &mut witness,
        ready: ReadyAsker::new(&mut ask),
    })
}

fn come_to_rest(model: &RefCell<Model>) {
    if model.borrow().traced {
        model.borrow_mut().trace("quiet".to_owned());
    }
    model.borrow_mut().calm_down();
    let (soak_ms, grace_ms) = model.borrow().longest();
    for wait_ms in [0, 0, soak_ms, 0, 0, soak_ms, 0, grace_ms, 0, grace_ms, 0, 0] {
        model.borrow_mut().host.wait(wait_ms);
        run_pass(model, Fault::None);
    }
    model.borrow_mut().check_rest();
    run_pass(model, Fault::None);
    let mut model = model.borrow_mut();
    if model.calls > 1 || model.saves > 0 || model.changed {
        let (calls, saves) = (model.calls, model.saves);
        model.violated(format!(
            "at rest, a pass makes {calls} calls and {saves} saves"
        ));
    }
}

impl Model {
    fn new(names: &Rc<Names>, setting: Setting, traced: bool) -> Self {
        let entry = |workload: usize| {
            let mut entry = Workload::new(
                names.workloads[workload].as_str(),
                names.local[workload].clone(),
            );
            entry.soak_ms = setting.soak_minutes * 60_000;
            if setting.remotes {
                entry.remotes.push(names.remotes[workload][0].clone());
            }
            entry
        };
        let nothing = Rc::new(Policy {
            engine: EnginePolicy::default(),
            workloads: std::collections::BTreeMap::new(),
            ..Policy::default()
        });
        let mut model = Self {
            names: Rc::clone(names),
            setting,
            host: Host::new(setting.protects),
            policy: Rc::clone(&nothing),
            running: nothing,
            entries: [entry(0), entry(1)],
            present: [true; WORKLOADS],
            builds: [[0; VERSIONS]; WORKLOADS],
            ready: [true; WORKLOADS],
            saved: None,
            truth: Truth::default(),
            stamp: 0,
            fault: Fault::None,
            calls: 0,
            saves: 0,
            killed: false,
            changed: false,
            interfered: false,
            names_raced: false,
            users_raced: false,
            moved: [false; WORKLOADS],
            rolling_back: None,
            violation: None,
            passes: 0,
            traced,
            log: Vec::new(),
        };
        model.write_policy();
        if setting.installed {
            model.install(0, 0, true);
            model.start_local(0);
            model.install(1, 0, true);
        }
        model
    }

    pub(crate) fn trace(&mut self, line: String) {
        self.log.push(line);
    }

    /// The program starts: it reads the policy, its state, the time.
    fn begin(&mut self, fault: Fault) -> (Rc<Policy>, State, Now) {
        self.host.wait(60_000);
        self.passes += 1;
        self.fault = fault;
        self.calls = 0;
        self.saves = 0;
        self.killed = false;
        self.changed = false;
        self.interfered = false;
        self.names_raced = false;
        self.users_raced = false;
        if !Rc::ptr_eq(&self.running, &self.policy) {
            self.running = Rc::clone(&self.policy);
            self.stamp += 1;
        }
        self.truth.begin_pass();
        let state = self.saved.clone().unwrap_or_else(State::fresh);
        let now = state.clock.advance(&self.host.reading());
        (Rc::clone(&self.policy), state, now)
    }

    fn ended_well(&mut self, failed_actions: usize) {
        self.count_window();
        if self.killed {
            self.violated("a killed pass went on to its end");
        }
        if matches!(self.fault, Fault::None) && failed_actions > 0 {
            self.violated("an action failed and nothing was wrong");
        }
    }

    fn broke_off(&mut self, error: &PassError) {
        let (unobserved, error) = match error {
            PassError::Unobserved(error) => (true, error),
            PassError::Broken(error) => (false, error),
        };
        let text = format!("{error:#}");
        if self.traced {
            self.trace(format!("    broke off: {text}"));
        }
        if text.contains("come to rest") || matches!(self.fault, Fault::None | Fault::Refuse { .. })
        {
            self.violated(format!("a pass broke off: {text}"));
        }
        if unobserved && self.changed && !self.killed {
            self.violated("a pass that changed something says that it has not");
        }
        if self.killed {
            self.reload();
        }
    }

    /// A state that was saved is read again as it was.
    fn reload(&mut self) {
        let Some(saved) = &self.saved else { return };
        let text = serde_json::to_string(saved).unwrap_or_default();
        let read = serde_json::from_str::<State>(&text);
        if read.ok().as_ref() != Some(saved) {
            self.violated("the state does not survive being written and read");
        }
    }

    fn lose_state(&mut self) {
        self.saved = None;
        self.stamp += 1;
        self.truth.forget(self.host.uptime_ms);
    }

    fn accept(&mut self, workload: usize, version: usize) {
        let Some(state) = &self.saved else { return };
        let now = state.clock.advance(&self.host.reading());
        let known = self.known(workload);
        let any = known
            .and_then(|k| k.rejected.values().nth(version))
            .map(|rejected| rejected.version.clone());
        let version = any.unwrap_or_else(|| tagkeeper::image::Version::new(tag_of(version)));
        if let Some(accepted) =
            decide::accept(state, &now, &self.names.workloads[workload], &version)
        {
            self.saved = Some(accepted);
            self.stamp += 1;
        }
    }

    fn answer_ready(&self, inquiry: &decide::Inquiry) -> Readiness {
        let decide::Inquiry::AskReady { workload, .. } = inquiry else {
            return Readiness::Ready;
        };
        let ready = (0..WORKLOADS).any(|w| self.names.workloads[w] == *workload && self.ready[w]);
        if ready {
            Readiness::Ready
        } else {
            Readiness::NotReady("it says so".to_owned())
        }
    }
}
