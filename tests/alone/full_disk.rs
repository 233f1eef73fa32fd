//! Disk pressure, with a real engine on a real filesystem that really is too full.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::engine::{Host, MINUTE};
use crate::on_a_small_disk;
use crate::story::{service_starts, ships, soak};

const MIB: usize = 1 << 20;

/// How full the filesystem is, as `df` prints it.
fn percent(place: &Path) -> Result<u64> {
    // What was freed lately counts once the journal is written.
    ensure!(
        Command::new("sync")
            .arg("-f")
            .arg(place)
            .status()?
            .success()
    );
    let df = Command::new("df")
        .arg("--output=pcent")
        .arg(place)
        .output()?;
    let text = String::from_utf8(df.stdout)?;
    let figure = text.lines().nth(1).context("df printed no figure")?;
    Ok(figure.trim().trim_end_matches('%').parse()?)
}

/// The orchestrator pulls a version of twenty MiB, and starts no container.
fn pulls(host: &Host, tag: &str) -> Result<()> {
    let root = tempfile::tempdir()?;
    std::fs::write(root.path().join(tag), vec![tag.as_bytes()[1]; 20 * MIB])?;
    let mut packing = Command::new("tar")
        .arg("-C")
        .arg(root.path())
        .args(["-c", "."])
        .stdout(Stdio::piped())
        .spawn()?;
    let imported = Command::new("docker")
        .env("DOCKER_HOST", format!("unix://{}", host.socket().display()))
        .args(["import", "-", &host.name(&format!("remote:{tag}"))])
        .stdin(packing.stdout.take().context("no stdout")?)
        .output()?;
    ensure!(
        packing.wait()?.success() && imported.status.success(),
        "{imported:?}"
    );
    Ok(())
}

fn on_a_real_disk(place: &Path) -> Result<()> {
    let host = Host::new("full")?;
    ships(&host, "v1")?;
    let mut secs = soak(&host, 1_000)?;
    for tag in ["x1", "x2", "x3"] {
        pulls(&host, tag)?;
        secs += MINUTE;
        host.pass_at(secs)?;
    }
    service_starts(&host)?;
    let has = |tag: &str| Ok::<_, anyhow::Error>(host.find(&format!("remote:{tag}"))?.is_some());

    let full = percent(place)?;
    // One image of twenty MiB is eight per cent of this filesystem.
    host.set_policy(&format!("pressure = \"{}%\"", full - 2))?;
    secs += 5 * MINUTE;
    let plan = host.plan_json(secs)?;
    let figures = format!("% full, more than {}%", full - 2);
    ensure!(plan.to_string().contains(&figures), "{plan:#}");
    let ran = host.tagkeeper_at(secs, &["reconcile"])?;
    ensure!(
        ran.code == Some(0) && ran.stderr.contains(&figures),
        "{ran:#?}"
    );
    ensure!(!has("x1")?, "the oldest goes");
    ensure!(has("x2")? && has("x3")?, "and one is enough");
    ensure!(percent(place)? <= full - 2, "{} of {full}", percent(place)?);
    ensure!(host.find("local:latest")?.is_some());

    let quiet = host.tagkeeper_at(secs + MINUTE, &["reconcile"])?;
    ensure!(
        quiet.code == Some(0) && quiet.stderr.is_empty(),
        "{quiet:#?}"
    );
    ensure!(has("x2")? && has("x3")?, "the disk is full enough no more");
    Ok(())
}

#[test]
fn on_a_full_disk_the_oldest_idle_image_goes_and_that_is_enough() -> Result<()> {
    let name = "full_disk::on_a_full_disk_the_oldest_idle_image_goes_and_that_is_enough";
    on_a_small_disk(name, on_a_real_disk)
}
