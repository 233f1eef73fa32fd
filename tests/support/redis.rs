//! A Redis server of a test's own, on a unix socket, as SONiC has one.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// The server. Dropping it ends it.
pub(crate) struct Redis {
    dir: TempDir,
    server: Child,
}

impl Redis {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("redis.sock");
        let server = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no"])
            .arg("--unixsocket")
            .arg(&socket)
            .arg("--dir")
            .arg(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("'redis-server' is missing: run `make test`");
        let redis = Self { dir, server };
        // It binds the socket last of all.
        for _ in 0..600 {
            if socket.exists() && redis.answer(&["PING"]).trim() == "PONG" {
                return redis;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("the Redis server does not answer");
    }

    /// The directory that the socket is in.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn socket(&self) -> String {
        self.dir.path().join("redis.sock").display().to_string()
    }

    /// What the server answers to a command in `STATE_DB`, whatever that is.
    pub(crate) fn answer(&self, arguments: &[&str]) -> String {
        self.answer_in(6, arguments)
    }

    /// The same in another database.
    pub(crate) fn answer_in(&self, database: u32, arguments: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-s", &self.socket(), "-n", &database.to_string()])
            .args(arguments)
            .output()
            .expect("'redis-cli' is missing: run `make test`");
        String::from_utf8(output.stdout).unwrap()
    }

    /// A command in `STATE_DB` that succeeds.
    #[track_caller]
    pub(crate) fn cli(&self, arguments: &[&str]) {
        self.cli_in(6, arguments);
    }

    /// A command that succeeds in another database.
    #[track_caller]
    pub(crate) fn cli_in(&self, database: u32, arguments: &[&str]) {
        let answer = self.answer_in(database, arguments);
        assert!(
            !answer.to_lowercase().contains("err"),
            "{arguments:?}: {answer}"
        );
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.server);
        kill_process(pid, signal).unwrap();
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
