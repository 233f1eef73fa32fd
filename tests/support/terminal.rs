//! A person's terminal: the program on a pseudo-terminal, read as it writes, and typed at.
//!
//! `script` makes the terminal (it is on every Debian) and ends with the exit code of what ran
//! there.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// What Ctrl-C sends.
pub(crate) const CTRL_C: &str = "\x03";

/// The program on a terminal. Dropping it closes the terminal.
pub(crate) struct Terminal {
    child: Child,
    keyboard: Option<ChildStdin>,
    screen: ChildStdout,
    seen: String,
}

impl Terminal {
    /// Runs a command on a terminal of 80 columns, with these variables besides its own.
    pub(crate) fn run(command: &Command, variables: &[(&str, &str)]) -> Self {
        let line = format!("stty rows 50 columns 80; exec {}", quoted(command));
        let mut child = Command::new("script")
            .args([
                "--quiet",
                "--return",
                "--echo",
                "never",
                "--command",
                &line,
                "/dev/null",
            ])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("SHELL", "/bin/sh")
            .env("TERM", "xterm")
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script is installed");
        Self {
            keyboard: child.stdin.take(),
            screen: child.stdout.take().expect("it is piped"),
            child,
            seen: String::new(),
        }
    }

    /// Types something.
    pub(crate) fn types(&mut self, keys: &str) {
        let keyboard = self.keyboard.as_mut().expect("the keyboard is there");
        keyboard.write_all(keys.as_bytes()).expect("it reads");
        keyboard.flush().expect("it reads");
    }

    /// Reads until this is on the screen, from where the last one ended; what was there up to its
    /// end. The program is killed if it hangs, so this ends.
    #[track_caller]
    pub(crate) fn sees(&mut self, text: &str) -> String {
        let mut buffer = [0; 4096];
        loop {
            if let Some(at) = self.seen.find(text) {
                let rest = self.seen.split_off(at + text.len());
                return std::mem::replace(&mut self.seen, rest);
            }
            match self.screen.read(&mut buffer) {
                Ok(0) | Err(_) => panic!("it ended without {text:?}: {:?}", self.seen),
                Ok(read) => self.seen += &String::from_utf8_lossy(&buffer[..read]),
            }
        }
    }

    /// Waits for the end: the exit code, and what was on the screen that nobody has seen.
    pub(crate) fn ends(mut self) -> (i32, String) {
        let mut rest = Vec::new();
        self.screen.read_to_end(&mut rest).expect("readable");
        self.seen += &String::from_utf8_lossy(&rest);
        drop(self.keyboard.take());
        let status = self.child.wait().expect("it was started");
        (status.code().expect("script exits"), self.seen)
    }
}

/// The command as a shell reads it.
pub(crate) fn quoted(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let quoted: Vec<String> = words
        .map(|word| format!("'{}'", word.to_str().expect("UTF-8").replace('\'', r"'\''")))
        .collect();
    quoted.join(" ")
}
