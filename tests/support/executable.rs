//! Files that a test puts somewhere and then starts.
//!
//! A child of this process writes them. While one is open for writing nobody can start it (`Text
//! file busy`), and where tests run side by side, what this process has open is for a moment open
//! in each child that another test starts.

use std::path::Path;
use std::process::Command;

/// Copies a program to where it is to be started.
pub(crate) fn copy(from: impl AsRef<Path>, to: &Path) {
    let copied = Command::new("install")
        .args(["--mode", "755"])
        .arg(from.as_ref())
        .arg(to)
        .status();
    assert!(copied.is_ok_and(|status| status.success()), "{to:?}");
}
