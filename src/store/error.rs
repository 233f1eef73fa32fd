//! What the file operations have in common when they fail. No I/O.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A step on a file that failed: "failed to write '/var/lib/tagkeeper/state.json.spare'", and the
/// system's word as its source.
#[derive(Debug)]
pub struct FileError {
    doing: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl FileError {
    pub(super) fn new(
        doing: &'static str,
        path: impl Into<PathBuf>,
        source: impl Into<io::Error>,
    ) -> Self {
        Self {
            doing,
            path: path.into(),
            source: source.into(),
        }
    }

    /// The file or directory that the step was about.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the system said.
    pub fn io_error(&self) -> &io::Error {
        &self.source
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed to {} '{}'", self.doing, self.path.display())
    }
}

impl std::error::Error for FileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}
