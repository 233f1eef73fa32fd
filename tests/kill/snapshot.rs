//! A host as it was at one moment, from which any number of hosts can go on.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::host::Host;
use in_memory_engine::Docker;

/// The engine's disk, and the files of the state directory.
pub(crate) struct Snapshot {
    docker: Docker,
    files: TempDir,
}

impl Snapshot {
    pub(crate) fn of(host: &Host) -> Self {
        let files = tempfile::tempdir().expect("the temporary directory is writable");
        copy_files(&host.state_dir(), files.path());
        Self {
            docker: host.engine().docker.clone(),
            files,
        }
    }

    /// A new host that stands like this.
    pub(crate) fn host(&self, policy: &str) -> Host {
        let host = Host::new(policy);
        host.engine().docker = self.docker.clone();
        copy_files(self.files.path(), &host.state_dir());
        host
    }
}

fn copy_files(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("the directory is there") {
        let entry = entry.expect("readable");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("writable");
    }
}
