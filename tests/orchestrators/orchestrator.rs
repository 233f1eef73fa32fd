//! What a story asks of an orchestrator: one service on one host, deployed version by version.

use anyhow::{Context, Result};

use crate::deployed::{Deployed, Release};
use crate::engine::Host;

/// How an orchestrator names the image that it deploys.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Named {
    /// `repository:tag`.
    Tag,
    /// `repository:tag@digest`.
    TagAndDigest,
    /// `repository@digest`.
    Digest,
}

/// What a version does once it is deployed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Does {
    Work,
    /// Ends as soon as it has started, and an orchestrator that takes such an update back does.
    Crash,
    /// Ends as soon as it has started, and the orchestrator was told to go on with it.
    CrashLoop,
}

impl Does {
    /// What its container runs, of these two.
    #[allow(dead_code, reason = "a swarm says it in its options")]
    pub(crate) fn command<'c>(self, works: &'c str, crashes: &'c str) -> &'c str {
        match self {
            Self::Work => works,
            Self::Crash | Self::CrashLoop => crashes,
        }
    }
}

/// A version as it is deployed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Version<'a> {
    pub(crate) tag: &'a str,
    pub(crate) release: &'a Release,
    pub(crate) named: Named,
    pub(crate) does: Does,
}

impl Version<'_> {
    pub(crate) fn image(&self, host: &Host) -> String {
        let (repository, tag) = (host.name("remote"), self.tag);
        let digest = &self.release.digest;
        match self.named {
            Named::Tag => format!("{repository}:{tag}"),
            Named::TagAndDigest => format!("{repository}:{tag}@{digest}"),
            Named::Digest => format!("{repository}@{digest}"),
        }
    }
}

/// An orchestrator with one service, on a host of its own.
pub(crate) trait Orchestrator: Sized {
    /// The policy of `config/examples`, and the workload in it.
    const EXAMPLE: &'static str;
    const WORKLOAD: &'static str;
    /// How it names an image where a story leaves that open.
    const NAMED: Named;

    /// The names of the service's containers begin like this.
    fn containers(host: &Host) -> String;

    /// Sets the orchestrator up on this host. Nothing is deployed.
    fn on_host(on: Deployed) -> Result<Self>;

    fn on(&self) -> &Deployed;

    /// The service is to run this version from now on; what comes of it is another matter.
    fn deploy(&self, version: &Version<'_>) -> Result<()>;

    /// The same, and the new version starts before the old one stops, where the orchestrator can do
    /// that.
    fn deploy_start_first(&self, version: &Version<'_>) -> Result<()> {
        self.deploy(version)
    }

    /// The orchestrator goes back to what it deployed before, as its user tells it.
    fn roll_back(&self, to: &Version<'_>) -> Result<()> {
        self.deploy(to)
    }

    /// A version has crashed. The orchestrator goes back, by itself if it can.
    fn recover(&self, to: &Version<'_>) -> Result<()> {
        self.has_crashed()?;
        self.roll_back(to)
    }

    /// The service is removed, with its containers.
    fn remove_service(&self) -> Result<()>;

    /// The orchestrator leaves the host, and its containers end.
    fn leave(&self) -> Result<()> {
        self.remove_service()
    }

    /// The orchestrator is back after that, with nothing deployed.
    fn join(&self) -> Result<()> {
        Ok(())
    }

    /// A version as the orchestrator usually names it.
    fn version<'a>(tag: &'a str, release: &'a Release, does: Does) -> Version<'a> {
        let named = Self::NAMED;
        Version {
            tag,
            release,
            named,
            does,
        }
    }

    /// The service is to run this version, and does.
    fn update(&self, tag: &str, release: &Release) -> Result<()> {
        self.deploy(&Self::version(tag, release, Does::Work))?;
        self.runs(tag, release)
    }

    /// Waits until one container of the service runs, and its image is this.
    fn runs(&self, tag: &str, release: &Release) -> Result<()> {
        self.on().until(&format!("{tag} runs"), || {
            let images = self.running()?;
            Ok(matches!(&images[..], [image] if *image == release.id))
        })
    }

    fn nothing_runs(&self) -> Result<()> {
        self.on()
            .until("nothing of it runs", || Ok(self.running()?.is_empty()))
    }

    /// The names of the service's containers, with these options of `docker ps`.
    fn list(&self, options: &[&str]) -> Result<Vec<String>> {
        let host = &self.on().host;
        let filter = format!("name=^{}", Self::containers(host));
        let list = ["ps", "--filter", &filter, "--format", "{{.Names}}"];
        let names = host.docker(&[&list, options].concat())?;
        Ok(names.lines().map(str::to_owned).collect())
    }

    /// The images of the service's containers that run.
    fn running(&self) -> Result<Vec<String>> {
        // One that is listed may be gone a moment later.
        let names = self.list(&[])?;
        let images = names.iter().filter_map(|n| self.on().host.image_of(n).ok());
        Ok(images.collect())
    }

    /// Waits until a container of the service has ended by itself, and perhaps was started again.
    fn has_crashed(&self) -> Result<()> {
        self.on().until("it has crashed", || {
            let format = "{{.State.ExitCode}} {{.RestartCount}}";
            let inspect = ["inspect", "--type", "container", "--format", format];
            let names = self.list(&["--all"])?;
            let mut found = names.iter().filter_map(|name| {
                let args = [&inspect[..], &[name.as_str()]].concat();
                self.on().host.docker(&args).ok()
            });
            Ok(found.any(|counts| counts.starts_with("3 ") || !counts.ends_with(" 0")))
        })
    }

    /// Waits until the engine has no container of the service that ended.
    fn dead_containers_are_gone(&self) -> Result<()> {
        self.on().until("the dead containers are gone", || {
            Ok(self.list(&["--all"])?.len() == self.running()?.len())
        })
    }

    /// A new host with the example's policy, with these lines instead, and the orchestrator on it.
    fn new(story: &str, instead: &[&str]) -> Result<Self> {
        let on = Deployed::new(story)?;
        let pattern = format!("orchestrated = \"{}*\"", Self::containers(&on.host));
        let lines: Vec<&str> = [pattern.as_str()].iter().chain(instead).copied().collect();
        on.set_example(Self::EXAMPLE, &lines)?;
        Self::on_host(on).context("failed to set the orchestrator up")
    }
}
