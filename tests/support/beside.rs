//! A test that runs itself again beside a container engine that nobody else uses.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

/// Set beside the engine: the directory that its data is below.
pub(crate) const PLACE: &str = "TAGKEEPER_TEST_ALONE";

/// The script that starts an engine and a registry of its own for a command.
pub(crate) fn with_engine() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/with-engine")
}

/// Runs a test beside an engine of its own, the one that the environment asks for
/// (scripts/test-engines). `name` is the test's own.
pub(crate) fn beside_an_engine(name: &str, test: impl FnOnce() -> Result<()>) -> Result<()> {
    if env::var_os(PLACE).is_some() {
        return test();
    }
    let mut command = Command::new(with_engine());
    again(command.env(PLACE, "/var/tmp"), name)
}

/// Runs the test once more, by a command that sets its stage.
pub(crate) fn again(command: &mut Command, name: &str) -> Result<()> {
    let output = command
        .arg(env::current_exe()?)
        .args(["--exact", name, "--nocapture"])
        .output()?;
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    print!("{stdout}");
    // A name that matches nothing would pass as well, without having tested anything.
    let ran = output.status.success() && stdout.contains("1 passed");
    ensure!(ran, "{}\n{stdout}\n{stderr}", output.status);
    Ok(())
}
