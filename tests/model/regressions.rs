//! Every bug that a random history found, as the few steps that show it.

use std::rc::Rc;

use super::names::Names;
use super::play;
use super::step::{Event, Fault, Setting, Step};

/// Both workloads come with `v1` installed as latest, the first one's service runs; local builds are twins.
const HOST: Setting = Setting {
    protects: false,
    shares: false,
    twins: true,
    remotes: true,
    soak_minutes: 3,
    installed: true,
};

#[track_caller]
fn assert_safe(setting: Setting, steps: &[Step]) {
    let told = play(&Rc::new(Names::new()), setting, steps, true);
    assert_eq!(told.violation, None, "{}", told.log.join("\n"));
}

fn upgrade(workload: usize, version: usize) -> Step {
    Step::Event(Event::Upgrade {
        workload,
        version,
        removes: true,
    })
}

/// The names in the order in which they came: `net-a:v1`, `net-a:latest`, `net-b:v1`, `net-b:latest`.
fn rmi(pick: usize) -> Step {
    Step::Event(Event::Rmi { pick })
}

/// `v1` was seen rolled out while `v2` soaked. `v3` took over, and the remote `v1` had gone by then.
#[test]
fn a_stand_in_stays_rolled_out_when_another_upgrade_takes_over() {
    assert_safe(
        HOST,
        &[
            upgrade(1, 0),
            Step::Passes(1),
            rmi(2),
            upgrade(1, 1),
            Step::Passes(6),
        ],
    );
}

/// The saved state keeps the twin of its pending upgrade; the decision that lets it go could not be saved.
#[test]
fn a_full_disk_removes_no_twin_that_the_saved_state_keeps() {
    let setting = Setting {
        installed: false,
        ..HOST
    };
    let install = Step::Event(Event::Install {
        workload: 1,
        version: 2,
        latest: false,
    });
    let full = Step::Disturbed(Fault::DiskFull { saves: 2 });
    let wait = Step::Wait { minutes: 1500 };
    assert_safe(
        setting,
        &[
            Step::Passes(1),
            install,
            Step::Passes(1),
            upgrade(1, 2),
            Step::Passes(1),
            wait,
            upgrade(1, 0),
            full,
        ],
    );
}

/// Both names of the image are `latest` of some workload, and both move in one round.
#[test]
fn an_image_that_is_latest_of_two_workloads_keeps_a_name() {
    let share = Step::Event(Event::HandLatest {
        workload: 1,
        pick: 0,
    });
    assert_safe(
        HOST,
        &[
            Step::Passes(5),
            share,
            rmi(0),
            upgrade(0, 3),
            upgrade(1, 0),
            Step::Passes(6),
        ],
    );
}

/// The remote name on the strength of which the local one goes (R4) is removed by hand in between.
#[test]
fn the_last_name_of_a_fallback_does_not_go_as_renamed() {
    let pull = Step::Event(Event::Pull {
        workload: 0,
        version: 0,
        remote: 0,
    });
    for call in 0..30 {
        for pick in 0..12 {
            let meanwhile = Step::Disturbed(Fault::Meanwhile {
                call,
                event: Event::Rmi { pick },
            });
            assert_safe(
                HOST,
                &[
                    Step::Passes(5),
                    pull.clone(),
                    upgrade(0, 3),
                    Step::Passes(3),
                    meanwhile,
                ],
            );
        }
    }
}

/// What stands in for a lineage of one workload bears only the name that the other one's fallback wants.
#[test]
fn adopt_takes_no_last_name_from_what_another_workload_wants() {
    let steps = [
        Step::Passes(5),
        Step::Event(Event::Pull {
            workload: 0,
            version: 0,
            remote: 0,
        }),
        Step::Event(Event::LocalStart { workload: 1 }),
        Step::Event(Event::HandLatest {
            workload: 1,
            pick: 4,
        }),
        Step::Passes(5),
        upgrade(0, 3),
        Step::Passes(5),
    ];
    assert_safe(HOST, &steps);
}

/// `latest` has moved, the pass was killed, the workload is put on hold, and the container ends.
#[test]
fn a_committed_promotion_outlives_a_hold() {
    let kill = Step::Disturbed(Fault::Kill {
        call: 4,
        after: true,
    });
    let hold = Step::Event(Event::Hold { workload: 1 });
    let steps = [
        upgrade(1, 0),
        Step::Passes(3),
        kill,
        hold,
        Step::Passes(1),
        upgrade(1, 1),
        Step::Passes(2),
    ];
    assert_safe(HOST, &steps);
}

/// A rollback asks no `ready` command, so it must not take another workload's soak to be over.
#[test]
fn a_rollback_notes_no_soak_of_another_workload_as_over() {
    let steps = [
        Step::Event(Event::AskReady { workload: 0 }),
        upgrade(0, 1),
        Step::Passes(1),
        Step::Event(Event::NotReady { workload: 0 }),
        upgrade(1, 2),
        Step::Wait { minutes: 30 },
        Step::RollBack {
            workload: 1,
            fault: Fault::None,
        },
    ];
    assert_safe(HOST, &steps);
}

/// The other name of what is latest is removed by hand after the round has looked.
#[test]
fn latest_takes_no_last_name_that_went_in_between() {
    for call in 0..10 {
        let meanwhile = Step::Disturbed(Fault::Meanwhile {
            call,
            event: Event::Rmi { pick: 0 },
        });
        assert_safe(
            HOST,
            &[Step::Passes(5), upgrade(0, 3), Step::Passes(3), meanwhile],
        );
    }
}
