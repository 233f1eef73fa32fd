//! The `ready` command of a workload (design 4.3): asked once a pass while an upgrade soaks,
//! believed only when it says yes in time.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::host::{Host, Outcome, finish, program, with_bare_environment};
use crate::scene::{POLICY, RIPE, assert_promoted, id, soaking};

/// A ready command that says yes while the file `ready` exists, and writes down that and for whom
/// it was asked.
fn ready_policy(host: &Host) -> String {
    let script = host.path("ready.sh");
    let (flag, log) = (host.path("ready"), host.path("asked"));
    let text = format!(
        "echo \"$TAGKEEPER_WORKLOAD $TAGKEEPER_CONTAINER_NAME $TAGKEEPER_CONTAINER_ID $TAGKEEPER_IMAGE \
         $TAGKEEPER_VERSION $1\" >> {}\ntest -e {}\n",
        log.display(),
        flag.display()
    );
    fs::write(&script, text).expect("writable");
    format!(
        "{POLICY}ready = [\"/bin/sh\", {:?}, \"arg\"]\n",
        script.display().to_string()
    )
}

fn asked(host: &Host) -> Vec<String> {
    fs::read_to_string(host.path("asked"))
        .unwrap_or_default()
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn what_is_not_ready_does_not_soak() {
    let host = soaking(POLICY);
    host.set_policy(&ready_policy(&host));
    assert_eq!(
        host.pass_at(RIPE).expect_code(0).mutations(),
        [""; 0],
        "up, and not ready"
    );
    fs::write(host.path("ready"), "").expect("writable");
    host.pass_at(700).expect_code(0);
    assert_eq!(
        host.pass_at(1_150).expect_code(0).mutations(),
        [""; 0],
        "ready for 450 s"
    );
    let container = host.engine().docker.container("k8s_app_1").id.clone();
    let line = format!("app k8s_app_1 {container} {} v2 arg", id("v2"));
    assert!(
        asked(&host).iter().all(|l| *l == line),
        "{:#?}",
        asked(&host)
    );
    assert_eq!(asked(&host).len(), 3, "once in each pass");
    host.pass_at(700 + RIPE).expect_code(0);
    assert_promoted(&host);
}

#[test]
fn the_ready_command_is_asked_by_plan_but_not_by_status_nor_by_an_idle_pass() {
    let host = soaking(POLICY);
    host.set_policy(&ready_policy(&host));
    fs::write(host.path("ready"), "").expect("writable");
    host.run_at(100, &["status"]).expect_code(0);
    assert_eq!(asked(&host).len(), 0);
    host.plan_at(101);
    assert_eq!(asked(&host).len(), 1);
    host.pass_at(RIPE).expect_code(0);
    assert_promoted(&host);
    let count = asked(&host).len();
    host.pass_at(1_000).expect_code(0);
    assert_eq!(asked(&host).len(), count, "nothing is pending");
}

#[test]
fn a_ready_command_that_is_late_or_missing_is_no_yes_and_no_failure() {
    let host = soaking(POLICY);
    let script: PathBuf = host.path("late.sh");
    // A child of it outlives it and keeps its output open; nobody may wait for that.
    fs::write(&script, "sleep 17\ntrue\n").expect("writable");
    let late = format!(
        "{POLICY}ready = [\"/bin/sh\", {:?}]\nready_timeout = \"1s\"\n",
        script.display().to_string()
    );
    let missing = format!("{POLICY}ready = [\"/nowhere/ready\"]\n");
    for (policy, secs) in [(late, RIPE), (missing, 2 * RIPE)] {
        host.set_policy(&policy);
        assert_eq!(
            host.pass_at(secs).expect_code(0).mutations(),
            [""; 0],
            "{policy}"
        );
    }
    host.set_policy(POLICY);
    host.pass_at(3 * RIPE).expect_code(0);
    host.pass_at(4 * RIPE).expect_code(0);
    assert_promoted(&host);
}

const FOUR: [&str; 4] = ["h1", "h2", "h3", "h4"];

/// A host where four workloads beside the app wait for the word of this ready command.
fn four_asked(ready: &str) -> Host {
    let of_one = |name: &str| {
        format!(
            "\n[workload.{name}]\nrepository = \"{name}\"\nremotes = [\"reg.example/{name}\"]\n\
             ready = {ready}\nready_timeout = \"5s\"\n"
        )
    };
    let host = Host::new(&(POLICY.to_owned() + &FOUR.map(of_one).concat()));
    crate::scene::upgrade(&mut host.engine().docker);
    for name in FOUR {
        let docker = &mut host.engine().docker;
        let [latest, v1, v2] = four_names(name);
        docker.image(&v1, &[&latest, &v1]);
        docker.image(&v2, &[&v2]);
        docker.run(&format!("k8s_{name}_1"), &v2);
    }
    host
}

fn four_names(name: &str) -> [String; 3] {
    let remote = |version: &str| format!("reg.example/{name}:{version}");
    [format!("{name}:latest"), remote("v1"), remote("v2")]
}

/// One after the other, these would take longer than a test may.
#[test]
fn ready_commands_that_hang_do_not_add_up() {
    let host = four_asked("[\"/bin/sleep\", \"60\"]");
    host.pass_at(0).expect_code(0);
    host.pass_at(RIPE).expect_code(0);
    assert_eq!(host.id_of("app:latest"), id("v2"));
    for name in FOUR {
        let [latest, v1, _] = four_names(name);
        assert_eq!(host.id_of(&latest), id(&v1));
    }
}

#[test]
fn nothing_that_a_ready_command_does_outlasts_its_timeout() {
    let host = soaking(POLICY);
    let script = host.path("ready.sh");
    let policy = format!(
        "{POLICY}ready = [\"/bin/sh\", {:?}]\nready_timeout = \"1s\"\n",
        script.display().to_string()
    );
    host.set_policy(&policy);
    let mut secs = RIPE;
    for (text, why) in [
        ("echo no; sleep 60 & exit 3\n", "exit status: 3: no"),
        (
            "trap '' TERM INT HUP; while :; do sleep 1; done\n",
            "did not end within 1s",
        ),
        (
            "exec python3 -c 'import os, time; os.setpgid(0, os.getpgid(os.getppid())); print(1, flush=True); time.sleep(60)'\n",
            "did not end within 1s: 1",
        ),
        ("kill -STOP $$\n", "did not end within 1s"),
        ("exec yes\n", "did not end within 1s: "),
        ("head -c 50000000 /dev/zero | tr '\\0' x; exit 3\n", "xxx"),
    ] {
        fs::write(&script, text).expect("writable");
        secs += 2 * RIPE;
        let pass = host.pass_at(secs).expect_code(0);
        assert_eq!(pass.mutations(), [""; 0], "{text}");
        let restarted = &pass.stderr;
        assert!(
            restarted.is_empty() || restarted.contains(why),
            "{text}{restarted}"
        );
        assert!(restarted.chars().count() < 600, "{text}{restarted}");
        // The next one begins with a soak to break.
        fs::write(&script, "exit 0\n").expect("writable");
        host.pass_at(secs + 10).expect_code(0);
    }
    host.pass_at(secs + 11 + RIPE).expect_code(0);
    assert_promoted(&host);
}

/// A pass of a user who may have so many processes. The limit does not hold for root. It counts all
/// processes of the user, so each number has a user of its own in each run of the tests: `make
/// mutants` has two at once. `scripts/test-arch` leaves out the tests with such a limit: an
/// emulator's own thread counts as well.
fn limited_pass(host: &Host, secs: u64, processes: u32) -> Outcome {
    let user = 100_000 + 10 * std::process::id() + processes;
    for path in ["", "state", "docker.sock", "policy.toml"] {
        std::os::unix::fs::chown(host.path(path), Some(user), Some(user)).expect("root may");
    }
    let command = host.command_on(&host.path("docker.sock"), secs, &["reconcile"]);
    let words: Vec<_> = command.get_args().collect();
    let is_program = |word: &&OsStr| *word == program();
    let at = words.iter().position(is_program).expect("it is run");
    let (before, from) = words.split_at(at);
    let user = user.to_string();
    let mut limited = Command::new(command.get_program());
    limited
        .args(before)
        .args([
            "setpriv",
            "--reuid",
            &user,
            "--regid",
            &user,
            "--clear-groups",
        ])
        .args(["--inh-caps=-all", "--bounding-set=-all"])
        .args(["prlimit", &format!("--nproc={processes}")])
        .args(from);
    finish(with_bare_environment(&mut limited))
}

#[test]
fn a_user_who_may_start_no_more_processes_gets_an_exit_code() {
    let host = four_asked("[\"/bin/true\"]");
    let mut said = String::new();
    for secs in [0, RIPE] {
        let pass = limited_pass(&host, secs, 1).expect_code(0);
        assert!(!pass.stderr.contains("panic"), "{pass:#?}");
        said += &pass.stderr;
    }
    assert!(
        said.contains("'/bin/true': Resource temporarily unavailable"),
        "{said}"
    );
    assert_eq!(
        host.id_of("app:latest"),
        id("v2"),
        "nobody is asked about it"
    );
    for name in FOUR {
        let [latest, v1, _] = four_names(name);
        assert_eq!(host.id_of(&latest), id(&v1));
    }
}

#[test]
fn who_may_start_few_processes_asks_all_the_same() {
    let host = four_asked("[\"/bin/sleep\", \"0.2\"]");
    for secs in [0, RIPE] {
        limited_pass(&host, secs, 3).expect_code(0);
    }
    for name in FOUR {
        let [latest, _, v2] = four_names(name);
        assert_eq!(host.id_of(&latest), id(&v2), "{name}");
    }
}
