//! Random hosts and random histories. What must hold of every decision is in [`crate::safety`]; the
//! model checks it in each round, so a property here is mostly a way to get somewhere.

use std::collections::BTreeSet;
use std::mem::take;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use tagkeeper_core::model::{
    ActionKind, ContainerState, Health, LocalFallback, Observation, TagPurpose,
};
use tagkeeper_core::planner::{
    Query, RollbackTarget, Rounds, accept, plan_as_saved, queries, rounds, status,
};

use crate::engine::DataDisk;
use crate::host::{Host, MINUTE_MS, describe, name, pattern, repository, telemetry};
use crate::rollback::{decided_for, roll_back_to};
use crate::safety::pin_name;

const DIGITS: [char; 5] = ['a', 'b', 'c', 'd', 'e'];
const NAMES: [&str; 15] = [
    "local:latest",
    "local:v1",
    "local:v2",
    "local:v3",
    "remote:v1",
    "remote:v2",
    "remote:v3",
    "remote:stable",
    "remote:latest",
    "mirror.example/docker-sonic-telemetry:v1",
    "docker-gnmi:latest",
    "docker-gnmi:v1",
    "registry.example:5000/docker-gnmi:v2",
    "elsewhere:v1",
    "elsewhere:latest",
];
const CONTAINERS: [&str; 6] = ["telemetry", "telemetry0", "gnmi", "k8s_1", "k8s_2", "debug"];
const STATES: [ContainerState; 6] = [
    ContainerState::Created,
    ContainerState::Paused,
    ContainerState::Restarting,
    ContainerState::Exited,
    ContainerState::Removing,
    ContainerState::Dead,
];
const CODES: [i64; 5] = [0, 1, 137, 143, 255];
const FRESH: [char; 7] = ['3', '4', '5', '6', '7', '8', '9'];
const FRESH_NAMES: [&str; 8] = [
    "remote:v7",
    "remote:v8",
    "remote:v9",
    "local:v2",
    "local:v9",
    "docker-gnmi:v8",
    "docker-gnmi:v9",
    "elsewhere:v9",
];
const THRESHOLDS: [Option<u8>; 5] = [None, Some(1), Some(50), Some(85), Some(99)];
const WAITS: [u64; 6] = [1, 2, 5, 9, 11, 30 * 60];

