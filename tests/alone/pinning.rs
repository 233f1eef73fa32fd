//! What a pin withstands, and what not: the table of docs/pinning.md, row by row, on a real engine.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::beside_an_engine;
use crate::engine::{Host, MINUTE, WORKLOAD};
use crate::story::{roll_out, soak, withdraw};

/// What is left of a fallback and its pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// The fallback's image and its pin.
    Both,
    /// The image. The next pass makes a new pin.
    Image,
    /// The pin, of an image that is gone: the next pass removes it.
    Pin,
    Nothing,
    /// It depends on the engine's version.
    Varies,
}

/// A row: what somebody types, and what that leaves with Docker's graph drivers, containerd's image
/// store, and Podman. NAME is the fallback's only name, OTHER one that was added to it, ID its id.
type Row = (&'static [&'static str], [Left; 3]);

use Left::{Both, Image, Nothing, Pin, Varies};

const ROWS: [Row; 10] = [
    (&["rmi", "NAME"], [Both; 3]),
    // As kubelet does by way of cri-dockerd: each name, and then no more.
    (&["rmi", "NAME", "OTHER"], [Both; 3]),
    (&["rmi", "ID"], [Both; 3]),
    (&["rmi", "--force", "NAME"], [Pin, Both, Nothing]),
    // As Nomad does.
    (&["rmi", "--force", "ID"], [Pin, Pin, Nothing]),
    (&["image", "prune", "--all", "--force"], [Both; 3]),
    (&["container", "prune", "--force"], [Image; 3]),
    (
        &["container", "prune", "--force", "--filter", UNPINNED],
        [Both; 3],
    ),
    (
        &["system", "prune", "--all", "--force"],
        [Nothing, Nothing, Varies],
    ),
    (
        &["system", "prune", "--all", "--force", "--filter", UNPINNED],
        [Both; 3],
    ),
];

const UNPINNED: &str = "label!=tagkeeper.pin";

/// A host where v2 is latest and v1 the fallback.
struct Pinned {
    host: Host,
    fallback: String,
    secs: u64,
}

impl Pinned {
    fn new(story: &str, pin: bool) -> Result<Self> {
        let host = Host::new(story)?;
        host.set_policy(&format!("pin = {pin}"))?;
        let fallback = roll_out(&host, "v1")?;
        let secs = soak(&host, 1_000)?;
        withdraw(&host, "v1")?;
        roll_out(&host, "v2")?;
        let secs = soak(&host, secs + MINUTE)?;
        let pinned = Self {
            host,
            fallback,
            secs,
        };
        ensure!(pinned.has_pin()? == pin, "pin = {pin}");
        Ok(pinned)
    }

    fn pin_name(&self) -> String {
        let id = self.fallback.trim_start_matches("sha256:");
        format!("tagkeeper-pin-{WORKLOAD}-{}", &id[..12])
    }

    fn has_pin(&self) -> Result<bool> {
        let state = self.host.state(&self.pin_name())?;
        ensure!(state.as_deref().is_none_or(|s| s == "created"), "{state:?}");
        Ok(state.is_some())
    }

    fn left(&self) -> Result<Left> {
        Ok(match (self.host.holds(&self.fallback)?, self.has_pin()?) {
            (true, true) => Both,
            (true, false) => Image,
            (false, true) => Pin,
            (false, false) => Nothing,
        })
    }

    /// Types a row's command, whatever comes of it.
    fn types(&self, words: &[&str]) -> Result<String> {
        let other = format!("other-{}:x", self.fallback.trim_start_matches("sha256:"));
        if words.contains(&"OTHER") {
            self.host.tag(&self.fallback, &other)?;
        }
        let name = self.host.name("remote:v1");
        let words: Vec<&str> = words
            .iter()
            .map(|word| match *word {
                "NAME" => &name,
                "OTHER" => &other,
                "ID" => &self.fallback,
                word => word,
            })
            .collect();
        Ok(match self.host.docker(&words) {
            Ok(said) => said,
            Err(refusal) => format!("{refusal:#}"),
        })
    }

