//! A person before a terminal: colours, one workload of many, and `status --watch`.

use std::fs;

use crate::host::Host;
use crate::scene::{POLICY, soaking};
use crate::terminal::{CTRL_C, Terminal};

const TWO: &str = r#"
[workload.app]
repository = "app"
remotes = ["reg.example/app"]

[workload.snmp]
repository = "snmp"
"#;

/// Red, green, anything.
const ESCAPE: char = '\u{1b}';

fn on_terminal(host: &Host, args: &[&str], variables: &[(&str, &str)]) -> Terminal {
    let command = host.command_on(&host.path("docker.sock"), 300, args);
    Terminal::run(&command, variables)
}

#[test]
fn colours_are_for_terminals_unless_an_option_or_a_variable_says_otherwise() {
    let host = soaking(POLICY);
    for (args, variables, colored) in [
        (["status"].as_slice(), [].as_slice(), true),
        (&["plan"], &[], true),
        (&["status"], &[("NO_COLOR", "1")], false),
        (&["status"], &[("TERM", "dumb")], false),
        (&["status", "--color", "never"], &[], false),
        (&["status", "--color", "always"], &[("NO_COLOR", "1")], true),
        (&["status", "--format", "json"], &[], false),
    ] {
        let (code, screen) = on_terminal(&host, args, variables).ends();
        assert_eq!(code, 0, "{screen}");
        assert_eq!(
            screen.contains(ESCAPE),
            colored,
            "{args:?} {variables:?}: {screen:?}"
        );
    }
    for (args, colored) in [
        (["status"].as_slice(), false),
        (&["plan", "--color", "auto"], false),
        (&["plan", "--color", "always"], true),
        (&["plan", "--color", "always", "--format", "json"], false),
    ] {
        let outcome = host.run_at(300, args).expect_code(0);
        assert_eq!(outcome.stdout.contains(ESCAPE), colored, "{args:?}");
    }
}

#[test]
fn one_workload_of_two() {
    let host = soaking(TWO);
    for command in ["plan", "status"] {
        for (args, names) in [
            (&[command, "--format", "json"][..], &["app", "snmp"][..]),
            (
                &[command, "--format", "json", "--workload", "snmp"],
                &["snmp"],
            ),
        ] {
            let json = host.run_at(300, args).expect_code(0).json();
            let shown: Vec<&String> = json["workloads"]
                .as_object()
                .expect("an object")
                .keys()
                .collect();
            assert_eq!(shown, names, "{args:?}");
        }
        let text = host
            .run_at(300, &[command, "--workload", "app"])
            .expect_code(0)
            .stdout;
        assert!(text.contains("app") && !text.contains("snmp"), "{text}");
        let wrong = host
            .run_at(300, &[command, "--workload", "ap"])
            .expect_code(2);
        assert!(
            wrong
                .stderr
                .contains("there is no workload 'ap': did you mean 'app'?"),
            "{wrong:#?}"
        );
        assert_eq!((wrong.stdout.as_str(), wrong.requests.len()), ("", 0));
    }
}

#[test]
fn watch_looks_again_each_second_and_ctrl_c_ends_it() {
    let host = soaking(POLICY);
    let stamps = host.state_stamps();
    let mut terminal = on_terminal(
        &host,
        &["status", "app", "--watch", "--color", "never"],
        &[],
    );
    let first = terminal.sees("v2 soaking 5m");
    assert!(first.starts_with("\u{1b}[H"), "{first:?}");
    terminal.sees("\u{1b}[J");
    // The clocks are read anew for each look.
    let next = terminal.sees("\u{1b}[J");
    assert!(
        next.starts_with("\u{1b}[H") && !next.contains("\n\n\n"),
        "{next:?}"
    );
    let up = |frame: &str| {
        frame
            .split("soaking ")
            .nth(1)
            .and_then(|t| t.split(' ').next())
            .map(str::to_owned)
    };
    let third = terminal.sees("\u{1b}[J");
    assert!(
        up(&next).is_some() && up(&next) != up(&third),
        "{next:?} {third:?}"
    );
    terminal.types(CTRL_C);
    let (code, rest) = terminal.ends();
    assert_eq!(code, 130, "as a shell knows it: {rest:?}");
    assert_eq!(
        host.state_stamps(),
        stamps,
        "it looked, and touched nothing"
    );
}

#[test]
fn watch_shows_what_went_wrong_and_goes_on() {
    let host = soaking(POLICY);
    let state = host.state_bytes().expect("a state");
    let mut terminal = on_terminal(&host, &["status", "app", "--watch"], &[]);
    terminal.sees("v2 soaking");
    host.set_policy("[workload.app]\nrepository = \"app\"\nsok = \"10m\"\n");
    let broken = terminal.sees("did you mean 'soak'?");
    assert!(broken.contains("error: "), "{broken:?}");
    host.set_policy(POLICY);
    fs::write(host.state_file(), "{").expect("writable");
    // One word: where the line is folded depends on the path.
    terminal.sees("corrupt:");
    fs::write(host.state_file(), state).expect("writable");
    terminal.sees("v2 soaking");
    terminal.types(CTRL_C);
    assert_eq!(terminal.ends().0, 130);
}

#[test]
fn watch_is_for_people_at_a_terminal() {
    let host = soaking(POLICY);
    // On a pipe it would write for ever what nobody redraws.
    let piped = host.run_at(300, &["status", "--watch"]).expect_code(2);
    assert!(
        piped.stderr.contains("standard output is not one"),
        "{piped:#?}"
    );
    assert_eq!((piped.stdout.as_str(), piped.requests.len()), ("", 0));
    let (code, screen) = on_terminal(&host, &["status", "--watch", "--format", "json"], &[]).ends();
    assert_eq!(code, 2, "{screen}");
    let (code, screen) = on_terminal(&host, &["status", "--watch", "--workload", "ap"], &[]).ends();
    assert_eq!(code, 2, "a name that is wrong stays wrong: {screen}");
}
