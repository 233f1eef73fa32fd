//! `ready/exec`: whether a script inside the container is content, run through the engine.
//!
//! The engine runs it attached, so that the end of its output is the end of the wait, and its words
//! can be said where it fails.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bollard::container::LogOutput;
use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::ExecConfig;
use futures_util::StreamExt as _;
use tagkeeper::text::{MAX_CHARS, clean};

use crate::deadline;
use crate::engine::Engine;
use crate::options::{Options, Usage};
use crate::subject::{Subject, is_hex};
use crate::wait_for;

pub(crate) const USAGE: &str =
    "exec [--socket PATH] [--user USER] [--timeout TIME] COMMAND [ARGUMENT...]";
pub(crate) const OPTIONS: &[&str] = &["socket", "user", "timeout"];

/// How much of the script's last words is kept.
const KEPT_BYTES: usize = MAX_CHARS;
/// Between the end of the output and the engine's knowing of the end of the script.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Content if the command ends with 0 in the container.
pub(crate) fn ask(subject: &Subject, options: &Options) -> Result<()> {
    wait_for(run(subject, options))
}

async fn run(subject: &Subject, options: &Options) -> Result<()> {
    let Some(program) = options.words.first() else {
        bail!(Usage("no command to run in the container".to_owned()));
    };
    let container = subject.container_id()?;
    let engine = Engine::at(options.text("socket"))?;
    let command = ExecConfig {
        cmd: Some(options.words.clone()),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        user: options.text("user").map(str::to_owned),
        ..ExecConfig::default()
    };
    let created = engine.client.create_exec(container, command);
    let id = engine.answer(created.await)?.id;
    ensure!(
        !id.is_empty() && is_hex(&id),
        "the engine gave the command no id"
    );

    deadline::doing(format!("running '{program}' in the container"));
    let started = engine.client.start_exec(&id, None::<StartExecOptions>);
    let words = last_words(&engine, engine.answer(started.await)?).await?;
    let code = loop {
        let seen = engine.answer(engine.client.inspect_exec(&id).await)?;
        if seen.running == Some(false) {
            break seen.exit_code;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    };
    match code {
        Some(0) => Ok(()),
        Some(code) => bail!(
            "'{program}' ended with {code}: {}",
            clean(String::from_utf8_lossy(&words))
        ),
        None => bail!("the engine does not know how '{program}' ended"),
    }
}

/// Reads the output to its end and keeps the last of it; the transport bounds how much comes at
/// all.
async fn last_words(engine: &Engine<'_>, started: StartExecResults) -> Result<Vec<u8>> {
    let StartExecResults::Attached { mut output, .. } = started else {
        bail!("the engine kept the output to itself");
    };
    let mut words = Vec::new();
    while let Some(piece) = output.next().await {
        match engine.answer(piece).context("the engine broke off")? {
            // What is in no frame, or in one that was cut off.
            LogOutput::Console { .. } => bail!("the engine broke off: output that is in no frame"),
            piece => words.extend_from_slice(&piece.into_bytes()),
        }
        words.drain(..words.len().saturating_sub(KEPT_BYTES));
    }
    Ok(words)
}
