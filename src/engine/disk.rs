//! How full the filesystem is that holds the engine's data: the engine names the directory, the
//! kernel has the figures.
//!
//! Measured on this host, in this mount namespace. Where the directory cannot be seen from here,
//! that is an error, and not the figures of whatever else might lie below that path's parents.

use std::path::Path;

use anyhow::{Context, ensure};

use tagkeeper_core::model::Disk;

/// Measures the filesystem that holds a directory.
pub(super) fn measure(data_root: &str) -> anyhow::Result<Disk> {
    ensure!(
        Path::new(data_root).is_absolute(),
        "the engine does not say where its data is"
    );
    let figures = rustix::fs::statvfs(data_root)
        .with_context(|| format!("failed to look at the engine's data root '{data_root}'"))?;
    ensure!(
        figures.f_blocks > 0 && figures.f_bfree <= figures.f_blocks,
        "the filesystem of '{data_root}' does not say how large it is"
    );
    let bytes = |blocks: u64| blocks.saturating_mul(figures.f_frsize);
    Ok(Disk::Measured {
        used_bytes: bytes(figures.f_blocks - figures.f_bfree),
        available_bytes: bytes(figures.f_bavail),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_measured_says_why() {
        for (root, why) in [
            ("", "does not say where its data is"),
            ("var/lib/docker", "does not say where its data is"),
            ("/nowhere/docker", "'/nowhere/docker': No such file"),
            ("/dev/null/docker", "'/dev/null/docker': Not a directory"),
            // A filesystem without blocks.
            ("/proc", "does not say how large it is"),
        ] {
            let error = measure(root).unwrap_err();
            assert!(format!("{error:#}").contains(why), "{root}: {error:#}");
        }
    }

    /// As `df` counts them: its `--output` is in bytes, and rounded by the block.
    #[test]
    fn the_figures_are_those_of_df() {
        let dir = tempfile::tempdir().unwrap();
        let out = std::process::Command::new("df")
            .args(["--block-size=1", "--output=size,used,avail"])
            .arg(dir.path())
            .output()
            .unwrap();
        let text = String::from_utf8(out.stdout).unwrap();
        let figures: Vec<u64> = text
            .lines()
            .nth(1)
            .unwrap()
            .split_whitespace()
            .map(|figure| figure.parse().unwrap())
            .collect();
        let Disk::Measured {
            used_bytes,
            available_bytes,
        } = measure(dir.path().to_str().unwrap()).unwrap()
        else {
            panic!("not measured")
        };
        // Others write to this disk meanwhile.
        let near = |a: u64, b: u64| a.abs_diff(b) <= figures[0] / 50;
        assert!(
            near(used_bytes, figures[1]) && near(available_bytes, figures[2]),
            "{figures:?}: {used_bytes} {available_bytes}"
        );
    }
}
