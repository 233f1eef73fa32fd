//! What takes an engine of its own: clean-up commands, which take whatever they find, and a disk
//! that is to be full.
//!
//! Each test starts one by `scripts/with-engine`, and runs itself again beside it. Needs root, what
//! that script needs, and a loop device.
#![cfg(test)]

#[path = "support/beside.rs"]
mod beside;
#[path = "support/engine.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "shared with tests/requirements.rs, which uses all of it"
)]
mod engine;
#[path = "alone/full_disk.rs"]
mod full_disk;
#[path = "alone/pinning.rs"]
mod pinning;
#[path = "requirements/story.rs"]
#[allow(
    dead_code,
    reason = "shared with tests/requirements.rs, which uses all of it"
)]
mod story;

use std::env;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use beside::{PLACE, again, beside_an_engine, with_engine};

/// Makes a filesystem of 256 MiB, mounts it where only this script and what it starts see that, and
/// runs the rest there.
const ON_A_SMALL_DISK: &str = r#"
    truncate --size 256M "$1/disk"
    mkfs.ext4 -q -F -m 0 "$1/disk"
    mkdir "$1/place"
    mount -t ext4 -o loop "$1/disk" "$1/place"
    export TMPDIR="$1/place" TAGKEEPER_TEST_ALONE="$1/place"
    shift
    "$@"
"#;

/// Runs a test beside an engine of the machine's version, whose data is on a filesystem of 256 MiB.
/// (An engine in a root of its own names a directory of that root, and there is nothing to see of
/// it from here.)
fn on_a_small_disk(name: &str, test: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    if let Some(place) = env::var_os(PLACE) {
        return test(Path::new(&place));
    }
    let scratch = tempfile::Builder::new()
        .prefix("tagkeeper-alone.")
        .tempdir_in("/var/tmp")?;
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private", "--", "sh", "-ec"])
        .args([ON_A_SMALL_DISK, "sh"])
        .arg(scratch.path())
        .arg(with_engine());
    for variable in ["", "_ROOT", "_IMAGE_STORE"] {
        command.env_remove(format!("TAGKEEPER_ENGINE{variable}"));
    }
    again(&mut command, name)
}
