//! The stories that every orchestrator plays, each on an engine and with a registry of its own.

use anyhow::{Context, Result, ensure};

use crate::deployed::Release;
use crate::engine::{DAY, HOUR, MINUTE};
use crate::orchestrator::{Does, Named, Orchestrator, Version};
use crate::story::{gives_way, service_starts, ships};

/// Makes a test of each story, played by this orchestrator. Tests are in the module that is named
/// here, and each of them runs beside what the function starts: an engine of its own, if none is
/// named.
macro_rules! played_by {
    ($orchestrator:ty, $module:literal, $beside:path, $($story:ident)+) => { $(
        #[test]
        fn $story() -> anyhow::Result<()> {
            $beside(
                concat!($module, "::", stringify!($story)),
                $crate::stories::$story::<$orchestrator>,
            )
        }
    )+ };
    ($orchestrator:ty, $module:literal) => {
        $crate::stories::played_by! { $orchestrator, $module, $crate::beside::beside_an_engine,
            dry_run_by_tag_promotes_nothing
            dry_run_by_tag_and_digest_promotes_nothing
            dry_run_by_digest_promotes_nothing
            upgrade_is_promoted_and_cleaned_up
            crash_is_rolled_back
            rollback_while_the_bad_version_is_still_deployed
            gone_and_the_local_service_runs_the_promoted_version
            moving_tag_over_three_releases
        }
    };
}
pub(crate) use played_by;

/// Local v1 works, the same version idles beside it, and is no upgrade whatever becomes of the
/// local container. Then v2 is one: the v1 that worked is the fallback, and the one that never did
/// is gone.
fn idles_beside_the_local_one<O: Orchestrator>(named: Named) -> Result<()> {
    let by = O::new("dry", &["dry_runs = true"])?;
    let on = by.on();
    let [v1, v2] = [("v1", "idles"), ("v2", "works")].map(|(tag, text)| on.publish(tag, text));
    let (remote_v1, v2) = (v1?, v2?);
    let deploy = |tag, release| {
        let does = Does::Work;
        by.deploy(&Version {
            tag,
            release,
            named,
            does,
        })?;
        by.runs(tag, release)
    };
    let local_v1 = ships(&on.host, "v1")?;
    on.soaks()?;
    deploy("v1", &remote_v1)?;
    on.soaks()?;
    on.latest_is(&local_v1)?;
    on.holds(&[&local_v1, &remote_v1.id], &[])?;

    gives_way(&on.host)?;
    on.soaks()?;
    on.latest_is(&local_v1)
        .context("the local container has stopped; v1 still idles")?;
    on.holds(&[&local_v1, &remote_v1.id], &[])?;
    service_starts(&on.host)?;
    on.soaks()?;
    on.latest_is(&local_v1)?;
    ensure!(on.host.image_of(&on.host.container())? == local_v1);

    gives_way(&on.host)?;
    deploy("v2", &v2)?;
    on.soaks()?;
    on.latest_is(&v2.id)?;
    by.dead_containers_are_gone()?;
    on.pass()?;
    on.holds(&[&local_v1, &v2.id], &[&remote_v1.id])?;
    on.survives_a_prune(&local_v1)
}

pub(crate) fn dry_run_by_tag_promotes_nothing<O: Orchestrator>() -> Result<()> {
    idles_beside_the_local_one::<O>(Named::Tag)
}

pub(crate) fn dry_run_by_tag_and_digest_promotes_nothing<O: Orchestrator>() -> Result<()> {
    idles_beside_the_local_one::<O>(Named::TagAndDigest)
}

pub(crate) fn dry_run_by_digest_promotes_nothing<O: Orchestrator>() -> Result<()> {
    idles_beside_the_local_one::<O>(Named::Digest)
}

