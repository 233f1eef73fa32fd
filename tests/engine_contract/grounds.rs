//! The two engines that the contract is tested on, and how images and containers are made on each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::engine::Host;
use crate::table::How;
use in_memory_engine::{Fake, hex_id};

/// Engines that refuse alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// Docker with one of its graph drivers.
    Graph,
    /// Docker with containerd's image store.
    Containerd,
    Podman,
}

impl Family {
    /// The family of the engine that scripts/with-engine has started.
    pub(crate) fn of_the_rig() -> Result<Self> {
        let host = Host::new("family")?;
        if std::env::var("TAGKEEPER_ENGINE").is_ok_and(|engine| engine == "podman") {
            return Ok(Self::Podman);
        }
        let info = host.docker(&["info", "--format", "{{.DriverStatus}}"])?;
        Ok(if info.contains("io.containerd.snapshotter") {
            Self::Containerd
        } else {
            Self::Graph
        })
    }
}

/// An engine, as the orchestrator and people use it. Names are those of the table; ids are the
/// engine's.
pub(crate) trait Ground {
    fn socket(&self) -> &Path;
    /// A name of the table in the engine's words; a digest is that of the image with this label
    /// (`remote@a`).
    fn full(&self, name: &str) -> Result<String>;
    /// What a container is called on this engine.
    fn container_name(&self, name: &str) -> String;
    /// Makes an image with these names: its id.
    fn image(&mut self, label: &str, names: &[&str]) -> Result<String>;
    /// Pulls an image by the first of these names, and gives it the others: its id.
    fn pulled(&mut self, label: &str, names: &[&str]) -> Result<String>;
    /// Makes a container of the image with this id or name.
    fn container(&mut self, name: &str, image: &str, how: How) -> Result<()>;
    /// Makes a nameless child of the image with this id: its id.
    fn child(&mut self, label: &str, parent: &str) -> Result<String>;
}

/// The engine of the fault tests.
pub(crate) struct InMemory {
    fake: Fake,
    socket: PathBuf,
    _dir: TempDir,
}

impl InMemory {
    /// With what the histories know of that family: what a name means, and what a list shows.
    pub(crate) fn like(family: Family) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let socket = dir.path().join("s");
        let fake = Fake::start(&socket);
        {
            let docker = &mut fake.engine().docker;
            docker.moves_digests = family != Family::Graph;
            docker.keeps_references = family == Family::Podman;
        }
        Ok(Self {
            fake,
            socket,
            _dir: dir,
        })
    }
}

impl Ground for InMemory {
    fn socket(&self) -> &Path {
        &self.socket
    }

    fn full(&self, name: &str) -> Result<String> {
        let (named, label) = name.split_once('@').unwrap_or((name, ""));
        let named = named
            .replacen("local", "app", 1)
            .replacen("remote", "reg.example:5000/app", 1);
        Ok(if label.is_empty() {
            named
        } else {
            format!("{named}@sha256:{}", hex_id(label))
        })
    }

    fn container_name(&self, name: &str) -> String {
        name.to_owned()
    }

    fn image(&mut self, label: &str, names: &[&str]) -> Result<String> {
        let full: Vec<String> = names.iter().map(|n| self.full(n)).collect::<Result<_>>()?;
        let full: Vec<&str> = full.iter().map(String::as_str).collect();
        Ok(self.fake.engine().docker.image(label, &full))
    }

    fn pulled(&mut self, label: &str, names: &[&str]) -> Result<String> {
        let digest = format!("remote@{label}");
        let tags = names.iter().filter(|name| **name != "remote@");
        let names: Vec<&str> = tags.copied().chain([digest.as_str()]).collect();
        self.image(label, &names)
    }

    fn container(&mut self, name: &str, image: &str, how: How) -> Result<()> {
        let docker = &mut self.fake.engine().docker;
        docker.create(name, image);
        if !matches!(how, How::Created) {
            docker.start(name);
        }
        if matches!(how, How::Stopped) {
            docker.exit(name, 0);
        }
        Ok(())
    }

