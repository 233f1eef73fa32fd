//! Writes the man pages, the shells' completions, and the notices and the bill of materials of what
//! is linked: `cargo run --example manual -- DIRECTORY`.
//!
//! An example, so that what it needs (`clap_mangen`, `clap_complete`) is not in the program that
//! ships.

mod notices;
mod pages;
mod policy;
mod words;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::Shell;
use tagkeeper::cli::Cli;

fn main() -> Result<()> {
    let directory = std::env::args_os().nth(1);
    let directory = directory.context("usage: manual DIRECTORY")?;
    let directory = Path::new(&directory);
    fs::create_dir_all(directory)?;
    for (name, page) in [
        ("tagkeeper.8", pages::program()?),
        ("tagkeeper.toml.5", pages::policy()?),
        ("third-party.txt", notices::all()?),
        ("tagkeeper.cdx.json", notices::sbom()?),
    ] {
        fs::write(directory.join(name), page)?;
    }
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut Cli::command(), "tagkeeper", directory)?;
    }
    Ok(())
}