pub(crate) fn upgrade_is_promoted_and_cleaned_up<O: Orchestrator>() -> Result<()> {
    let by = O::new("upgrade", &[])?;
    let on = by.on();
    let v2 = on.publish("v2", "second")?;
    let v3 = on.publish("v3", "third")?;
    let v1 = ships(&on.host, "v1")?;
    on.soaks()?;
    gives_way(&on.host)?;
    by.update("v2", &v2)?;
    on.pass()?;
    on.latest_is(&v1).context("v2 soaks")?;
    on.soaks()?;
    on.latest_is(&v2.id)?;
    ensure!(on.host.state(&on.host.container())?.is_none(), "R2");
    on.holds(&[&v1, &v2.id], &[])?;
    on.survives_a_prune(&v1)?;

    // Both run for a moment, where the orchestrator can do that, and nothing can be told then.
    by.deploy_start_first(&O::version("v3", &v3, Does::Work))?;
    by.runs("v3", &v3)?;
    by.dead_containers_are_gone()?;
    on.soaks()?;
    on.latest_is(&v3.id)?;
    on.holds(&[&v2.id, &v3.id], &[&v1])?;
    on.survives_a_prune(&v2.id)
}

/// v1 is what the host was shipped with, and v2 is promoted: the image of v1, and v2.
fn has_upgraded<O: Orchestrator>(by: &O) -> Result<(String, Release)> {
    let on = by.on();
    let v2 = on.publish("v2", "second")?;
    let v1 = ships(&on.host, "v1")?;
    on.soaks()?;
    gives_way(&on.host)?;
    by.update("v2", &v2)?;
    on.soaks()?;
    on.latest_is(&v2.id)?;
    Ok((v1, v2))
}

pub(crate) fn crash_is_rolled_back<O: Orchestrator>() -> Result<()> {
    let by = O::new("crash", &[])?;
    let on = by.on();
    let (v1, v2) = has_upgraded(&by)?;
    let v3 = on.publish("v3", "crashes")?;
    by.deploy(&O::version("v3", &v3, Does::Crash))?;
    by.recover(&O::version("v2", &v2, Does::Work))?;
    by.runs("v2", &v2)?;
    on.latest_is(&v2.id)?;
    on.holds(&[&v1, &v2.id, &v3.id], &[])?;
    on.soaks()?;
    on.latest_is(&v2.id)?;
    on.holds(&[&v1, &v2.id, &v3.id], &[])?;

    by.dead_containers_are_gone()?;
    on.pass()?;
    on.later(DAY + HOUR);
    on.pass()?;
    on.latest_is(&v2.id)?;
    on.holds(&[&v1, &v2.id], &[&v3.id])?;
    on.survives_a_prune(&v1)
}

/// `tagkeeper rollback`, after which this is latest.
fn rolls_back_to<O: Orchestrator>(by: &O, good: &Release) -> Result<()> {
    let ran = by.on().tagkeeper(&["rollback", "--yes", O::WORKLOAD])?;
    ensure!(ran.code == Some(0), "{ran:#?}");
    by.on().latest_is(&good.id)
}

pub(crate) fn rollback_while_the_bad_version_is_still_deployed<O: Orchestrator>() -> Result<()> {
    let by = O::new("person", &[])?;
    let on = by.on();
    let (v1, v2) = has_upgraded(&by)?;
    let v3 = on.publish("v3", "crashes")?;

    // In a crash loop: v3 was never latest, and is not what latest goes back from.
    by.deploy(&O::version("v3", &v3, Does::CrashLoop))?;
    by.has_crashed()?;
    on.passes(2 * MINUTE)?;
    rolls_back_to(&by, &v2)?;
    on.soaks()?;
    on.latest_is(&v2.id)?;
    on.holds(&[&v1, &v2.id], &[])?;
    by.roll_back(&O::version("v2", &v2, Does::Work))?;
    by.runs("v2", &v2)?;
    on.soaks()?;
    on.latest_is(&v2.id)?;
    on.holds(&[&v1, &v2.id], &[])?;

    goes_back_from_what_was_promoted(&by, &v2)?;
    on.holds(&[], &[&v3.id])
}

/// The second half of it, for an orchestrator whose crash loops leave no container.
#[allow(dead_code, reason = "not every test has such an orchestrator")]
pub(crate) fn rollback_of_what_was_promoted<O: Orchestrator>() -> Result<()> {
    let by = O::new("person", &[])?;
    let (_, v2) = has_upgraded(&by)?;
    goes_back_from_what_was_promoted(&by, &v2)
}