    fn child(&mut self, label: &str, parent: &str) -> Result<String> {
        let docker = &mut self.fake.engine().docker;
        let child = docker.image(label, &[]);
        let image = docker.images.get_mut(&child).context("just made")?;
        image.parent = Some(parent.to_owned());
        Ok(child)
    }
}

/// The engine that scripts/with-engine has started, which others use beside this one.
pub(crate) struct Real {
    host: Host,
    digests: BTreeMap<String, String>,
}

impl Real {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            host: Host::new("contract")?,
            digests: BTreeMap::new(),
        })
    }

    /// Makes an image and leaves it in the registry alone, under this name: its digest.
    fn publish(&self, label: &str, name: &str) -> Result<String> {
        self.host.publish(name, label)?;
        self.host.pull(name)?;
        let format = "{{range .RepoDigests}}{{println .}}{{end}}";
        let full = self.host.name(name);
        let digests = self
            .host
            .docker(&["image", "inspect", "--format", format, &full])?;
        self.host.untag(name)?;
        let own = format!("{}@", self.host.name("remote"));
        let digest = digests.lines().find_map(|line| line.strip_prefix(&own));
        Ok(digest.with_context(|| digests.clone())?.to_owned())
    }
}

impl Ground for Real {
    fn socket(&self) -> &Path {
        self.host.socket()
    }

    fn full(&self, name: &str) -> Result<String> {
        let Some((repository, label)) = name.split_once('@') else {
            return Ok(self.host.name(name));
        };
        let digest = self.digests.get(label).context("pulled before")?;
        Ok(format!("{}@{digest}", self.host.name(repository)))
    }

    fn container_name(&self, name: &str) -> String {
        format!("{name}-{}", self.host.container())
    }

    fn image(&mut self, label: &str, names: &[&str]) -> Result<String> {
        let (first, more) = names.split_first().unwrap_or((&"", &[]));
        let id = self.host.import(first, label)?;
        for name in more {
            self.host.tag(&id, name)?;
        }
        Ok(id)
    }

    fn pulled(&mut self, label: &str, names: &[&str]) -> Result<String> {
        let tag = names.iter().find(|name| name.starts_with("remote:"));
        let digest = self.publish(label, tag.unwrap_or(&"remote:published"))?;
        self.digests.insert(label.to_owned(), digest);
        let (first, more) = names.split_first().context("no name to pull it by")?;
        let asked = match *first {
            "remote@" => self.full(&format!("remote@{label}"))?,
            tag => self.full(tag)?,
        };
        self.host.docker(&["pull", "--quiet", &asked])?;
        let inspect = ["image", "inspect", "--format", "{{.Id}}", &asked];
        let id = self.host.docker(&inspect)?;
        for name in more {
            self.host.tag(&asked, name)?;
        }
        Ok(id)
    }

    fn container(&mut self, name: &str, image: &str, how: How) -> Result<()> {
        let name = self.container_name(name);
        match how {
            How::Running => self.host.run(&name, image),
            How::Stopped => {
                self.host.run(&name, image)?;
                self.host.stop(&name)
            }
            How::Created => {
                let create = ["create", "--network", "none", "--name", &name, image];
                self.host.docker(&create).map(drop)
            }
        }
    }

    fn child(&mut self, label: &str, parent: &str) -> Result<String> {
        let name = self.container_name(label);
        self.host
            .docker(&["create", "--network", "none", "--name", &name, parent])?;
        let id = self.host.docker(&["commit", &name])?;
        self.host.remove(&name)?;
        if id.is_empty() {
            bail!("docker commit printed no id");
        }
        Ok(id)
    }
}

/// What is left over would be in the way of nobody, but would fill the engine up, row by row.
impl Drop for Real {
    fn drop(&mut self) {
        let list = self.host.docker(&["ps", "--all", "--format", "{{.Names}}"]);
        let own = self.host.container();
        for name in list.unwrap_or_default().lines() {
            if name.ends_with(&own) {
                drop(self.host.remove(name));
            }
        }
    }
}
