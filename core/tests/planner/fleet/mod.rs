//! What a rollout does to a fleet: the real planner on thousands of model hosts, and what the same
//! days would have been without `[reject]`, without canaries, and with SONiC's single look at
//! minute ten in the planner's place. A run is the same each time: all chance comes from the seed.
//!
//! Each host is the model host of the other tests, with the same promises and outcomes checked in
//! each of its passes. `make fleet-sim` runs thousands, and writes docs/fleet.md.

mod figures;
mod rollout;
mod single_look;
mod switch;

use figures::Figures;
use rollout::{Fleet, Keeper, Practice};
use switch::Reach;

/// How many hosts `make test` plays; and how many where it plays every practice.
const HOSTS: usize = 40;
const FEW_HOSTS: usize = 6;

/// What the operators have, in the order of the columns of docs/fleet.md.
const PRACTICES: [Practice; 4] = [
    Practice {
        name: "tagkeeper",
        keeper: Keeper::Planner,
        has_canaries: true,
        rejects: true,
    },
    Practice {
        name: "without `[reject]`",
        keeper: Keeper::Planner,
        has_canaries: true,
        rejects: false,
    },
    Practice {
        name: "without canaries",
        keeper: Keeper::Planner,
        has_canaries: false,
        rejects: true,
    },
    Practice {
        name: "a single look",
        keeper: Keeper::SingleLook,
        has_canaries: true,
        rejects: false,
    },
];

fn play(hosts: usize, practice: Practice, reach: Reach) -> Figures {
    Fleet::new(hosts, practice, reach).play()
}

#[test]
fn a_version_that_fails_on_the_canaries_never_leaves_them() {
    let [with_reject, _, without_canaries, _] = PRACTICES;
    let gated = play(HOSTS, with_reject, Reach::All);
    assert_eq!(gated.lost, 0, "hosts without their last proven image");
    assert_eq!(gated.deployed, gated.canaries, "hosts that got v3");
    assert!(gated.at_worst <= gated.canaries);
    assert_eq!(gated.at_end.get("v4"), Some(&HOSTS), "{:?}", gated.at_end);

    let all_at_once = play(HOSTS, without_canaries, Reach::All);
    assert_eq!(all_at_once.lost, 0, "hosts without their last proven image");
    assert!(all_at_once.deployed > gated.deployed);
    let at_end = &all_at_once.at_end;
    assert_eq!(at_end.get("v3"), None, "rejected everywhere: {at_end:?}");
}

#[test]
fn a_fleet_lives_the_same_life_each_time() {
    let [practice, ..] = PRACTICES;
    let hosts = FEW_HOSTS;
    let [once, again] = [(), ()].map(|()| play(hosts, practice, Reach::Some));
    assert_eq!(once, again);
}

/// Each practice with each bad version. `make fleet-sim` says how many hosts, and reads the
/// figures.
#[test]
fn no_practice_loses_the_last_proven_image_of_a_host() {
    let hosts = std::env::var("FLEET_HOSTS").map_or(FEW_HOSTS, |hosts| hosts.parse().unwrap());
    for reach in [Reach::All, Reach::Some] {
        for practice in PRACTICES {
            let figures = play(hosts, practice, reach);
            println!("figure: {}", serde_json::to_string(&figures).unwrap());
            let name = practice.name;
            assert!(
                practice.keeper == Keeper::SingleLook || figures.lost == 0,
                "{name}: {} hosts without their last proven image",
                figures.lost
            );
        }
    }
}
