//! `ready/exec` in real containers, and against engines that answer as no engine does.

use anyhow::Result;
use serde_json::json;

use crate::asking::{ID, Said, ask, ask_about};
use crate::engine::Host;
use crate::peers::{Manner, Socket};

/// A container to run scripts in.
struct Scripted<'a> {
    host: &'a Host,
    name: String,
    id: String,
}

impl<'a> Scripted<'a> {
    fn start(host: &'a Host) -> Result<Self> {
        let name = host.container();
        host.import("local:v1", "for scripts")?;
        host.run(&name, "local:v1")?;
        let id = host.docker(&["inspect", "--format", "{{.Id}}", &name])?;
        Ok(Self { host, name, id })
    }

    fn ask(&self, arguments: &[&str]) -> Said {
        let socket = self.host.socket().display().to_string();
        let arguments = [&["--socket", &socket], arguments].concat();
        ask_about(&self.id, &self.name, "exec", &arguments)
    }

    /// Asks with a script for the container's shell.
    fn script(&self, script: &str) -> Said {
        self.ask(&["--timeout", "20s", "/bin/sh", "-c", script])
    }
}

#[test]
fn a_script_in_the_container_decides() -> Result<()> {
    let host = Host::new("exec")?;
    let container = Scripted::start(&host)?;
    container
        .script("echo not yet >&2; test -e /ready")
        .expect_not_ready("'/bin/sh' ended with 1: not yet");
    host.docker(&["exec", &container.name, "touch", "/ready"])?;
    container.script("echo fine; test -e /ready").expect_ready();
    // No shell in between: an argument stays one.
    container
        .ask(&["/bin/test", "a  b; false", "=", "a  b; false"])
        .expect_ready();
    container
        .script("exit 42")
        .expect_not_ready("ended with 42");
    container
        .script("kill -9 $$")
        .expect_not_ready("ended with 137");
    container
        .ask(&["--user", "65534", "/bin/sh", "-c", "exit $(busybox id -u)"])
        .expect_not_ready("ended with 254");
    Ok(())
}

#[test]
fn a_script_that_is_not_there_and_a_container_that_is_not_up_are_not_ready() -> Result<()> {
    let host = Host::new("exec-missing")?;
    let container = Scripted::start(&host)?;
    container
        .ask(&["/nowhere/probe.sh"])
        .expect_not_ready("/nowhere/probe.sh");
    host.docker(&["pause", &container.name])?;
    container
        .script("true")
        .expect_not_ready("the engine answered 409");
    host.docker(&["unpause", &container.name])?;
    host.stop(&container.name)?;
    container.script("true").expect_not_ready("is not running");
    host.remove(&container.name)?;
    container
        .script("true")
        .expect_not_ready("the engine answered 404: No such container");
    Ok(())
}

#[test]
fn a_script_that_floods_hangs_or_leaves_a_child_behind_is_not_ready_in_time() -> Result<()> {
    let host = Host::new("exec-late")?;
    let container = Scripted::start(&host)?;
    let late = |script| container.ask(&["--timeout", "1s", "/bin/sh", "-c", script]);
    late("sleep 60").expect_late("running '/bin/sh' in the container");
    late("sleep 60 & exit 0").expect_late("running '/bin/sh' in the container");
    late("while :; do echo flood; done").expect_late("running '/bin/sh' in the container");
    // 200 lines of a kilobyte and their end.
    let flood = "x=x; for i in 1 2 3 4 5 6 7 8 9 0; do x=$x$x; done; i=0; \
                 while test $i -lt 200; do echo $x; i=$((i + 1)); done; echo the end; exit 3";
    let said = container.script(flood);
    said.expect_not_ready("ended with 3: xxx");
    said.expect_not_ready("x the end\n");
    // Nothing in it turns the direction of writing, or hides.
    container
        .script("printf 'no\\342\\200\\256way\\342\\200\\213'; exit 3")
        .expect_not_ready("ended with 3: no\u{fffd}way\u{fffd}\n");
    container
        .script("cat /dev/zero")
        .expect_not_ready("larger than 16 MiB");
    // What was late still floods in it, and would take a processor for as long as the engine is up.
    host.remove(&container.name)
}

#[test]
fn an_engine_that_is_gone_hangs_or_talks_nonsense_is_not_ready_in_time() {
    let asked = |socket: &str| ask("exec", &["--socket", socket, "--timeout", "1s", "/probe"]);
    asked("/nowhere/docker.sock").expect_not_ready("No such file or directory");
    for manner in [Manner::Hangs, Manner::Drips("HTTP/1.1 200 OK\r\nx: ")] {
        asked(&Socket::of(manner).text()).expect_late("asking the engine at");
    }
    let long = "x".repeat(5_000_000);
    for (manner, reason) in [
        (Manner::Answers(String::new()), "failed to ask the engine"),
        (Manner::Floods("x"), "failed to ask the engine"),
        (
            Manner::Floods("HTTP/1.1 200 OK\r\n"),
            "failed to ask the engine",
        ),
        (
            Manner::FloodsAfter("HTTP/1.1 200 OK\r\nx: ", "x"),
            "failed to ask the engine",
        ),
        (Manner::http("201 Created", "<html>"), "deserialize JSON"),
        (
            Manner::http("201 Created", r#"{"Id":"../../x"}"#),
            "gave the command no id",
        ),
        (Manner::http("201 Created", "[]"), "deserialize JSON"),
        (Manner::http("101 Odd", ""), "the engine answered 101"),
        (Manner::http("201 Created", &long), "larger than 4 MiB"),
        (Manner::http("500 Oops", &long), "the engine answered 500"),
        (
            Manner::http("500 Oops", r#"{"message":"out of\nsorts"}"#),
            "500: out of sorts",
        ),
    ] {
        asked(&Socket::of(manner).text()).expect_not_ready(reason);
    }
    // Every request gets the answer to the first: a command was made, and its start is no upgrade.
    let made = json!({"Id": ID}).to_string();
    asked(&Socket::of(Manner::http("201 Created", &made)).text())
        .expect_not_ready("failed to ask the engine");
}

#[test]
fn output_in_no_frame_or_without_measure_is_not_ready() {
    let asked = |start: Manner| {
        let engine = Socket::of(Manner::Runs(Box::new(start)));
        ask("exec", &["--socket", &engine.text(), "/probe"])
    };
    let upgraded = "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
    let writes = |output: &str| asked(Manner::Answers(format!("{upgraded}{output}")));
    writes("").expect_ready();
    writes("\x01\0\0\0\0\0\0\x05words\x02\0\0\0\0\0\0\0").expect_ready();
    for output in [
        "plain text, no frame",
        "\x03\0\0\0\0\0\0\0",
        "\x01\0\0",
        "\x01\0\0\0\0\0\0\x05word",
    ] {
        writes(output).expect_not_ready("the engine broke off");
    }
    // One frame that says that it holds 2 GiB.
    let frame =
        "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n\x01\0\0\0\x7f\0\0\0";
    asked(Manner::FloodsAfter(frame, "x")).expect_not_ready("larger than 16 MiB");
    asked(Manner::http("200 OK", "")).expect_not_ready("failed to ask the engine");
}

#[test]
fn wrong_usage_is_said_with_the_right_one() {
    ask("exec", &[""; 0]).expect_wrong_usage("no command to run");
    ask("exec", &["--sucket", "x"]).expect_wrong_usage("unknown option '--sucket'");
    ask("exec", &["--timeout", "0s", "x"]).expect_wrong_usage("'--timeout 0s'");
    ask_about("abc", "x", "exec", &["/probe"]).expect_not_ready("not the 64 digits");
}
