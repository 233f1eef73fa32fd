//! The program: arguments, logging, the one place that looks at the clocks, the exit code.
//! Everything else is in the library.

use std::process::ExitCode;

use clap::Parser;
use tagkeeper::cli::Cli;
use tagkeeper_core::model::Reading;

/// With musl's own a pass takes half as long again (docs/decisions/0023).
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    tagkeeper::report::log::init();
    tagkeeper::commands::run(&cli, &read_clocks).into()
}

/// The one place where time enters the program (design 5.2).
#[allow(clippy::disallowed_methods, reason = "this is that place")]
fn read_clocks() -> Reading {
    let monotonic = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(monotonic.tv_sec).unwrap_or_default();
    let millis = u64::try_from(monotonic.tv_nsec / 1_000_000).unwrap_or_default();
    Reading {
        monotonic_ms: seconds.saturating_mul(1000).saturating_add(millis),
        wall: chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
    }
}