/// Promoted, and bad all the same. The orchestrator goes on with it for an hour.
fn goes_back_from_what_was_promoted<O: Orchestrator>(by: &O, v2: &Release) -> Result<()> {
    let on = by.on();
    let v4 = on.publish("v4", "runs, and does nothing useful")?;
    by.update("v4", &v4)?;
    on.soaks()?;
    on.latest_is(&v4.id)?;
    rolls_back_to(by, v2)?;
    on.passes(HOUR)?;
    on.latest_is(&v2.id)?;
    ensure!(by.running()? == [v4.id.as_str()], "nobody stops it");
    by.roll_back(&O::version("v2", v2, Does::Work))?;
    by.runs("v2", v2)?;
    by.dead_containers_are_gone()?;
    on.soaks()?;
    on.later(DAY + HOUR);
    on.pass()?;
    on.latest_is(&v2.id)?;
    on.holds(&[&v2.id], &[&v4.id])?;
    on.survives_a_prune(&v2.id)
}

pub(crate) fn gone_and_the_local_service_runs_the_promoted_version<O: Orchestrator>() -> Result<()>
{
    let by = O::new("gone", &[])?;
    let on = by.on();
    let local = on.host.container();
    let (v1, v2) = has_upgraded(&by)?;
    let v3 = on.publish("v3", "third")?;

    by.leave()?;
    by.nothing_runs()?;
    service_starts(&on.host)?;
    ensure!(on.host.image_of(&local)? == v2.id, "v2 is what worked last");
    on.soaks()?;
    on.later(3 * DAY);
    on.soaks()?;
    on.latest_is(&v2.id)?;
    on.holds(&[&v1, &v2.id], &[])?;
    ensure!(on.host.state(&local)?.as_deref() == Some("running"));

    // It comes back, and upgrades. Then its service is removed.
    by.join()?;
    gives_way(&on.host)?;
    by.update("v3", &v3)?;
    on.soaks()?;
    on.latest_is(&v3.id)?;
    by.remove_service()?;
    by.nothing_runs()?;
    service_starts(&on.host)?;
    ensure!(on.host.image_of(&local)? == v3.id, "v3 is what worked last");
    on.soaks()?;
    on.latest_is(&v3.id)?;
    on.holds(&[&v2.id, &v3.id], &[&v1])
}

pub(crate) fn moving_tag_over_three_releases<O: Orchestrator>() -> Result<()> {
    let by = O::new("moving", &[])?;
    let on = by.on();
    let shipped = ships(&on.host, "stable")?;
    on.soaks()?;
    gives_way(&on.host)?;
    let mut proven = vec![shipped];
    for build in ["first", "second", "third"] {
        let release = on.publish("stable", build)?;
        by.update("stable", &release)?;
        on.pass()?;
        on.latest_is(&proven[proven.len() - 1])
            .context("it soaks")?;
        on.soaks()?;
        on.latest_is(&release.id)?;
        proven.push(release.id);
        by.dead_containers_are_gone()?;
        on.pass()?;
        let (older, kept) = proven.split_at(proven.len() - 2);
        let (kept, older): (Vec<&str>, Vec<&str>) = (
            kept.iter().map(String::as_str).collect(),
            older.iter().map(String::as_str).collect(),
        );
        on.holds(&kept, &older)?;
        on.survives_a_prune(kept[0])?;
    }
    Ok(())
}

/// Three versions, one after the other. Something holds the first for days, and it is removed in
/// the pass after that lets go.
pub(crate) fn upgrade_leaves_what_is_held<O: Orchestrator>(
    by: &O,
    hold_v1: impl FnOnce() -> Result<()>,
    let_go: impl FnOnce(&Release) -> Result<()>,
) -> Result<()> {
    let on = by.on();
    let v1 = on.publish("v1", "first")?;
    let v2 = on.publish("v2", "second")?;
    let v3 = on.publish("v3", "third")?;
    let becomes_latest = |tag, release: &Release| {
        by.update(tag, release)?;
        on.soaks()?;
        on.latest_is(&release.id)
    };
    becomes_latest("v1", &v1)?;
    hold_v1()?;
    becomes_latest("v2", &v2)?;
    becomes_latest("v3", &v3)?;
    on.later(3 * DAY);
    on.pass()?;
    on.holds(&[&v1.id, &v2.id, &v3.id], &[])?;

    let_go(&v3)?;
    on.pass()?;
    on.latest_is(&v3.id)?;
    on.holds(&[&v2.id, &v3.id], &[&v1.id])
}
