//! Fields of later versions of the same format: kept by this one, and written back.

use std::fs;

use serde_json::{Value, json};
use tagkeeper::store::{Lock, StateDir, Store};
use tagkeeper_core::model::State;

use crate::support::{
    FIXTURE_REJECTED, FIXTURE_V2, image, json, rewrite, saved, telemetry, touched,
};

const WORKLOAD: &str = "/workloads/telemetry";

/// The fixture, with an unknown field in each of the places.
fn with_unknown(places: &[&str]) -> (tempfile::TempDir, StateDir, Lock, State) {
    let temp = tempfile::tempdir().unwrap();
    let dir = StateDir::new(temp.path());
    fs::write(dir.state_file(), FIXTURE_V2).unwrap();
    rewrite(&dir.state_file(), |content| {
        for place in places {
            let parent = content.pointer_mut(place);
            let parent = parent.unwrap_or_else(|| panic!("no {place} in the fixture"));
            parent["novelty"] = json!({"of": place, "nested": [1, null, {"x": 2.5}]});
        }
    });
    let mut lock = dir.lock().unwrap();
    let Some(state) = lock.load().unwrap() else {
        panic!("no state")
    };
    (temp, dir, lock, state)
}

fn novelty_of(content: &Value, place: &str) -> Value {
    let parent = content.pointer(place);
    parent.map_or(Value::Null, |parent| parent["novelty"]["of"].clone())
}

#[test]
fn unknown_fields_are_written_back_wherever_they_are() {
    let in_image = format!("{WORKLOAD}/memory/images/{}", image('1'));
    let places = [
        "",
        "/clock",
        "/workloads/departed",
        WORKLOAD,
        "/workloads/telemetry/since",
        "/workloads/telemetry/memory",
        "/workloads/telemetry/memory/lineage/0",
        "/workloads/telemetry/memory/lineage/1",
        "/workloads/telemetry/memory/pending",
        "/workloads/telemetry/memory/pending/members/0",
        "/workloads/telemetry/memory/pending/provisional_fallback",
        in_image.as_str(),
        "/workloads/telemetry/parked/lineage/0",
        "/workloads/telemetry/failures/0",
        "/workloads/telemetry/history/0/removed",
        "/workloads/telemetry/counters",
    ];
    let (_temp, dir, mut lock, mut state) = with_unknown(&places);
    state.clock.clock_ms += 1;
    // Twice: by the first save of the holder, and by what that has left of it.
    for _ in 0..2 {
        lock.save(&state).unwrap();
        let content = json(dir.state_file());
        for place in places {
            assert_eq!(novelty_of(&content, place), place);
        }
        assert_eq!(content["novelty"]["nested"], json!([1, null, {"x": 2.5}]));
        assert_eq!(saved(&dir), state, "nothing else has changed");
    }
}

#[test]
fn unknown_fields_move_with_their_image_and_end_with_it() {
    let places = [
        "/workloads/telemetry/memory/lineage/0",
        "/workloads/telemetry/memory/lineage/1",
        "/workloads/telemetry/memory/pending",
        "/workloads/departed",
    ];
    let (_temp, dir, mut lock, mut state) = with_unknown(&places);
    let memory = &mut state.workloads.get_mut(&telemetry()).unwrap().memory;
    memory.lineage.reverse();
    memory.lineage.truncate(1);
    memory.pending.as_mut().unwrap().image = image('a');
    let departed = state.workloads.pop_first().unwrap();
    lock.save(&state).unwrap();
    let content = json(dir.state_file());
    let [first, second, pending, _] = places;
    assert_eq!(novelty_of(&content, first), second);
    assert_eq!(novelty_of(&content, pending), Value::Null);

    // What has gone with its parent does not come back with another parent of that name.
    state.workloads.extend([departed]);
    lock.save(&state).unwrap();
    assert_eq!(
        novelty_of(&json(dir.state_file()), "/workloads/departed"),
        Value::Null
    );
}

/// Only a higher format number is refused, and an unknown field never makes a state another one.
#[test]
fn an_unknown_field_changes_nothing_that_is_read() {
    let (_temp, dir, mut lock, mut state) = with_unknown(&[]);
    rewrite(&dir.state_file(), |content| {
        let counters = content
            .pointer_mut("/workloads/telemetry/counters")
            .unwrap();
        let counters = counters.as_object_mut().unwrap();
        // An older name of the field, which only reading knows.
        let bytes = counters.remove("reclaimed_bytes").unwrap();
        counters.insert("bytes_won_back".to_owned(), bytes);
    });
    assert_eq!(lock.load().unwrap(), Some(state.clone()));
    state.clock.clock_ms += 1;
    lock.save(&state).unwrap();
    assert_eq!(saved(&dir), state);
}

#[test]
fn unknown_fields_of_rejections_are_written_back() {
    let temp = tempfile::tempdir().unwrap();
    let dir = StateDir::new(temp.path());
    fs::write(dir.rejected_file(), FIXTURE_REJECTED).unwrap();
    let place = format!("/rejected/telemetry/{}", image('5'));
    rewrite(&dir.rejected_file(), |content| {
        content["novelty"] = json!({"of": ""});
        content.pointer_mut(&place).unwrap()["novelty"] = json!({"of": place});
    });
    let mut lock = dir.lock().unwrap();
    let mut rejected = saved(&dir).rejected;
    lock.save_rejected(&rejected).unwrap();
    let content = json(dir.rejected_file());
    assert_eq!(novelty_of(&content, ""), "");
    assert_eq!(novelty_of(&content, &place), place.as_str());
    rejected.remove(&telemetry());
    lock.save_rejected(&rejected).unwrap();
    assert_eq!(dir.load().unwrap(), None);
}

/// A save that does not come costs nothing: a look leaves the file as it is.
#[test]
fn a_load_writes_nothing() {
    let (_temp, dir, mut lock, _) = with_unknown(&[""]);
    let before = touched(dir.state_file());
    lock.load().unwrap();
    dir.load().unwrap();
    assert_eq!(touched(dir.state_file()), before);
}
