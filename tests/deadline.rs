//! The pass's own deadline: once it has passed, no further action is tried, and one line says so.
#![cfg(test)]

use std::collections::BTreeMap;

use tagkeeper::engine::{Answer, Engine, ImageName, Inspected, Lists, PassOver};
use tagkeeper::reconcile::{EventSink, Pass, PassError, ReadyAnswers, Timekeeper};
use tagkeeper::report::words;
use tagkeeper::store::{Rejections, Store};
use tagkeeper_core::model::{
    Clock, Container, ContainerId, Disk, Event, Image, ImageId, Now, PinLabel, Policy, Readiness,
    Reading, Reference, Repository, State, Workload, WorkloadName,
};
use tagkeeper_core::planner::Query;

/// An engine with a hundred images that nobody wants. It answers the first look; then the pass's
/// time is over.
struct Slow {
    looks: usize,
    calls_after: usize,
}

impl Slow {
    fn over<T>(&mut self) -> anyhow::Result<T> {
        self.calls_after += 1;
        Err(anyhow::Error::new(PassOver).context("failed to do it"))
    }
}

impl Engine for Slow {
    fn observe(&mut self, _: &[&str]) -> anyhow::Result<Lists> {
        self.looks += 1;
        if self.looks > 2 {
            return self.over();
        }
        let images = (0..100).map(|n| Image {
            id: ImageId::new(format!("sha256:{n:064}")),
            references: vec![Reference::parse(&format!("app:v{n}")).unwrap()],
            unparsed_names: 0,
            size_bytes: 1,
            labels: BTreeMap::new(),
        });
        Ok(Lists {
            images: images.collect(),
            ..Lists::default()
        })
    }
    fn containers(&mut self) -> anyhow::Result<Vec<Container>> {
        self.over()
    }
    fn inspect_container(&mut self, _: &ContainerId) -> anyhow::Result<Option<Inspected>> {
        self.over()
    }
    fn disk(&mut self) -> anyhow::Result<Disk> {
        self.over()
    }
    fn find_image(&mut self, _: &ImageName) -> anyhow::Result<Option<Image>> {
        self.over()
    }
    fn tag(&mut self, _: &ImageId, _: &Reference) -> anyhow::Result<Answer> {
        self.over()
    }
    fn create_pin(&mut self, _: &str, _: &PinLabel, _: &ImageId) -> anyhow::Result<Answer> {
        self.over()
    }
    fn remove_container(&mut self, _: &ContainerId) -> anyhow::Result<Answer> {
        self.over()
    }
    fn remove_image(&mut self, _: &ImageName) -> anyhow::Result<Answer> {
        self.over()
    }
}

#[derive(Default)]
struct Kept(Option<State>);

impl Store for Kept {
    fn save(&mut self, state: &State) -> anyhow::Result<()> {
        self.0 = Some(state.clone());
        Ok(())
    }
    fn save_rejected(&mut self, _: &Rejections) -> anyhow::Result<()> {
        Ok(())
    }
}

#[derive(Default)]
struct Lines(Vec<String>);

impl EventSink for Lines {
    fn spool(&mut self, _: &mut State, _: &[Event], _: &Now) -> bool {
        false
    }
    fn event(&mut self, event: &Event) {
        self.0.extend(words::event(event));
    }
    fn failure(&mut self, _: Option<&WorkloadName>, error: &anyhow::Error) {
        self.0.push(format!("{error:#}"));
    }
}

fn policy() -> Policy {
    let workload = Workload {
        grace_ms: 0,
        ..Workload::new("app", Repository::parse("app").unwrap())
    };
    Policy {
        workloads: BTreeMap::from([(WorkloadName::new("app"), workload)]),
        ..Policy::default()
    }
}

/// One pass, and what the log got of it.
fn pass(engine: &mut Slow, store: &mut Kept, state: State) -> (Result<(), PassError>, Vec<String>) {
    let clock = Clock {
        clock_ms: 1000,
        monotonic_ms: 1000,
    };
    let read = || Reading {
        monotonic_ms: 1000,
        wall: "2026-01-01T00:00:00Z".to_owned(),
    };
    let mut sink = Lines::default();
    let mut ready = |asked: &[Query]| vec![Some(Readiness::Ready); asked.len()];
    let ended = Pass {
        policy: &policy(),
        clock: Timekeeper::new(clock, &read),
        engine,
        store,
        sink: &mut sink,
        ready: ReadyAnswers::new(&mut ready),
    }
    .run(state);
    (ended.map(|_| ()), sink.0)
}

#[test]
fn after_the_deadline_one_action_has_failed_and_no_other_is_tried() {
    let mut engine = Slow {
        looks: 0,
        calls_after: 0,
    };
    let mut store = Kept::default();
    let (ended, lines) = pass(&mut engine, &mut store, State::default());
    assert!(ended.is_ok(), "a fresh start removes nothing: {ended:?}");
    assert_eq!((engine.calls_after, lines.len()), (0, 0));

    // Nothing was there before tagkeeper any more: all of it is idle, and goes.
    let mut state = store.0.clone().expect("the first pass saved");
    for known in state.workloads.values_mut() {
        let records = known.memory.images.values_mut();
        records.for_each(|record| record.inherited = false);
    }
    let (ended, lines) = pass(&mut engine, &mut store, state);
    assert!(matches!(ended, Err(PassError::Broken(_))), "{ended:?}");
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(
        lines[0].contains("the pass has run for too long"),
        "{lines:?}"
    );
    assert_eq!(engine.calls_after, 2, "the action, and the look after it");
}
