//! R8 to the letter: the program is killed at every call it makes to the engine, and nothing is
//! lost.

use anyhow::Result;

use crate::START;
use crate::between::{Blow, pass_struck_at};
use crate::engine::{Host, MINUTE, SOAKED};
use crate::story::{names, roll_out, soak, upgrade, withdraw};

/// More calls than a pass of this story makes.
const ENOUGH_CALLS: u32 = 100;

#[test]
fn r8_killed_before_any_call_nothing_is_lost() -> Result<()> {
    killed_at_every_call(Blow::KillBeforeTheCall)
}

#[test]
fn r8_killed_before_any_answer_nothing_is_lost() -> Result<()> {
    killed_at_every_call(Blow::KillBeforeTheAnswer)
}

/// A promotion with everything that follows it, by passes of which each is killed one call later
/// than the one before.
fn killed_at_every_call(blow: Blow) -> Result<()> {
    let host = Host::new("r8-kill")?;
    let v1 = roll_out(&host, "v1")?;
    let now = soak(&host, START)?;
    let (v2, now) = upgrade(&host, "v1", "v2", now + MINUTE)?;
    withdraw(&host, "v2")?;
    let v3 = roll_out(&host, "v3")?;
    host.pass_at(now + MINUTE)?;

    let due = now + MINUTE + SOAKED;
    let mut killed = 0;
    for at_call in 1..ENOUGH_CALLS {
        let ran = pass_struck_at(&host, due, blow, at_call)?.ran;
        let latest = host.id("local:latest")?;
        assert!(
            latest == v2 || latest == v3,
            "killed at call {at_call}, latest is {latest}"
        );
        assert!(
            host.holds(&v2)? && host.holds(&v3)?,
            "killed at call {at_call}"
        );
        if ran.code.is_some() {
            assert_eq!(ran.code, Some(0), "{ran:#?}");
            break;
        }
        killed += 1;
    }
    assert!(
        (2..ENOUGH_CALLS - 1).contains(&killed),
        "killed {killed} times"
    );
    assert_eq!(host.id("local:latest")?, v3);
    assert_eq!(
        host.disk()?,
        names(["local:latest", "remote:v2", "remote:v3"])
    );
    assert!(!host.holds(&v1)?);
    Ok(())
}