/// Something that happens to a host between two passes.
#[derive(Clone, Debug)]
enum Happening {
    Tag(char, &'static str),
    Pull(char, &'static str),
    Untag(&'static str),
    Lose(char),
    Run(&'static str, &'static str),
    RunByDigest(&'static str, char, &'static str),
    Shell(&'static str),
    OneOff(&'static str),
    Start(&'static str),
    State(&'static str, ContainerState),
    Exit(&'static str, i64),
    Remove(&'static str),
    Rename(&'static str),
    LoseImageOf(&'static str),
    Health(&'static str, bool),
    Ready(bool),
    Hold(bool),
    HoldSection(Option<u64>),
    Reject(Option<&'static str>),
    Fallbacks(usize),
    Keep(bool),
    DryRuns(bool),
    Mirror(bool),
    ManyLocals(bool),
    SecondWorkload(bool),
    Leave(bool),
    RollBack(bool),
    Accept(&'static str),
    Unmount,
    Mount,
    Reboot,
    Wait(u64),
    PassKilledAfter(usize),
    Slow(u64),
    RefuseTags(bool),
    Refuse(&'static str, bool),
    RefuseContainer(&'static str, bool),
    Label(char, &'static str),
    VersionLabel(bool),
    /// What else is on a disk of a thousand bytes; images have one byte each.
    Fill(u64),
    Measurable(bool),
    Pressure(Option<u8>),
    Pin(bool),
    /// A container of an image, by the name of the workload's pin on another (or the same), with
    /// the labels or without.
    Forge(&'static str, char, bool),
    /// All containers that do not run are removed.
    PruneContainers,
    /// All images without a name are removed.
    PruneImages,
    /// The state is lost, rejections aside.
    LoseState,
    /// It happens in the next pass that acts, before this one of its actions.
    Meanwhile(usize, Box<Happening>),
}

fn meanwhile(happening: Happening) -> Happening {
    Happening::Meanwhile(0, Box::new(happening))
}

fn pick<T: Clone + std::fmt::Debug + 'static>(all: &'static [T]) -> impl Strategy<Value = T> {
    prop::sample::select(all)
}

/// What happens all day on any host.
fn often() -> impl Strategy<Value = Happening> {
    use Happening as H;
    prop_oneof![
        (pick(&DIGITS), pick(&NAMES)).prop_map(|(d, n)| H::Tag(d, n)),
        (pick(&DIGITS), pick(&NAMES)).prop_map(|(d, n)| H::Pull(d, n)),
        (pick(&CONTAINERS), pick(&NAMES)).prop_map(|(c, n)| H::Run(c, n)),
        (pick(&CONTAINERS), pick(&STATES)).prop_map(|(c, s)| H::State(c, s)),
        (pick(&CONTAINERS), pick(&CODES)).prop_map(|(c, code)| H::Exit(c, code)),
        pick(&CONTAINERS).prop_map(H::Start),
        pick(&CONTAINERS).prop_map(H::Remove),
        pick(&WAITS).prop_map(H::Wait),
    ]
}

/// What people and other tools do to images and containers now and then.
fn now_and_then() -> impl Strategy<Value = Happening> {
    use Happening as H;
    prop_oneof![
        pick(&NAMES).prop_map(H::Untag),
        pick(&DIGITS).prop_map(H::Lose),
        (
            pick(&CONTAINERS),
            pick(&DIGITS),
            pick(&["v1", "v2", "v3", "stable"])
        )
            .prop_map(|(c, d, v)| H::RunByDigest(c, d, v)),
        pick(&NAMES).prop_map(H::Shell),
        pick(&NAMES).prop_map(H::OneOff),
        (pick(&CONTAINERS), any::<bool>()).prop_map(|(c, h)| H::Health(c, h)),
        Just(H::PruneImages),
    ]
}

fn happening() -> impl Strategy<Value = Happening> {
    use Happening as H;
    let sometimes = prop_oneof![
        any::<bool>().prop_map(H::Ready),
        any::<bool>().prop_map(H::Hold),
        (0..3_usize).prop_map(H::Fallbacks),
        any::<bool>().prop_map(H::RollBack),
        any::<bool>().prop_map(H::DryRuns),
        prop_oneof![Just(0), 845..860_u64, Just(1000)].prop_map(H::Fill),
        (0..4_usize).prop_map(H::PassKilledAfter),
        Just(H::Reboot),
    ];
    let seldom = prop_oneof![
        any::<bool>().prop_map(H::Keep),
        any::<bool>().prop_map(H::Mirror),
        any::<bool>().prop_map(H::ManyLocals),
        any::<bool>().prop_map(H::SecondWorkload),
        any::<bool>().prop_map(H::Leave),
        any::<bool>().prop_map(H::RefuseTags),
        (pick(&NAMES), any::<bool>()).prop_map(|(n, r)| H::Refuse(n, r)),
        (pick(&CONTAINERS), any::<bool>()).prop_map(|(c, r)| H::RefuseContainer(c, r)),
        (pick(&DIGITS), pick(&["v1", "v2", "v3", "", "latest"])).prop_map(|(d, l)| H::Label(d, l)),
        any::<bool>().prop_map(H::VersionLabel),
        any::<bool>().prop_map(H::Measurable),
        any::<bool>().prop_map(H::Pin),
        (pick(&NAMES), pick(&DIGITS), any::<bool>()).prop_map(|(n, d, l)| H::Forge(n, d, l)),
        Just(H::PruneContainers),
        pick(&THRESHOLDS).prop_map(H::Pressure),
        pick(&["v1", "v2", "v3", "stable"]).prop_map(H::Accept),
        pick(&[None, Some("v1"), Some("v3"), Some("stable")]).prop_map(H::Reject),
        prop_oneof![Just(None), Just(Some(5)), Just(Some(60))].prop_map(H::HoldSection),
        pick(&CONTAINERS).prop_map(H::Rename),
        pick(&CONTAINERS).prop_map(H::LoseImageOf),
        prop_oneof![Just(0), Just(1_000), Just(5 * MINUTE_MS)].prop_map(H::Slow),
        Just(H::Unmount),
        Just(H::Mount),
        Just(H::LoseState),
    ];
    let between_passes =
        prop_oneof![6 => often(), 1 => now_and_then(), 1 => sometimes, 1 => seldom];
    let within = (0..3_usize, prop_oneof![2 => often(), 1 => now_and_then()])
        .prop_map(|(actions, happening)| H::Meanwhile(actions, Box::new(happening)));
    prop_oneof![8 => between_passes, 1 => within]
}

/// v2 over v1, which ran locally, and a dry-run image of v1.
fn with_local_fallback() -> Host {
    let mut host = Host::new();
    host.image('a', &["local:latest", "local:v1"]);
    host.run("telemetry", "local:latest");
    host.image('d', &["remote:v1", "remote@d"]);
    host.run("k8s_1", "remote:v1");
    host.minutes(11);
    host.exit("telemetry", 0);
    host.remove_container("k8s_1");
    host.image('b', &["remote:v2"]);
    host.run("k8s_2", "remote:v2");
    host.minutes(9);
    host
}

/// A host on which things happen.
struct History {
    host: Host,
    /// What an unmounted data disk holds.
    away: Option<DataDisk>,
    /// The policy's workloads, while they are not in it.
    left: Option<Box<Host>>,
}

impl History {
    /// One of the four beginnings, on one of the three kinds of engine.
    fn new(beginning: usize) -> Self {
        let mut host = match beginning % 4 {
            0 => Host::new(),
            1 => Host::with_head(),
            2 => Host::with_fallback(),
            _ => with_local_fallback(),
        };
        host.workload().soak_ms = 2 * MINUTE_MS;
        host.workload().pressure_percent = Some(85);
        host.workload().pin = true;
        // Docker with a graph driver, Docker with containerd's store, Podman.
        host.docker().moves_digests = beginning >= 4;
        host.docker().keeps_references = beginning >= 8;
        Self {
            host,
            away: None,
            left: None,
        }
    }

    fn happen(&mut self, happening: &Happening) {
        use Happening as H;
        let host = &mut self.host;
        match happening {
            H::Tag(..) | H::Pull(..) | H::Untag(_) | H::Lose(_) | H::PruneImages => {
                happen_to_images(host, happening);
            }
            H::Meanwhile(actions, happening) => {
                let happening = happening.clone();
                host.meanwhile_after(*actions, move |host| {
                    if let H::Wait(minutes) = *happening {
                        host.uptime_ms += minutes * MINUTE_MS;
                    }
                    happen_to_images(host, &happening);
                    happen_to_containers(host, &happening);
                });
            }
            H::Wait(minutes) => host.later(*minutes),
            H::PassKilledAfter(changes) => host.pass_killed_after(*changes),
            H::Slow(ms) => host.look_ms = *ms,
            H::Reboot => host.reboot(),
            H::RefuseTags(refuses) => host.refuses_tags = *refuses,
            H::Refuse(text, refuses) => refuse(host, name(text).to_string(), *refuses),
            H::Label(digit, label) if host.is_on_disk(*digit) => {
                let labels = &mut host.disk_image(*digit).labels;
                labels.insert("version".to_owned(), (*label).to_owned());
            }
            H::Fill(bytes) => host.other_bytes = *bytes,
            H::Measurable(can) => host.disk_bytes = can.then_some(1000),
            H::LoseState => {
                host.witness.state_is_lost();
                let rejected = take(&mut host.state.rejected);
                host.state = Host::new().state;
                host.state.rejected = rejected;
            }
            H::Unmount | H::Mount => self.toggle_disk(matches!(happening, H::Mount)),
            H::Run(..)
            | H::RunByDigest(..)
            | H::Shell(_)
            | H::OneOff(_)
            | H::Start(_)
            | H::State(..)
            | H::Exit(..)
            | H::Remove(_)
            | H::Rename(_)
            | H::LoseImageOf(_)
            | H::Health(..)
            | H::Forge(..)
            | H::RefuseContainer(..)
            | H::PruneContainers => happen_to_containers(host, happening),
            other => self.govern(other),
        }
    }

    fn toggle_disk(&mut self, mount: bool) {
        if mount {
            if let Some(away) = self.away.take() {
                self.host.witness.sees_another_disk();
                self.host.put_disk(away);
                // No process outlives the disk that it runs from.
                self.host.restart_engine();
            }
        } else if self.away.is_none() {
            self.away = Some(self.host.take_disk());
            self.host.witness.sees_another_disk();
        }
    }

    /// What the operator does.
    fn govern(&mut self, happening: &Happening) {
        use Happening as H;
        if let H::SecondWorkload(wanted) = happening {
            if *wanted {
                self.host
                    .add_workload("gnmi", "docker-gnmi", "registry.example:5000/docker-gnmi");
            } else {
                self.host.policy.workloads.remove("gnmi");
            }
            return;
        }
        if let H::Leave(leaves) = happening {
            self.host.witness.doubt();
            match (self.left.take(), leaves) {
                (None, true) => {
                    self.left = Some(Box::new(self.host.clone()));
                    self.host.policy.workloads.remove("telemetry");
                }
                (Some(left), false) => {
                    let workload = left.policy.workloads[&telemetry()].clone();
                    self.host.policy.workloads.insert(telemetry(), workload);
                }
                (left, _) => self.left = left,
            }
            return;
        }
        if self.left.is_some() || !self.host.state.workloads.contains_key(&telemetry()) {
            return;
        }
        govern_workload(&mut self.host, happening);
    }
}

fn govern_workload(host: &mut Host, happening: &Happening) {
    use Happening as H;
    match happening {
        H::Ready(ready) => {
            host.ask_ready();
            host.readiness.clear();
            if !ready {
                host.not_ready("no");
            }
        }
        H::Hold(hold) => host.workload().hold = *hold,
        H::HoldSection(None) => host.policy.holds.clear(),
        H::HoldSection(Some(minutes)) => {
            host.policy.holds.clear();
            host.hold_all(Some(minutes * MINUTE_MS));
        }
        H::Reject(text) => {
            host.policy.rejections.clear();
            if let Some(text) = text {
                host.reject(text);
            }
        }
        H::Pin(pin) => host.workload().pin = *pin,
        H::VersionLabel(is_on) => {
            host.workload().version_label = is_on.then(|| "version".to_owned());
        }
        H::DryRuns(dry_runs) => host.workload().dry_runs = *dry_runs,
        H::Pressure(percent) => host.workload().pressure_percent = *percent,
        H::Fallbacks(fallbacks) => host.workload().fallbacks = *fallbacks,
        H::ManyLocals(many) => {
            host.workload().containers = vec![pattern("telemetry")];
            if *many {
                host.workload().containers.push(pattern("telemetry[0-9]*"));
            }
        }
        H::Keep(keep) => {
            host.workload().local_fallback = if *keep {
                LocalFallback::Keep
            } else {
                LocalFallback::Drop
            };
        }
        H::Mirror(mirror) => {
            let remotes = &mut host.workload().remotes;
            remotes.truncate(1);
            if *mirror {
                remotes.push(repository("mirror.example/docker-sonic-telemetry"));
            }
        }
        H::RollBack(latest) => roll_back_if_it_may(host, *latest),
        H::Accept(version) => {
            host.witness.doubt();
            let version = tagkeeper_core::model::Version::new(*version);
            if let Some(state) = accept(&host.state, &telemetry(), &version, |_| true) {
                host.state = state;
            }
        }
        _ => {}
    }
}

/// From now on the engine refuses to remove this, or does no more.
fn refuse(host: &mut Host, target: String, refuses: bool) {
    host.refuses.remove(&target);
    if refuses {
        host.refuses.insert(target, "no".to_owned());
    }
}

pub(crate) fn roll_back_if_it_may(host: &mut Host, latest: bool) {
    let what = if latest {
        RollbackTarget::Latest
    } else {
        RollbackTarget::InPlay
    };
    if decided_for(host, what).is_ok() && !host.refuses_tags {
        host.witness.doubt();
        host.witness.has_rejections = true;
        let _ = roll_back_to(host, what, usize::MAX);
    }
}

fn happen_to_images(host: &mut Host, happening: &Happening) {
    use Happening as H;
    match happening {
        H::Untag(text) => host.untag(text),
        H::Lose(digit) => host.lose_image(*digit),
        H::PruneImages => host.prune_images(),
        H::Tag(digit, text) => host.tag(*digit, text),
        H::Pull(digit, text) => {
            host.image(*digit, &[text]);
            let repository = name(text).repository().to_string();
            host.tag(*digit, &format!("{repository}@{digit}"));
        }
        _ => {}
    }
}

fn happen_to_containers(host: &mut Host, happening: &Happening) {
    use Happening as H;
    let run = |host: &mut Host, container: &str, text: &str| {
        if host.meaning(text).is_none() {
            return false;
        }
        host.remove_container(container);
        host.run(container, text);
        true
    };
    match happening {
        H::Run(container, text) => {
            run(host, container, text);
        }
        H::RunByDigest(container, digit, version) => {
            host.image(*digit, &[&format!("remote@{digit}")]);
            run(host, container, &format!("remote:{version}@{digit}"));
        }
        H::Shell(text) if run(host, "shell", text) => {
            host.container("shell").interactive = true;
        }
        H::OneOff(text) if run(host, "one_off", text) => host.label_as_one_off("one_off"),
        H::Forge(text, digit, labelled) => {
            let forged = pin_name("telemetry", *digit);
            if run(host, &forged, text) {
                host.exit(&forged, 0);
                if *labelled {
                    host.label_as_pin(&forged);
                }
            }
        }
        H::PruneContainers => host.prune_containers(),
        H::Remove(container) => host.remove_container(container),
        H::RefuseContainer(container, refuses) if host.has_container(container) => {
            let target = host.container(container).id.clone();
            refuse(host, target, *refuses);
        }
        H::Start(container)
        | H::State(container, _)
        | H::Exit(container, _)
        | H::Rename(container)
        | H::LoseImageOf(container)
        | H::Health(container, _)
            if host.has_container(container) =>
        {
            match happening {
                H::Start(_) => host.start(container),
                H::State(_, state) => host.set_state(container, state.clone()),
                H::Exit(_, code) => host.exit(container, *code),
                H::Rename(_) => host.container(container).names.clear(),
                H::LoseImageOf(_) => host.container(container).image = None,
                H::Health(_, true) => host.set_health(container, Health::Healthy),
                _ => host.set_health(container, Health::Unhealthy),
            }
        }
        _ => {}
    }
}

/// What `plan` shows ends; the pass does the same if nothing comes in between. And what it asked.
fn check_preview(host: &Host) -> (Vec<String>, Vec<Query>) {
    let mut copy = host.clone();
    copy.look_ms = 0;
    copy.asked.clear();
    let observed = copy.observe();
    let Rounds { first, later, .. } = rounds(&copy.policy, &copy.state, &observed);
    assert!(later.len() < 8, "{} rounds", later.len() + 1);
    let mut once = BTreeSet::new();
    let mut foreseen = Vec::new();
    let all = first
        .plan
        .actions()
        .into_iter()
        .map(|(name, action)| (name.clone(), action.kind.clone()))
        .chain(later.iter().flat_map(|round| {
            let actions = round.actions.iter();
            actions.map(|(name, action)| (name.clone(), action.kind.clone()))
        }));
    for (workload, action) in all {
        let said = format!("{workload} {}", describe(&action));
        foreseen.push(describe(&action));
        assert!(once.insert((workload, action)), "twice: {said}");
    }
    check_unsaved(&copy, &observed);
    (foreseen, copy.asked)
}

/// While the state cannot be saved, nothing is removed that the saved one needs, or a container
/// uses, and `latest` stays.
fn check_unsaved(host: &Host, observed: &Observation) {
    let plan = plan_as_saved(&host.policy, &host.state, observed);
    for (workload, action) in plan.actions() {
        let said = format!("{workload} {}", describe(&action.kind));
        let known = &host.state.workloads.get(workload);
        match &action.kind {
            ActionKind::RemoveImage {
                reference, image, ..
            } => {
                let listed = observed.images.iter().find(|i| i.id == *image).unwrap();
                let is_last = !listed.tags().any(|tag| Some(tag) != reference.as_ref());
                let is_needed = known
                    .is_some_and(|known| known.memory.claimed().any(|claimed| claimed == image));
                assert!(!(is_last && is_needed), "{said}");
                let is_on_record = known.is_some_and(|known| {
                    let memory = &known.memory;
                    memory.images.contains_key(image) || memory.retired.contains(image)
                });
                let is_known = is_on_record || known.is_some_and(|k| k.parked.is_some());
                assert!(!is_last || is_known, "{said}");
            }
            ActionKind::Tag { purpose, .. } => {
                assert_eq!(*purpose, TagPurpose::Adopt, "{said}");
            }
            _ => {}
        }
    }
    let shown = status(&host.policy, &host.state, observed);
    for (name, shown) in &shown.workloads {
        let known = host.state.workloads.get(name);
        let pending = known.and_then(|known| known.memory.pending.as_ref());
        if let Some(shown) = &shown.pending {
            assert!(
                pending.is_some_and(|p| p.image == shown.image)
                    || known.is_some_and(|known| known.parked.is_some()),
                "status decides"
            );
        }
    }
}

/// Nothing is going on: nothing is asked, saved or said.
fn check_idle(host: &mut Host) {
    let observed = host.listed();
    let quiet = queries(&host.policy, &host.state, &observed);
    let proven = host.plan().head.map(|head| head.image);
    let runs_unproven = host.containers().iter().any(|c| c.image != proven);
    if !runs_unproven {
        assert!(quiet.is_empty(), "{quiet:?}");
    }
}

/// The same histories in every `make test`; `make soak-test`, which says how many, is for new ones.
fn config() -> ProptestConfig {
    let is_soak_test = std::env::var_os("PROPTEST_CASES").is_some();
    let mut config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    if !is_soak_test {
        config.rng_seed = RngSeed::Fixed(2);
    }
    config
}

/// Plays a history, a pass after each happening that has one, and then lets the host come to rest.
fn play(beginning: usize, happenings: &[(Happening, bool)]) -> Result<(), TestCaseError> {
    let mut history = History::new(beginning);
    for (happening, pass) in happenings {
        history.happen(happening);
        if *pass {
            history.host.later(1);
            let (foreseen, asked) = check_preview(&history.host);
            let comes_between = history.host.comes_between.is_some();
            history.host.pass();
            let host = &history.host;
            let as_foreseen = host.look_ms == 0
                && !comes_between
                && host.refuses.is_empty()
                && !host.refuses_tags
                && !(host.docker.moves_digests && host.acted.iter().any(|a| a.starts_with("tag ")));
            // A preview asks once. It cannot measure the disk anew in a later round, nor ask what
            // only that round asks, nor know the name that Docker shows of a container again once
            // the pass has given it back, nor whether a digest goes with its tag.
            let measured = host.asked.contains(&Query::MeasureDisk);
            let asked_later = host.asked.iter().any(|query| !asked.contains(query));
            if as_foreseen && !measured && !asked_later && host.dropped.is_empty() {
                prop_assert_eq!(&host.acted, &foreseen);
            }
        }
    }
    history.host.later(1);
    history.host.pass();
    history.host.judge_after_a_quiet_day();
    // What was rejected at the end may be promoted only now, and what it leaves behind is looked at
    // twice.
    let mut saves = Vec::new();
    for _ in 0..5 {
        history.host.later(1);
        history.host.pass();
        saves.push(history.host.saves);
    }
    let host = &history.host;
    // One of them may save the clock alone.
    prop_assert!(saves[4] - saves[1] < 3, "each pass saves: {saves:?}");
    prop_assert!(
        host.acted.is_empty() && host.dropped.is_empty(),
        "it does not come to rest"
    );
    prop_assert!(host.events.is_empty(), "{:?}", host.events);
    Ok(())
}

/// Found by a random history: the pending upgrade of a disk that comes back ends in the decision
/// that another begins, and what is known of its version goes with it.
#[test]
fn an_upgrade_may_come_back_with_its_disk_only_to_end() {
    use Happening as H;
    let happenings = [
        (H::Run("telemetry", "local:v1"), false),
        (H::LoseState, false),
        (H::State("telemetry", ContainerState::Created), true),
        (H::Lose('a'), false),
        (H::RunByDigest("telemetry", 'b', "v2"), false),
        (H::Wait(1), true),
        (H::Pull('a', "local:latest"), false),
    ];
    play(1, &happenings).unwrap();
}

/// Found by a random history: a container of `local:v1` looks like one of an image id, that is like
/// a stale one, until a round of the pass gives the image that name back; then it belongs to a
/// service that starts a version, and stays.
#[test]
fn a_round_may_give_back_the_name_that_a_container_was_made_from() {
    use Happening as H;
    let happenings = [
        (H::Run("telemetry", "local:v1"), false),
        (H::Lose('a'), true),
        (H::Exit("telemetry", 0), false),
        (H::Tag('a', "local:latest"), true),
        (H::Tag('a', "local:latest"), true),
        (H::Pull('a', "remote:latest"), true),
    ];
    play(3, &happenings).unwrap();
}

/// Found by a random history: a round of the pass puts `latest` back, and only then is the
/// container of a new version asked about, whose name keeps another one.
#[test]
fn a_round_may_ask_what_no_preview_has() {
    use Happening as H;
    let happenings = [
        (H::RunByDigest("k8s_1", 'd', "v3"), false),
        (H::Pull('c', "local:latest"), true),
        (H::Wait(1800), false),
        (H::Pull('c', "local:v3"), false),
        (H::State("k8s_1", ContainerState::Restarting), false),
        (H::Tag('d', "local:v1"), true),
        (H::Wait(1), true),
    ];
    play(2, &happenings).unwrap();
}

/// Found by a random history: the engine could not move `latest` before and can now, and what the
/// preview foresees behind that is what the pass does.
#[test]
fn a_preview_foresees_what_comes_behind_a_move_in_doubt() {
    use Happening as H;
    let happenings = [
        (H::Tag('a', "local:latest"), false),
        (H::RunByDigest("telemetry", 'c', "v1"), false),
        (H::RefuseTags(true), false),
        (H::Exit("telemetry0", 0), true),
        (H::Wait(1), true),
        (H::RefuseTags(false), false),
        (H::State("telemetry0", ContainerState::Created), true),
    ];
    play(2, &happenings).unwrap();
}

/// Found by a random history: what is on record of a dry run's version goes with the lineage that
/// is cut, and the next look at the same host changes nothing.
#[test]
fn a_dry_run_of_what_is_cut_from_the_lineage_settles() {
    use Happening as H;
    let happenings = [
        (H::RunByDigest("telemetry", 'c', "stable"), true),
        (H::Exit("telemetry0", 0), true),
        (H::RunByDigest("telemetry0", 'b', "stable"), true),
        (H::Unmount, false),
        (H::Fallbacks(0), true),
        (H::Mount, false),
    ];
    play(2, &happenings).unwrap();
}

/// Found by a random history: a move of `latest` is in doubt, somebody makes it by hand, and the
/// container is replaced before the next pass, which gives the tag once more.
#[test]
fn what_is_given_once_more_becomes_nothing_new() {
    use Happening as H;
    let happenings = [
        (H::Tag('a', "local:latest"), true),
        (H::RefuseTags(true), false),
        (H::Run("k8s_1", "remote:v1"), false),
        (H::Remove("k8s_2"), false),
        (H::Tag('c', "remote:v3"), true),
        (H::State("telemetry", ContainerState::Created), true),
        (H::Tag('a', "local:v1"), true),
        (H::Tag('a', "local:latest"), false),
        (H::RunByDigest("k8s_1", 'b', "v1"), false),
    ];
    play(3, &happenings).unwrap();
}

/// Found by a random history: an image of two workloads, of which one keeps it for its grace period
/// and the other has no use for it. On a full disk the first lets go, and the second's reason to
/// remove it is its own.
#[test]
fn pressure_may_leave_an_image_to_the_reason_of_another_workload() {
    use Happening as H;
    let happenings = [
        (H::RunByDigest("gnmi", 'e', "v3"), true),
        (H::Pull('a', "docker-gnmi:latest"), false),
        (H::Tag('a', "local:latest"), true),
        (H::Tag('a', "local:latest"), true),
        (H::Pull('d', "docker-gnmi:v1"), false),
        (H::Fill(848), false),
        (H::SecondWorkload(true), false),
        (H::Pull('d', "local:v1"), false),
        (H::HoldSection(Some(5)), false),
        (H::Pull('e', "docker-gnmi:v1"), true),
        (H::Wait(9), false),
    ];
    play(0, &happenings).unwrap();
}

/// Found by a random history: an image that is removed and pulled again between two passes has
/// never left, for all that they see.
#[test]
fn an_image_may_be_away_and_back_between_two_passes() {
    use Happening as H;
    let happenings = [
        (H::Lose('d'), false),
        (H::Wait(1), false),
        (H::Pull('d', "remote:v1"), false),
    ];
    play(3, &happenings).unwrap();
}

/// Found by a random history: `rollback` saves what it sees, so the pass after it is not the first
/// to see an image idle.
#[test]
fn a_rollback_may_be_the_first_to_see_what_goes_on_a_full_disk() {
    use Happening as H;
    let happenings = [
        (H::Fill(847), false),
        (H::Pull('c', "remote:v1"), false),
        (H::Pull('d', "remote:v1"), false),
        (H::RollBack(false), false),
    ];
    play(2, &happenings).unwrap();
}

/// Found by a random history: an image of the disk that is away is pulled on an empty one, and
/// removed there as what it was at home, where it still is what it was when its disk comes back.
#[test]
fn an_image_may_leave_one_disk_and_stay_on_another() {
    use Happening as H;
    let happenings = [
        (H::PassKilledAfter(2), false),
        (H::Unmount, false),
        (H::Pull('d', "local:v1"), true),
        (H::Mount, false),
        (H::Tag('a', "local:latest"), false),
    ];
    play(3, &happenings).unwrap();
}

/// Found by a random history: the shipped image is away while the first upgrade soaks, and back as
/// its fallback when that is promoted. Then no fallback is wanted any more.
#[test]
fn a_first_fallback_may_be_away_while_the_upgrade_soaks() {
    use Happening as H;
    let happenings = [
        (H::Pull('d', "local:latest"), false),
        (H::Tag('d', "local:v2"), false),
        (H::RunByDigest("telemetry", 'a', "v1"), false),
        (H::Tag('a', "local:v1"), true),
        (H::Lose('d'), true),
        (
            H::Pull('d', "mirror.example/docker-sonic-telemetry:v1"),
            true,
        ),
        (H::Fallbacks(0), false),
        (H::Tag('a', "local:v3"), false),
    ];
    play(0, &happenings).unwrap();
}

/// Found by a random history: of an image that goes on a full disk, a workload that has left the
/// policy still knows that it was there before it.
#[test]
fn what_a_workload_without_a_policy_remembers_keeps_nothing_of_others() {
    use Happening as H;
    let happenings = [
        (H::SecondWorkload(true), false),
        (H::Pull('d', "docker-gnmi:latest"), false),
        (H::Pull('d', "local:latest"), true),
        (H::SecondWorkload(false), false),
        (H::Unmount, false),
        (H::Fill(849), false),
        (H::Pull('d', "local:latest"), false),
        (H::RunByDigest("telemetry", 'a', "v1"), false),
        (H::Tag('a', "local:latest"), false),
    ];
    play(1, &happenings).unwrap();
}

/// Found by a random history: somebody has a shell of an image that no service runs. A look that
/// does not inspect what could serve takes that for an upgrade, and `rollback` inspects it.
#[test]
fn a_shell_of_what_nobody_runs_is_no_upgrade_to_roll_back() {
    use Happening as H;
    let happenings = [
        (H::Pull('b', "registry.example:5000/docker-gnmi:v2"), false),
        (
            H::Run("telemetry", "registry.example:5000/docker-gnmi:v2"),
            false,
        ),
        (H::Pull('c', "remote:latest"), false),
        (H::Shell("remote:latest"), false),
        (H::RollBack(false), false),
    ];
    play(1, &happenings).unwrap();
}

/// A sibling: it sees what has become idle, too.
#[test]
fn a_rollback_may_be_the_first_to_see_idle_what_goes_on_a_full_disk() {
    use Happening as H;
    let happenings = [
        (H::State("k8s_2", ContainerState::Created), false),
        (H::Fill(848), false),
        (H::Remove("telemetry"), false),
        (H::Run("k8s_2", "remote:v1"), false),
        (H::RollBack(false), false),
    ];
    play(3, &happenings).unwrap();
}

/// Found by a random history: a fallback that is back on the disk loses its second name, and is not
/// on record yet.
#[test]
fn a_fallback_that_comes_back_may_lose_its_local_name_at_once() {
    use Happening as H;
    let happenings = [
        (H::Lose('a'), true),
        (H::Pull('a', "remote:v1"), false),
        (H::Tag('a', "local:v1"), true),
    ];
    play(2, &happenings).unwrap();
}

/// Found by a random history: what ran beside the local container is of an unknown version, until
/// another container of its image shows which: both in one look.
#[test]
fn a_version_that_one_container_shows_is_that_of_the_others() {
    use Happening as H;
    let happenings = [
        (H::Tag('a', "local:latest"), false),
        (H::Pull('a', "registry.example:5000/docker-gnmi:v2"), false),
        (
            H::Pull('a', "mirror.example/docker-sonic-telemetry:v1"),
            false,
        ),
        (H::Fallbacks(0), true),
        (
            H::Run("gnmi", "mirror.example/docker-sonic-telemetry:v1"),
            false,
        ),
        (H::Remove("k8s_2"), false),
        (
            H::Run("telemetry", "mirror.example/docker-sonic-telemetry:v1"),
            false,
        ),
        (H::Pull('a', "local:v2"), false),
        (H::Tag('b', "local:v2"), true),
        (H::Remove("telemetry"), false),
        (H::Ready(true), false),
        (H::Start("telemetry"), false),
        (H::RunByDigest("telemetry0", 'a', "v1"), false),
    ];
    play(3, &happenings).unwrap();
}

/// Found by a random history: an image of the disk that is away is pulled on another one, and
/// brings back what was known there. What soaks meanwhile does so anew, although `latest` names it.
#[test]
fn a_disk_may_come_back_by_a_pull() {
    use Happening as H;
    let happenings = [
        (H::Unmount, false),
        (H::RunByDigest("telemetry", 'c', "v1"), true),
        (H::Pull('b', "local:latest"), false),
        (H::Tag('c', "local:latest"), false),
    ];
    play(3, &happenings).unwrap();
}

/// Found by a random history: the engine fails on every tag of a pass, and a person's tag counts
/// for no promotion before the engine has confirmed one.
#[test]
fn a_move_by_hand_may_come_while_the_engine_fails_on_tags() {
    use Happening as H;
    let happenings = [
        (H::Run("k8s_1", "remote:v1"), false),
        (H::Tag('a', "local:latest"), true),
        (H::RefuseTags(true), false),
        (H::Remove("k8s_2"), true),
        (H::Tag('a', "local:latest"), true),
        (H::Start("telemetry"), true),
        (H::Tag('d', "local:latest"), true),
        (H::State("k8s_1", ContainerState::Created), false),
        (H::PruneContainers, false),
        (H::Tag('a', "local:latest"), false),
    ];
    play(3, &happenings).unwrap();
}

/// Found by a random history: a fallback is cut that runs locally as one version and in a pod as
/// another. The upgrade that begins has the one, then the other, and then both containers.
#[test]
fn what_is_cut_and_runs_under_two_versions_settles() {
    use Happening as H;
    let happenings = [
        (H::Pull('a', "local:v3"), false),
        (H::RunByDigest("telemetry", 'b', "v3"), true),
        (H::Tag('a', "local:latest"), true),
        (H::Run("telemetry0", "local:v3"), false),
        (H::Pull('a', "local:latest"), true),
        (H::Exit("telemetry", 0), false),
        (H::Fallbacks(0), false),
    ];
    play(1, &happenings).unwrap();
}

/// Found by a random history: on another disk, an image under a foreign name is pending, and what
/// runs it ends.
#[test]
fn what_ends_under_a_foreign_name_on_another_disk_settles() {
    use Happening as H;
    let happenings = [
        (H::Unmount, false),
        (H::Pull('e', "remote:v3"), false),
        (H::Pull('e', "docker-gnmi:v1"), false),
        (H::Run("debug", "docker-gnmi:v1"), false),
        (H::Tag('a', "local:latest"), true),
        (H::Tag('a', "remote:v3"), false),
        (H::Exit("debug", 0), false),
    ];
    play(5, &happenings).unwrap();
}

/// Found by a random history: an image gets a rejected version's name right before it becomes
/// latest.
#[test]
fn what_is_rejected_while_it_becomes_latest_is_not_recorded() {
    use Happening as H;
    let happenings = [
        (H::Reject(Some("stable")), false),
        (H::Pull('d', "remote:latest"), true),
        (H::Run("telemetry", "remote:latest"), false),
        (meanwhile(H::Pull('d', "remote:stable")), true),
        (H::Tag('a', "local:v2"), true),
        (H::Tag('a', "local:latest"), true),
        (H::Remove("telemetry"), false),
    ];
    play(2, &happenings).unwrap();
}

/// Found by a random history: an image of the disk that was here before comes back right before
/// another one becomes latest. What was known there is known again, and what has just become latest
/// soaks anew.
#[test]
fn a_disk_may_come_back_while_latest_moves() {
    use Happening as H;
    let happenings = [
        (H::Tag('a', "local:latest"), true),
        (H::RunByDigest("k8s_2", 'a', "v1"), false),
        (H::Tag('a', "local:latest"), true),
        (H::Unmount, false),
        (meanwhile(H::Pull('a', "local:v1")), false),
        (H::RunByDigest("telemetry", 'c', "v1"), false),
        (H::Tag('a', "local:latest"), true),
        (H::Run("telemetry", "local:latest"), true),
    ];
    play(7, &happenings).unwrap();
}

/// Found by a random history: the local name of the fallback goes because the remote has that
/// version too; right before it does, the remote's name moves to another image.
#[test]
fn a_fallback_keeps_its_local_name_when_the_remote_one_moves_away() {
    use Happening as H;
    let happenings = [
        (H::Tag('a', "remote:latest"), true),
        (meanwhile(H::Pull('b', "remote:v1")), false),
        (H::Pull('a', "local:v1"), false),
    ];
    play(10, &happenings).unwrap();
}

/// Found by a random history: a version deployed by its digest gets a local name and becomes
/// latest; somebody takes that name away in the same pass, which does nothing twice. The next one
/// gives it again.
#[test]
fn a_name_that_is_taken_away_in_a_pass_comes_back_in_the_next() {
    use Happening as H;
    let untag = Box::new(H::Untag("local:v3"));
    let happenings = [
        (H::Meanwhile(2, untag), false),
        (H::RunByDigest("telemetry", 'c', "v3"), true),
        (H::Tag('a', "remote:v1"), true),
    ];
    play(5, &happenings).unwrap();
}

/// Found by a random history: what is latest has no tag of its own, and a container that was
/// deployed by `v1` and a digest tells its version. It tells it too once that image is the
/// provisional fallback of another build of `v1`; otherwise the container is a dry run in one pass
/// and no dry run in the next.
#[test]
fn a_container_tells_the_version_of_a_provisional_fallback() {
    use Happening as H;
    let happenings = [
        (H::Ready(false), false),
        (H::LoseState, false),
        (H::Pull('b', "local:latest"), false),
        (H::RunByDigest("telemetry0", 'b', "v1"), false),
        (H::Run("telemetry", "local:latest"), false),
        (H::Start("telemetry"), true),
        (H::Exit("telemetry", 0), false),
        (H::Ready(true), false),
        (H::Wait(1), false),
    ];
    play(1, &happenings).unwrap();
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_history_breaks_a_promise(
        beginning in 0..12_usize,
        happenings in vec((happening(), any::<bool>()), 1..60),
    ) {
        play(beginning, &happenings)?;
    }

    /// Upgrades fail, one after the other, each of a version of its own or all of one tag that
    /// moves; the data disk may be wiped before.
    #[test]
    fn failed_upgrades_do_not_pile_up(
        beginning in 0..12_usize,
        is_wiped in any::<bool>(),
        one_tag in any::<bool>(),
        attempts in vec((pick(&FRESH), 0..3_usize, any::<bool>()), 2..12),
    ) {
        let mut host = History::new(beginning).host;
        if is_wiped {
            host.witness.sees_another_disk();
            host.take_disk();
            host.minutes(1);
        }
        for (digit, passes, crashes) in attempts {
            let version = if one_tag { "stable".to_owned() } else { format!("v{digit}") };
            host.deploy(digit, &version);
            for _ in 0..passes {
                host.later(1);
                host.pass();
            }
            let container = format!("k8s_{version}");
            if crashes {
                host.exit(&container, 1);
            } else {
                host.remove_container(&container);
            }
            host.later(30);
            host.pass();
        }
        host.prune_containers();
        host.judge_after_a_quiet_day();
    }

    /// Two workloads, each with its own threshold, and images of any age and size.
    #[test]
    fn no_full_disk_breaks_a_promise(
        images in vec((pick(&FRESH), pick(&FRESH_NAMES), 1..300_u64, 0..90_u64, 0..8_u32), 1..9),
        used_bytes in 0..1500_u64,
        thresholds in (pick(&THRESHOLDS), pick(&THRESHOLDS)),
    ) {
        let mut host = Host::with_fallback();
        host.add_workload("gnmi", "docker-gnmi", "registry.example:5000/docker-gnmi");
        host.image('f', &["docker-gnmi:latest", "docker-gnmi:v1"]);
        host.run("gnmi", "docker-gnmi:latest");
        host.minutes(11);
        for (digit, text, size_bytes, minutes, happens) in images {
            host.sized_image(digit, size_bytes, &[text]);
            host.pass();
            if happens <= 1 {
                host.remove_container(&format!("of_{digit}"));
            }
            if happens == 0 {
                host.run(&format!("of_{digit}"), text);
            }
            host.later(minutes);
        }
        host.pass();
        for (workload, threshold) in [("telemetry", thresholds.0), ("gnmi", thresholds.1)] {
            host.policy.workloads.get_mut(workload).unwrap().pressure_percent = threshold;
        }
        for _ in 0..3 {
            let held: u64 = host.images().iter().map(|image| image.size_bytes).sum();
            host.other_bytes = used_bytes.saturating_sub(held);
            host.pass();
            host.later(5);
        }
    }

    /// However many fallbacks and whatever dry-run images lie there: an idle host is asked nothing.
    #[test]
    fn an_idle_host_is_asked_nothing(
        beginning in 1..3_usize,
        images in vec((pick(&FRESH), pick(&["remote:v7", "remote:v8", "local:v2", "elsewhere:v9"])), 0..5),
        minutes in 1..5_u64,
    ) {
        let mut host = if beginning == 1 { Host::with_head() } else { Host::with_fallback() };
        for (digit, text) in images {
            host.image(digit, &[text]);
        }
        host.minutes(minutes);
        host.asked.clear();
        host.minutes(1);
        prop_assert!(host.asked.is_empty(), "{:?}", host.asked);
        check_idle(&mut host);
    }
}
