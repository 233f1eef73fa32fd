//! Others want the lock at the same time (design 4.6, exit code 75).

use std::fs;
use std::sync::mpsc;

use crate::host::finish;
use crate::scene::{POLICY, RIPE, assert_promoted, soaking};
use crate::wrapped::command;
use in_memory_engine::Route;

const PLAIN: &[&str] = &["env"];

#[test]
fn a_second_pass_in_the_middle_of_a_promotion_gives_way() {
    let host = soaking(POLICY);
    let mut second = command(&host, PLAIN, RIPE, &["reconcile"]);
    let (tell, told) = mpsc::channel();
    // The engine answers nobody while this runs: a pass that asked it anything would hang.
    host.engine().before(Route::Tag, 1, move |_| {
        tell.send(finish(&mut second)).expect("somebody listens");
    });
    host.pass_at(RIPE).expect_code(0);
    let second = told
        .try_recv()
        .expect("it ran while the first was at work")
        .expect_code(75);
    assert!(second.stderr.contains("lock"), "{second:#?}");
    assert_promoted(&host);
}

#[test]
fn of_many_passes_at_once_one_promotes_and_none_is_in_its_way() {
    let host = soaking(POLICY);
    host.engine().take_log();
    let codes: Vec<i32> = std::thread::scope(|scope| {
        let passes: Vec<_> = (0..8)
            .map(|_| {
                let mut pass = command(&host, PLAIN, RIPE, &["reconcile"]);
                scope.spawn(move || finish(&mut pass).code)
            })
            .collect();
        passes
            .into_iter()
            .map(|pass| pass.join().expect("it ends"))
            .collect()
    });
    assert!(codes.contains(&0), "{codes:?}");
    assert!(codes.iter().all(|code| [0, 75].contains(code)), "{codes:?}");
    assert_promoted(&host);
    let log = host.engine().take_log();
    let changes = log.iter().filter(|request| request.is_mutation()).count();
    assert_eq!(
        changes, 4,
        "a tag, the stale container, two old images: {log:#?}"
    );
}

#[test]
fn a_lock_that_is_no_file_stops_the_pass_and_hangs_nothing() {
    for plant in ["mkdir", "mkfifo"] {
        let host = soaking(POLICY);
        let lock = host.path("state/lock");
        fs::remove_file(&lock).expect("the first pass made it");
        crate::store::run(plant, &[lock.to_str().expect("UTF-8")]);
        let state = host.state_bytes();
        let outcome = host.pass_at(RIPE).expect_code(1);
        assert_eq!(outcome.requests.len(), 0, "{plant}: {outcome:#?}");
        assert!(outcome.stderr.contains("state/lock"), "{outcome:#?}");
        assert_eq!(host.state_bytes(), state);
    }
}