    /// The next pass finds its way: a fallback that is there is pinned, and no pin is left of one
    /// that is gone.
    fn next_pass(&mut self) -> Result<()> {
        self.secs += MINUTE;
        self.host.pass_at(self.secs)?;
        let left = self.left()?;
        ensure!(left == Both || left == Nothing, "after a pass: {left:?}");
        Ok(())
    }
}

fn column() -> usize {
    let asked = |name| std::env::var(name).unwrap_or_default();
    match (
        asked("TAGKEEPER_ENGINE").as_str(),
        asked("TAGKEEPER_ENGINE_IMAGE_STORE").as_str(),
    ) {
        ("podman", _) => 2,
        (_, "containerd") => 1,
        _ => 0,
    }
}

fn the_table() -> Result<()> {
    let mut wrong = Vec::new();
    for (words, expected) in ROWS {
        let mut pinned = Pinned::new("row", true)?;
        let said = pinned.types(words)?;
        let (left, expected) = (pinned.left()?, expected[column()]);
        println!("{left:?}: docker {}", words.join(" "));
        if left != expected && expected != Varies {
            wrong.push(format!("{words:?}: {left:?}, not {expected:?}: {said}"));
        }
        pinned.next_pass().with_context(|| format!("{words:?}"))?;
    }
    // Without the pin it is another story, or the table above would say nothing.
    for words in [
        &["rmi", "NAME"][..],
        &["image", "prune", "--all", "--force"],
    ] {
        let bare = Pinned::new("bare", false)?;
        let said = bare.types(words)?;
        // Podman 4.3 does not understand this client's way to ask for that.
        let understood = column() != 2 || words[0] == "rmi";
        if understood && bare.left()? != Nothing {
            wrong.push(format!("{words:?} without a pin: {said}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn a_pin_withstands_what_the_table_says() -> Result<()> {
    let name = "pinning::a_pin_withstands_what_the_table_says";
    beside_an_engine(name, the_table)
}

/// An image that has no command and declares a volume.
fn without_a_command(host: &Host, tag: &str) -> Result<()> {
    let name = host.name(&format!("remote:{tag}"));
    host.import("local:base", tag)?;
    host.docker(&["create", "--name", tag, &host.name("local:base")])?;
    let flat = "docker export \"$1\" | docker import --change 'VOLUME [\"/data\"]' - \"$2\"";
    let imported = Command::new("sh")
        .args(["-ec", flat, "sh", tag, &name])
        .env("DOCKER_HOST", format!("unix://{}", host.socket().display()))
        .output()?;
    ensure!(imported.status.success(), "{imported:?}");
    host.docker(&["rm", tag])?;
    host.untag("local:base")
}

fn odd_images() -> Result<()> {
    let host = Host::new("odd")?;
    host.set_policy("pin = true")?;
    let mut secs = 1_000;
    for tag in ["v1", "v2"] {
        without_a_command(&host, tag)?;
        let (pod, image) = (host.pod(tag), format!("remote:{tag}"));
        host.run_with(&pod, &image, &[], &["sleep", "2147483647"])?;
        secs = soak(&host, secs + MINUTE)?;
        if tag == "v1" {
            host.docker(&["rm", "--force", "--volumes", &pod])?;
        }
    }
    let volumes = || host.docker(&["volume", "ls", "--quiet"]);
    let before = volumes()?;
    let pins = ["ps", "--all", "--quiet", "--filter", "label=tagkeeper.pin"];
    let pin = host.docker(&pins)?;
    ensure!(!pin.is_empty(), "v1 is not pinned");
    ensure!(host.docker(&["start", &pin]).is_err(), "it has no program");
    host.pass_at(secs + MINUTE)?;
    ensure!(
        host.docker(&pins)? == pin,
        "whoever tried to start it has changed nothing"
    );
    ensure!(before.lines().count() == 1, "v2's own: {before}");

    host.set_policy("pin = false")?;
    host.pass_at(secs + 2 * MINUTE)?;
    ensure!(host.docker(&pins)?.is_empty(), "the pin is still there");
    ensure!(volumes()? == before, "and left a volume: {}", volumes()?);
    Ok(())
}

#[test]
fn an_image_without_a_command_is_pinned_and_its_volumes_are_not_made() -> Result<()> {
    let name = "pinning::an_image_without_a_command_is_pinned_and_its_volumes_are_not_made";
    beside_an_engine(name, odd_images)
}
