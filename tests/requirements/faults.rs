//! The fault tests that a real engine can play: it is not there, goes away, or stalls, at every
//! call of a promotion.
//!
//! What an answer may hold (errors, odd JSON, states) is the fake engine's part, in `tests/faults`.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;

use anyhow::Result;

use crate::START;
use crate::between::{Blow, pass_struck_at};
use crate::engine::{Host, MINUTE, Ran, SOAKED};
use crate::story::{names, roll_out, soak, upgrade, withdraw};

/// More calls than a pass of this story makes.
const ENOUGH_CALLS: u32 = 100;
/// Longer than a busy engine takes for a call, and short enough to be waited out at each of them.
const PATIENCE: &str = "[engine]\ntimeout = \"4s\"\n";

#[test]
fn faults_an_engine_that_hangs_up_at_any_call_loses_nothing() -> Result<()> {
    struck_at_every_call("hangup", Blow::Hangup)
}

#[test]
fn faults_half_an_answer_at_any_call_loses_nothing() -> Result<()> {
    struck_at_every_call("half", Blow::HalfAnAnswer)
}

#[test]
fn faults_an_engine_that_stalls_at_any_call_loses_nothing() -> Result<()> {
    struck_at_every_call("stall", Blow::Stall)
}

/// A promotion with everything that follows it, by passes of which each is struck one call later
/// than the one before.
fn struck_at_every_call(story: &str, blow: Blow) -> Result<()> {
    let (host, due) = ripe(story)?;
    let (v2, v3) = (host.id("remote:v2")?, host.id("remote:v3")?);
    let mut struck = 0;
    for at_call in 1..ENOUGH_CALLS {
        let (disk, latest) = (host.disk()?, host.id("local:latest")?);
        let pass = pass_struck_at(&host, due, blow, at_call)?;
        let now = host.id("local:latest")?;
        assert!(
            now == v2 || now == v3,
            "{blow:?} at call {at_call}: latest is {now}"
        );
        assert!(
            host.holds(&v2)? && host.holds(&v3)?,
            "{blow:?} at call {at_call}"
        );
        if !pass.fell {
            assert_eq!(pass.ran.code, Some(0), "{:#?}", pass.ran);
            break;
        }
        struck += 1;
        match pass.ran.code {
            Some(69) => assert_eq!((host.disk()?, now), (disk, latest), "{:#?}", pass.ran),
            code => assert_eq!(code, Some(1), "{blow:?} at call {at_call}: {:#?}", pass.ran),
        }
    }
    assert!(
        (2..ENOUGH_CALLS - 1).contains(&struck),
        "struck {struck} times"
    );
    assert_eq!(host.id("local:latest")?, v3);
    assert_eq!(
        host.disk()?,
        names(["local:latest", "remote:v2", "remote:v3"])
    );
    Ok(())
}

#[test]
fn faults_without_an_engine_nothing_is_forgotten() -> Result<()> {
    let (host, due) = ripe("absent")?;
    let state = fs::read(host.state_dir().join("state.json"))?;
    let deserted = host.path("deserted.sock");
    drop(UnixListener::bind(&deserted)?);
    for socket in [host.path("absent.sock"), deserted] {
        let ran = pass_on(&host, due, &socket)?;
        assert_eq!(ran.code, Some(69), "{ran:#?}");
        assert!(
            ran.stderr.contains(&*socket.to_string_lossy()),
            "names the socket: {ran:#?}"
        );
    }
    assert_eq!(fs::read(host.state_dir().join("state.json"))?, state);
    host.pass_at(due)?;
    assert_eq!(host.id("local:latest")?, host.id("remote:v3")?);
    Ok(())
}

fn pass_on(host: &Host, uptime_secs: u64, socket: &Path) -> Result<Ran> {
    let mut command = host.command_at(uptime_secs, socket, &["reconcile"])?;
    Ran::new(command.output()?)
}

/// A host where v2 is proven, v1 its fallback, and v3 has soaked by that uptime.
fn ripe(story: &str) -> Result<(Host, u64)> {
    let host = Host::new(story)?;
    host.set_policy(PATIENCE)?;
    roll_out(&host, "v1")?;
    let now = soak(&host, START)?;
    let (_, now) = upgrade(&host, "v1", "v2", now + MINUTE)?;
    withdraw(&host, "v2")?;
    roll_out(&host, "v3")?;
    host.pass_at(now + MINUTE)?;
    Ok((host, now + MINUTE + SOAKED))
}
