//! A story, told once unbroken, and then once for each point at which it can be killed.

use std::fs;
use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use tagkeeper::store::StateDir;

use crate::ending::{Ending, damage};
use crate::host::Host;
use crate::point::{Point, points_of, run_killed};
use crate::snapshot::Snapshot;
use crate::stories::POLICY;
use in_memory_engine::{Docker, Moment};

/// The timer starts the next pass so long after the one that was killed.
const TIMER_SECS: u64 = 60;
/// Each story is told by so many threads: a run waits for the disk more than it computes.
const THREADS: usize = 3;

/// From one second kill to the next: a prime, so that each point of the pass that follows has its
/// turn.
const STRIDE: usize = 7;

/// What happens to a host, and what tagkeeper is asked to do then.
pub(crate) struct Step {
    /// Uptime in seconds.
    pub(crate) secs: u64,
    /// What the orchestrator, the local service or a person does just before.
    pub(crate) change: fn(&mut Docker),
    pub(crate) args: &'static [&'static str],
    /// What the policy says by then.
    pub(crate) policy: &'static str,
    /// What something has made of the state file just before: nothing that can be read.
    pub(crate) corrupt_state: Option<&'static str>,
    /// Images, by label, that must be on the disk and have a tag all the time.
    pub(crate) kept: &'static [&'static str],
}

impl Step {
    /// The host comes to the step.
    fn begin(&self, host: &Host) {
        host.set_policy(self.policy);
        (self.change)(&mut host.engine().docker);
        if let Some(text) = self.corrupt_state {
            fs::write(host.state_file(), text).expect("the state directory is writable");
        }
    }
}

/// How often a run is killed.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kills {
    /// At each of its points; the pass that follows goes through.
    Once,
    /// The pass that follows is killed too, each time at another of its points.
    Twice,
}

/// A step as the unbroken story came by it.
struct Reached<'s> {
    step: &'s Step,
    before: Snapshot,
    points: Vec<Point>,
    /// How the host stands if a pass runs here in place of what a person asked for.
    unasked: Option<Ending>,
}

/// Tells the story unbroken, then kills it everywhere. In the end the disk holds these names, of
/// the images with these labels, and nothing else. There must be at least so many points to kill
/// at.
pub(crate) fn kill_everywhere(
    name: &str,
    kills: Kills,
    steps: &[Step],
    wanted: &[(&str, &str)],
    at_least: usize,
) {
    let (reached, ending) = tell(steps);
    ending.assert_names(wanted);
    let cases: Vec<(usize, &Point)> = reached
        .iter()
        .enumerate()
        .flat_map(|(at, reached)| reached.points.iter().map(move |point| (at, point)))
        .collect();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let nth = next.fetch_add(1, Ordering::Relaxed);
                    let Some((at, point)) = cases.get(nth) else {
                        break;
                    };
                    let again = (kills == Kills::Twice).then_some(nth * STRIDE);
                    tell_killed(&reached[*at..], point, again, &ending);
                }
            });
        }
    });
    let requests = cases
        .iter()
        .filter(|(_, point)| matches!(point, Point::Request(..)))
        .count();
    let again = match kills {
        Kills::Once => String::new(),
        Kills::Twice => format!(", {} of them followed by a second kill", cases.len()),
    };
    // Past the harness, which would keep it to itself when all is well.
    let _ = writeln!(
        io::stdout(),
        "\nkill points: {name}: {requests} at engine calls, {} at the state\nfigure: {} kill points{again}",
        cases.len() - requests,
        cases.len()
    );
    assert!(
        cases.len() >= at_least,
        "{name}: {} kill points, of at least {at_least}",
        cases.len()
    );
}

