//! A story, told once unbroken, and then once for each point at which it can be killed.

use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use tagkeeper::state::StateDir;

use crate::docker::Docker;
use crate::ending::{Ending, damage};
use crate::fake::Moment;
use crate::host::Host;
use crate::point::{Point, points_of, run_killed};
use crate::snapshot::Snapshot;
use crate::stories::POLICY;

/// The timer starts the next pass so long after the one that was killed.
const TIMER_SECS: u64 = 60;
/// Each story is told by so many threads: a run waits for the disk more than it computes.
const THREADS: usize = 3;

/// Points killed at, in all stories so far.
static KILLED: AtomicUsize = AtomicUsize::new(0);

/// What happens to a host, and what tagkeeper is asked to do then.
pub(crate) struct Step {
    /// Uptime in seconds.
    pub(crate) secs: u64,
    /// What the orchestrator, the local service or a person does just before.
    pub(crate) change: fn(&mut Docker),
    pub(crate) args: &'static [&'static str],
    /// Images, by label, that must be on the disk and have a tag all the time.
    pub(crate) kept: &'static [&'static str],
}

/// A step as the unbroken story came by it.
struct Reached<'s> {
    step: &'s Step,
    before: Snapshot,
    points: Vec<Point>,
    /// How the host stands if a pass runs here in place of what a person asked for.
    unasked: Option<Ending>,
}

/// Tells the story unbroken, then kills it everywhere. In the end the disk holds these names, of the images with these
/// labels, and nothing else. There must be at least so many points to kill at.
pub(crate) fn kill_everywhere(
    name: &str,
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
                while let Some((at, point)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    tell_killed(&reached[*at..], point, &ending);
                }
            });
        }
    });
    let requests = cases
        .iter()
        .filter(|(_, point)| matches!(point, Point::Request(..)))
        .count();
    let so_far = KILLED.fetch_add(cases.len(), Ordering::Relaxed) + cases.len();
    // Past the harness, which would keep it to itself when all is well.
    let _ = writeln!(
        io::stderr(),
        "kill points: {name}: {} ({requests} at engine calls, {} at the state), {so_far} in all so far",
        cases.len(),
        cases.len() - requests
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
        (step.change)(&mut host.engine().docker);
        let before = Snapshot::of(&host);
        let points = points_of(&before.host(POLICY), step.secs, step.args);
        let unasked = (step.args != RECONCILE).then(|| {
            let host = before.host(POLICY);
            run(&host, step.secs, RECONCILE, step.kept);
            Ending::of(&host)
        });
        run(&host, step.secs, step.args, step.kept);
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

/// The story from the first of these steps on, which is killed at a point. It must come to the same ending.
fn tell_killed(reached: &[Reached<'_>], point: &Point, ending: &Ending) {
    let (killed, rest) = reached.split_first().expect("a point is one of a step");
    let step = killed.step;
    let told = format!("{:?} at {} s killed {point}", step.args, step.secs);
    let host = killed.before.host(POLICY);
    guarded(&host, step.kept, &told, || {
        run_killed(&host, step.secs, step.args, point);
    });

    let mut late_secs = TIMER_SECS;
    run_after(&host, step.secs + late_secs, RECONCILE, step.kept, &told);
    if killed.unasked.as_ref() == Some(&Ending::of(&host)) {
        // It came to nothing, and the person asks again.
        late_secs += TIMER_SECS;
        run_after(&host, step.secs + late_secs, step.args, step.kept, &told);
    }
    for Reached { step, .. } in rest {
        (step.change)(&mut host.engine().docker);
        run_after(&host, step.secs + late_secs, step.args, step.kept, &told);
    }
    assert_eq!(Ending::of(&host), *ending, "{told}: another ending");
}

fn run(host: &Host, secs: u64, args: &[&str], kept: &'static [&'static str]) {
    run_after(host, secs, args, kept, "unbroken");
}

/// A run without faults.
fn run_after(host: &Host, secs: u64, args: &[&str], kept: &'static [&'static str], told: &str) {
    guarded(host, kept, told, || {
        let outcome = host.run_at(secs, args);
        assert_eq!(outcome.code, 0, "{told}, then {args:?}: {outcome:#?}");
    });
}

/// Holds the host to what must never be missing: after each request that changes something, and at the end.
fn guarded(host: &Host, kept: &'static [&'static str], told: &str, run: impl FnOnce()) {
    let dir = StateDir::new(host.state_dir());
    let found = Arc::new(Mutex::new(Vec::new()));
    let (find, watched_dir) = (Arc::clone(&found), dir.clone());
    host.engine().heal();
    host.engine().watch(move |moment, request, docker| {
        if moment == Moment::After && request.is_mutation() {
            let damage = damage(docker, &watched_dir, kept);
            let mut found = find.lock().expect("nobody panics with it");
            found.extend(damage.map(|damage| format!("after {request}: {damage}")));
        }
        true
    });
    run();
    host.engine().heal();
    let mut found = found.lock().expect("nobody panics with it");
    found.extend(damage(&host.engine().docker, &dir, kept));
    assert!(found.is_empty(), "{told}: {found:#?}");
}
