//! The images of a [`Host`]: made, published, pulled, named and counted.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::{Host, fed};

/// One row of the engine's list of images.
struct Row {
    /// `repository:tag`; of an image without a tag `repository@`, or nothing where there is no
    /// digest either.
    reference: Option<String>,
    id: String,
}

impl Host {
    /// Makes an image that holds a static busybox and a file with this text, and idles when run:
    /// its id.
    pub(crate) fn import(&self, name: &str, text: &str) -> Result<String> {
        let root = tempfile::tempdir()?;
        fs::create_dir(root.path().join("bin"))?;
        fs::copy(which("busybox")?, root.path().join("bin/busybox"))
            .context("failed to copy busybox")?;
        for applet in ["sh", "sleep", "cat", "true", "false", "test", "touch", "rm"] {
            symlink("busybox", root.path().join("bin").join(applet))?;
        }
        fs::write(
            root.path().join("marker"),
            format!("{} {text}\n", self.unique),
        )?;
        let tar = Command::new("tar")
            .arg("-C")
            .arg(root.path())
            .args(["-c", "."])
            .output()?;
        ensure!(
            tar.status.success(),
            "tar: {}",
            String::from_utf8_lossy(&tar.stderr)
        );

        let label = format!("LABEL {}", self.label());
        let idle = r#"CMD ["sleep", "2147483647"]"#;
        let mut import = Command::new("docker");
        import
            .arg("-H")
            .arg(self.docker_host())
            .args(["import", "--change", idle, "--change", &label, "-"]);
        if !name.is_empty() {
            import.arg(self.name(name));
        }
        let printed = fed("docker import", &mut import, &tar.stdout)?;
        // Docker prints the id; Podman's answer makes its client print it twice.
        let id = printed.split_whitespace().next_back();
        id.map(str::to_owned).context("docker import printed no id")
    }

    /// Makes an image and puts it into the registry; the disk holds nothing of it.
    pub(crate) fn publish(&self, name: &str, text: &str) -> Result<()> {
        self.import(name, text)?;
        self.docker(&["push", "--quiet", &self.name(name)])?;
        self.untag(name)
    }

    /// Pulls an image that was published: its id.
    pub(crate) fn pull(&self, name: &str) -> Result<String> {
        self.docker(&["pull", "--quiet", &self.name(name)])?;
        self.id(name)
    }

    /// `docker tag`.
    pub(crate) fn tag(&self, image: &str, name: &str) -> Result<()> {
        self.docker(&["tag", &self.name(image), &self.name(name)])
            .map(drop)
    }

    /// `docker rmi`, by name.
    pub(crate) fn untag(&self, name: &str) -> Result<()> {
        self.docker(&["rmi", &self.name(name)]).map(drop)
    }

    /// `docker image prune`, for the images of this host alone: other stories run beside this one.
    pub(crate) fn prune_images(&self) -> Result<()> {
        let filter = format!("label={}", self.label());
        self.docker(&["image", "prune", "--force", "--filter", &filter])
            .map(drop)
    }

    fn label(&self) -> String {
        format!("tagkeeper.test={}", self.unique)
    }

    fn rows(&self) -> Result<Vec<Row>> {
        let format = "{{.Repository}} {{.Tag}} {{.Digest}} {{.ID}}";
        let list = self.docker(&["images", "--no-trunc", "--digests", "--format", format])?;
        list.lines()
            .map(|line| {
                let [repository, tag, digest, id] = line.split(' ').collect::<Vec<_>>()[..] else {
                    bail!("unexpected row in the list of images: '{line}'");
                };
                let reference = match (repository, tag, digest) {
                    (_, "<none>", "<none>") | ("<none>", _, _) => None,
                    (_, "<none>", _) => Some(format!("{repository}@")),
                    _ => Some(format!("{repository}:{tag}")),
                };
                Ok(Row {
                    reference,
                    id: id.to_owned(),
                })
            })
            .collect()
    }

    /// The id that a name stands for, if it stands for one.
    pub(crate) fn find(&self, name: &str) -> Result<Option<String>> {
        let name = self.name(name);
        let found = self
            .rows()?
            .into_iter()
            .find(|row| row.reference.as_ref() == Some(&name));
        Ok(found.map(|row| row.id))
    }

    /// The id that a name stands for.
    pub(crate) fn id(&self, name: &str) -> Result<String> {
        self.find(name)?
            .with_context(|| format!("'{name}' is not on the disk"))
    }

    /// Whether the disk holds this image, named or not.
    pub(crate) fn holds(&self, id: &str) -> Result<bool> {
        Ok(self.rows()?.iter().any(|row| row.id == id))
    }

    /// All names of an image, in the engine's words.
    pub(crate) fn tags_of(&self, id: &str) -> Result<BTreeSet<String>> {
        Ok(self
            .rows()?
            .into_iter()
            .filter(|row| row.id == id)
            .filter_map(|row| row.reference)
            .collect())
    }

    /// What the disk holds of the workload's repositories: `local:TAG`, `remote:TAG`, and `remote@`
    /// for a digest that has no tag beside it.
    pub(crate) fn disk(&self) -> Result<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for reference in self.rows()?.into_iter().filter_map(|row| row.reference) {
            for repository in ["local", "remote"] {
                let rest = reference.strip_prefix(&self.name(repository));
                if let Some(rest) = rest.filter(|rest| rest.starts_with([':', '@'])) {
                    names.insert(format!("{repository}{rest}"));
                }
            }
        }
        Ok(names)
    }
}

fn which(program: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").context("PATH is not set")?;
    let found = std::env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|file| file.is_file());
    found.with_context(|| format!("'{program}' is missing: run `make test`"))
}