/// The unbroken story: how it came to each step, and to its end.
fn tell(steps: &[Step]) -> (Vec<Reached<'_>>, Ending) {
    let host = Host::new(POLICY);
    let mut reached = Vec::new();
    for step in steps {
        step.begin(&host);
        let before = Snapshot::of(&host);
        let code = i32::from(step.corrupt_state.is_some());
        let points = points_of(&before.host(step.policy), step.secs, step.args, code);
        let unasked = (step.args != RECONCILE).then(|| {
            let host = before.host(step.policy);
            run(&host, step.secs, step, RECONCILE, &[0], "unasked");
            Ending::of(&host)
        });
        run(&host, step.secs, step, step.args, &[code], "unbroken");
        reached.push(Reached {
            step,
            before,
            points,
            unasked,
        });
    }
    let ending = Ending::of(&host);
    let rest = host.pass_at(steps.last().map_or(0, |last| last.secs) + TIMER_SECS);
    assert_eq!(rest.mutations(), [""; 0], "the story is not at its end");
    assert_eq!(Ending::of(&host), ending, "the story is not at its end");
    (reached, ending)
}

pub(crate) const RECONCILE: &[&str] = &["reconcile"];

/// The story from the first of these steps on, which is killed at a point, and so is the pass that
/// follows, if a point of it is given. It must come to the same ending.
fn tell_killed(reached: &[Reached<'_>], point: &Point, again: Option<usize>, ending: &Ending) {
    let (killed, rest) = reached.split_first().expect("a point is one of a step");
    let step = killed.step;
    let mut told = format!("{:?} at {} s killed {point}", step.args, step.secs);
    let mut host = killed.before.host(step.policy);
    guarded(&host, step, &told, || {
        run_killed(&host, step.secs, step.args, point);
    });

    let mut late_secs = TIMER_SECS;
    if let Some(nth) = again {
        let secs = step.secs + late_secs;
        // On a copy, for one that is as the one whose points are known: a copied file has lost its
        // spare blocks.
        let killed = Snapshot::of(&host);
        let mut points = points_of(&killed.host(step.policy), secs, RECONCILE, 0);
        host = killed.host(step.policy);
        let point = points.swap_remove(nth % points.len());
        told = format!("{told}, and the next pass {point}");
        guarded(&host, step, &told, || {
            run_killed(&host, secs, RECONCILE, &point);
        });
        late_secs += TIMER_SECS;
    }
    // The state may still be what it was made, and is then set aside now.
    let codes: &[i32] = if step.corrupt_state.is_some() {
        &[0, 1]
    } else {
        &[0]
    };
    run(&host, step.secs + late_secs, step, RECONCILE, codes, &told);
    if killed.unasked.as_ref() == Some(&Ending::of(&host)) {
        // It came to nothing, and the person asks again.
        late_secs += TIMER_SECS;
        run(&host, step.secs + late_secs, step, step.args, &[0], &told);
    }
    for Reached { step, .. } in rest {
        step.begin(&host);
        let code = i32::from(step.corrupt_state.is_some());
        run(
            &host,
            step.secs + late_secs,
            step,
            step.args,
            &[code],
            &told,
        );
    }
    assert_eq!(Ending::of(&host), *ending, "{told}: another ending");
}

/// A run without faults.
fn run(host: &Host, secs: u64, step: &Step, args: &[&str], codes: &[i32], told: &str) {
    guarded(host, step, told, || {
        let outcome = host.run_at(secs, args);
        assert!(
            codes.contains(&outcome.code),
            "{told}, then {args:?}: {outcome:#?}"
        );
    });
}

/// Holds the host to what must never be missing: after each request that changes something, and at
/// the end.
fn guarded(host: &Host, step: &Step, told: &str, run: impl FnOnce()) {
    let (kept, may_be_corrupt) = (step.kept, step.corrupt_state.is_some());
    let dir = StateDir::new(host.state_dir());
    let found = Arc::new(Mutex::new(Vec::new()));
    let (find, watched_dir) = (Arc::clone(&found), dir.clone());
    host.engine().heal();
    host.engine().watch(move |moment, request, docker| {
        if moment == Moment::After && request.is_mutation() {
            let damage = damage(docker, &watched_dir, kept, may_be_corrupt);
            let mut found = find.lock().expect("nobody panics with it");
            found.extend(damage.map(|damage| format!("after {request}: {damage}")));
        }
        true
    });
    run();
    host.engine().heal();
    let mut found = found.lock().expect("nobody panics with it");
    found.extend(damage(&host.engine().docker, &dir, kept, may_be_corrupt));
    assert!(found.is_empty(), "{told}: {found:#?}");
}
