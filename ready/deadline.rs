//! One deadline for all that a command does, however it is kept waiting: a name, a connection, an
//! answer, a script.
//!
//! A thread sleeps until then and ends the process. So no read or write needs a limit of its own,
//! and a peer that sends a byte now and then gains nothing by it.

use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context as _, Result};
use humantime::{format_duration, parse_duration};

use crate::options::{Options, Usage};
use crate::{NOT_READY, say};

/// Below tagkeeper's own ten seconds (`ready_timeout`), so that it is the command that says what it
/// waited for.
const DEFAULT: Duration = Duration::from_secs(5);

static DOING: Mutex<String> = Mutex::new(String::new());

/// Says what the command is about to wait for.
pub(crate) fn doing(what: String) {
    if let Ok(mut doing) = DOING.lock() {
        *doing = what;
    }
}

/// From here on, the process has as long as `--timeout` says. `label` begins what it says when that
/// is over.
pub(crate) fn start(options: &Options, label: &str) -> Result<()> {
    let limit = match options.text("timeout") {
        None => DEFAULT,
        Some(text) => parse_duration(text)
            .ok()
            .filter(|limit| !limit.is_zero())
            .ok_or_else(|| Usage(format!("'--timeout {text}' makes no sense: try 5s")))?,
    };
    let label = label.to_owned();
    let watch = move || {
        std::thread::sleep(limit);
        let doing = DOING.lock().map(|doing| doing.clone()).unwrap_or_default();
        say(&format!(
            "{label}: {doing}: not done within {}",
            format_duration(limit)
        ));
        std::process::exit(NOT_READY.into());
    };
    std::thread::Builder::new()
        .spawn(watch)
        .context("failed to start a thread")?;
    Ok(())
}
