//! A rollback at a terminal: it shows what it is going to do, asks, and does that or nothing.

use std::process::Stdio;

use crate::host::Host;
use crate::scene::{RIPE, id, promoted};
use crate::shared::deploy_v3;
use crate::terminal::{CTRL_C, Terminal};
use in_memory_engine::{Docker, Route};

const QUESTION: &str = "Roll app back? [y/N] ";
/// What a terminal sends for the end of the input.
const CTRL_D: &str = "\u{4}";

fn rollback(host: &Host, args: &[&str]) -> Terminal {
    let args = [&["rollback", "app"], args].concat();
    let command = host.command_on(&host.path("docker.sock"), 1_000, &args);
    Terminal::run(&command, &[("NO_COLOR", "1")])
}

/// v2 is latest, and its stopped local container is there: a rollback has two things to do.
fn with_stale_container() -> Host {
    let host = promoted();
    host.engine().docker.run("app", "app:latest");
    host.engine().docker.exit("app", 0);
    host
}

#[test]
fn a_yes_does_what_was_shown() {
    for yes in ["y\n", "YES\n"] {
        let host = with_stale_container();
        let mut terminal = rollback(&host, &[]);
        let shown = terminal.sees(QUESTION);
        for part in [
            "app: v2 (",
            "will be rejected",
            "  ~ retag  restore    app:latest",
            "  - remove stale      container app",
            "latest becomes v1 (",
            "the local service will start that version",
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert_eq!(host.id_of("app:latest"), id("v2"), "no answer yet");
        terminal.types(yes);
        let (code, rest) = terminal.ends();
        assert_eq!(code, 0, "{rest}");
        assert!(rest.contains("v2 is rejected; latest is v1"), "{rest}");
        assert_eq!(host.id_of("app:latest"), id("v1"));
        assert!(!host.has_container("app"));
    }
}

#[test]
fn anything_else_changes_nothing() {
    for no in ["\n", "n\n", "what?\n", CTRL_D, CTRL_C] {
        let host = with_stale_container();
        let (state, names) = (host.state_bytes(), host.names());
        let mut terminal = rollback(&host, &[]);
        terminal.sees(QUESTION);
        terminal.types(no);
        let (code, rest) = terminal.ends();
        assert_eq!(code, if no == CTRL_C { 130 } else { 1 }, "{no:?}: {rest}");
        assert!(
            no == CTRL_C || rest.contains("nothing was changed"),
            "{no:?}: {rest}"
        );
        assert_eq!((host.state_bytes(), host.names()), (state, names), "{no:?}");
        assert!(host.has_container("app"));
    }
}

#[test]
fn a_refusal_comes_before_the_question() {
    let host = promoted();
    host.engine().docker.run("app", "app:latest");
    let (code, screen) = rollback(&host, &[]).ends();
    assert_eq!(code, 1, "{screen}");
    assert!(
        screen.contains("is running") && !screen.contains("[y/N]"),
        "{screen}"
    );
}

#[test]
fn no_question_with_yes_and_nothing_without_it_where_there_is_no_terminal() {
    for args in [["--yes"], ["-y"]] {
        let host = promoted();
        let (code, screen) = rollback(&host, &args).ends();
        assert_eq!(code, 0, "{screen}");
        assert!(!screen.contains("[y/N]"), "{screen}");
        assert_eq!(host.id_of("app:latest"), id("v1"));
    }
    let host = promoted();
    let script = host.run_at(1_000, &["rollback", "app"]).expect_code(1);
    assert!(!script.stderr.contains("[y/N]"), "{script:#?}");
    assert!(script.stderr.contains("--yes was not given"), "{script:#?}");
    assert!(script.stderr.contains("latest becomes v1"), "{script:#?}");
    assert_eq!(host.id_of("app:latest"), id("v2"), "nothing was changed");
}

/// The timer goes on while a person thinks; and what they then agree to may be no longer what would
/// be done.
#[test]
fn a_pass_may_come_in_between_and_what_has_changed_is_not_done() {
    let host = promoted();
    let mut terminal = rollback(&host, &[]);
    terminal.sees(QUESTION);
    // The orchestrator upgrades, and a pass sees it: what a rollback would reject is v3 now.
    deploy_v3(&mut host.engine().docker);
    host.pass_at(1_010).expect_code(0);
    let state = host.state_bytes();
    terminal.types("y\n");
    let (code, rest) = terminal.ends();
    assert_eq!(code, 1, "{rest}");
    assert!(
        rest.contains("has changed since you were asked; nothing was changed"),
        "{rest}"
    );
    assert_eq!(
        (host.state_bytes(), host.id_of("app:latest")),
        (state, id("v2"))
    );

    let mut again = rollback(&host, &[]);
    let shown = again.sees(QUESTION);
    assert!(
        shown.contains("app: v3 (") && shown.contains("latest stays"),
        "{shown}"
    );
    // A pass that changes nothing is no change.
    host.pass_at(1_030).expect_code(0);
    again.types("y\n");
    assert_eq!(again.ends().0, 0);
    host.pass_at(1_010 + 2 * RIPE).expect_code(0);
    assert_eq!(host.id_of("app:latest"), id("v2"), "v3 is rejected");
}

/// The version is the same, and another image; or all is the same, and a container would go too.
#[test]
fn a_change_in_one_point_is_a_change() {
    type Change = fn(&mut Docker);
    let rebuild: Change = |docker| {
        docker.take_name("reg.example/app:v3");
        docker.image("v3 once more", &["reg.example/app:v3"]);
        docker.drop_container("k8s_app_3");
        docker.run("k8s_app_4", "reg.example/app:v3");
    };
    let local: Change = |docker| {
        docker.create("app", "app:latest");
    };
    for (is_upgraded, change) in [(true, rebuild), (false, local)] {
        let host = promoted();
        if is_upgraded {
            deploy_v3(&mut host.engine().docker);
            host.pass_at(1_000).expect_code(0);
        }
        let mut terminal = rollback(&host, &[]);
        terminal.sees(QUESTION);
        change(&mut host.engine().docker);
        let (state, names) = (host.state_bytes(), host.names());
        terminal.types("y\n");
        let (code, rest) = terminal.ends();
        assert_eq!(code, 1, "{rest}");
        assert!(rest.contains("has changed since you were asked"), "{rest}");
        assert_eq!((host.state_bytes(), host.names()), (state, names));
    }
}

/// Half a terminal is none: where the question is not seen, or cannot be answered, nothing is asked
/// and nothing is done.
#[test]
fn half_a_terminal_is_none() {
    let host = promoted();
    let mut command = host.command_on(&host.path("docker.sock"), 1_000, &["rollback", "app"]);
    command.stdin(Stdio::null());
    let shell = format!("exec {} </dev/null", crate::terminal::quoted(&command));
    let mut without_keyboard = std::process::Command::new("/bin/sh");
    without_keyboard.args(["-c", &shell]);
    let (code, screen) = Terminal::run(&without_keyboard, &[]).ends();
    assert_eq!(code, 1, "{screen}");
    assert!(!screen.contains("[y/N]"), "{screen}");
    assert_eq!(host.id_of("app:latest"), id("v2"));
    let requests = host.engine().take_log();
    assert!(!requests.iter().any(|r| r.route == Route::Tag));
}
