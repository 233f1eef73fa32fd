//! A host on which an orchestrator deploys: time that goes by with a pass a minute, waiting for
//! what others do, releases in the registry, and a policy from `config/examples`.

use std::cell::Cell;
use std::fs;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::engine::{Host, MINUTE, Ran};

/// For how long a story waits for the orchestrator: some hundred times what it takes.
const PATIENCE_SECS: u64 = 90;
const POLLS_PER_SEC: u64 = 5;
/// Of the examples' policies.
const SOAK: u64 = 10 * MINUTE;
/// The pass succeeded; and the engine's answer could not be read, since an image was removed while
/// it made the list.
const FINE: [i32; 2] = [0, 69];

/// A version in the registry, of which the disk holds nothing.
#[derive(Debug)]
pub(crate) struct Release {
    /// The image's id, as it is once it was pulled.
    pub(crate) id: String,
    /// `sha256:` and digits: what the registry calls it.
    pub(crate) digest: String,
}

/// A host, and the uptime at which its next pass comes.
pub(crate) struct Deployed {
    pub(crate) host: Host,
    now: Cell<u64>,
}

impl Deployed {
    pub(crate) fn new(story: &str) -> Result<Self> {
        Ok(Self {
            host: Host::new(story)?,
            now: Cell::new(1_000),
        })
    }

    /// Takes a policy of `config/examples` over, with the names of this host in place of its own,
    /// and with these lines in place of those that set the same key.
    pub(crate) fn set_example(&self, example: &str, instead: &[&str]) -> Result<()> {
        let host = &self.host;
        let mut lines: Vec<String> = example.lines().map(str::to_owned).collect();
        let own = [
            format!("repository = {:?}", host.name("local")),
            format!("remotes = [{:?}]", host.name("remote")),
            format!("container = {:?}", host.container()),
        ];
        for line in own
            .iter()
            .map(String::as_str)
            .chain(instead.iter().copied())
        {
            let (key, _) = line.split_once('=').context("key = value")?;
            let found = lines.iter_mut().find(|l| l.starts_with(key));
            line.clone_into(found.with_context(|| format!("the example sets no {key}"))?);
        }
        Ok(fs::write(host.policy_file(), lines.join("\n"))?)
    }

    /// Makes a version and puts it into the registry, and takes it off the disk.
    pub(crate) fn publish(&self, tag: &str, text: &str) -> Result<Release> {
        let name = format!("remote:{tag}");
        self.host.publish(&name, text)?;
        // What an engine pushes may have another digest there than here.
        let id = self.host.pull(&name)?;
        let name = self.host.name(&name);
        let format = "{{range .RepoDigests}}{{println .}}{{end}}";
        let digests = self
            .host
            .docker(&["image", "inspect", "--format", format, &name])?;
        let repository = self.host.name("remote");
        let digest = digests
            .lines()
            .find_map(|line| line.strip_prefix(&repository)?.strip_prefix('@'))
            .with_context(|| format!("no digest of {repository} in: {digests}"))?
            .to_owned();
        self.host.docker(&["rmi", &name])?;
        ensure!(!self.host.holds(&id)?, "{tag} is still on the disk");
        Ok(Release { id, digest })
    }

    /// The pass of the next minute.
    pub(crate) fn pass(&self) -> Result<()> {
        self.later(MINUTE);
        self.host.pass_at(self.now.get())
    }

    /// Time goes by, without a pass.
    pub(crate) fn later(&self, secs: u64) {
        self.now.set(self.now.get() + secs);
    }

    /// A pass each minute for so long.
    pub(crate) fn passes(&self, secs: u64) -> Result<()> {
        (0..=secs / MINUTE).try_for_each(|_| self.pass())
    }

    /// A pass each minute, until what serves has soaked and everything that follows from it is
    /// done.
    pub(crate) fn soaks(&self) -> Result<()> {
        self.passes(SOAK + 3 * MINUTE)
    }

    /// tagkeeper with these arguments, now.
    pub(crate) fn tagkeeper(&self, args: &[&str]) -> Result<Ran> {
        self.host.tagkeeper_at(self.now.get(), args)
    }

    /// Waits until this comes true, with passes meanwhile, a second of uptime apart.
    pub(crate) fn until(&self, what: &str, is_so: impl Fn() -> Result<bool>) -> Result<()> {
        for _ in 0..PATIENCE_SECS * POLLS_PER_SEC {
            if is_so()? {
                return Ok(());
            }
            self.later(1);
            let ran = self.tagkeeper(&["reconcile"])?;
            ensure!(
                ran.code.is_some_and(|code| FINE.contains(&code)),
                "while waiting for '{what}': {ran:#?}"
            );
            sleep(Duration::from_millis(1_000 / POLLS_PER_SEC));
        }
        let containers = self.host.docker(&["ps", "--all", "--no-trunc"])?;
        bail!("waited for '{what}' in vain; the containers are\n{containers}")
    }

    /// `latest` means this image.
    pub(crate) fn latest_is(&self, image: &str) -> Result<()> {
        let latest = self.host.id("local:latest")?;
        ensure!(latest == image, "latest is {latest}, not {image}");
        Ok(())
    }

    /// Of these images the disk holds the first ones and not the second ones.
    pub(crate) fn holds(&self, there: &[&str], gone: &[&str]) -> Result<()> {
        for (images, is_held) in [(there, true), (gone, false)] {
            for image in images {
                let disk = self.host.docker(&["images", "--no-trunc", "--digests"])?;
                let held = self.host.holds(image)?;
                ensure!(
                    held == is_held,
                    "held {held}, not {is_held}: {image}, in\n{disk}"
                );
            }
        }
        Ok(())
    }

    /// The image is latest or the fallback for good: a prune of what has no name leaves it.
    pub(crate) fn survives_a_prune(&self, image: &str) -> Result<()> {
        self.host.prune_images()?;
        self.holds(&[image], &[])
    }
}
