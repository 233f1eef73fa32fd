//! The command line: clap's definitions and nothing else. Reads no file, knows no engine; `main` acts on it.
//!
//! Wrong usage is exit code 2, clap's own (design section 7).

use std::path::PathBuf;

use clap::builder::{NonEmptyStringValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::image::Version;
use crate::policy::WorkloadName;

/// What `--help` teaches besides the options. Lines of at most 80 columns, so that no terminal breaks them.
const AFTER_HELP: &str = "\
The policy says which workloads there are. It is read from all of these:
  /usr/lib/tagkeeper/policy.d/*.toml   from packages
  /etc/tagkeeper/policy.toml           yours
  /etc/tagkeeper/policy.d/*.toml       drop-ins; a file here masks one of the
                                       same name under /usr/lib

Exit codes:
   0  done, or nothing to do
   1  the pass failed or an action did; the next pass tries again. Of rollback
      and accept: nothing was changed, and they say why
   2  wrong usage
  69  the engine cannot be reached, did not answer in time, or its answer
      cannot be read; nothing was changed
  75  another pass holds the lock
  78  the policy (or a newer state) is refused; nothing was changed

Examples:
  tagkeeper init                        # prints a first policy, to mend
  tagkeeper status                      # how the workloads stand
  tagkeeper status --watch              # the same, each second
  tagkeeper plan                        # what a pass would do now, and why
  tagkeeper plan --format json          # the same, for programs
  tagkeeper explain v2                  # why is this image still here?
  tagkeeper check --policy new.toml     # is this policy sound?
  tagkeeper reconcile                   # one pass, as the timer runs it
  tagkeeper rollback telemetry          # back to what was good before
  tagkeeper accept telemetry v2         # v2 may be latest again";

/// Keeps repository:latest on the newest version that has proved itself here.
///
/// Each workload of the policy has a repository, whose latest the local service runs. When the orchestrator rolls out
/// a version and its container stays up for ten minutes, that version becomes latest; the one before is kept to fall
/// back to, and older ones leave the disk. A systemd timer runs `tagkeeper reconcile` every minute.
#[derive(Debug, Parser)]
#[command(name = "tagkeeper", version, after_help = AFTER_HELP, max_term_width = 80)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub options: Options,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command; accepted before and after it.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Read this policy instead of all the files under /usr/lib and /etc.
    #[arg(long, value_name = "FILE", global = true)]
    pub policy: Option<PathBuf>,

    /// Where the state is kept [default: `$STATE_DIRECTORY`, else /var/lib/tagkeeper].
    #[arg(long, value_name = "DIR", global = true)]
    pub state_dir: Option<PathBuf>,

    /// The engine's unix socket [default: the policy's, else /run/docker.sock].
    #[arg(long, value_name = "PATH", global = true)]
    pub socket: Option<PathBuf>,

    /// How plan, status, explain and check print; what the others say is for people.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Text, global = true)]
    pub format: Format,

    /// Whether plan and status have colours; auto is on a terminal, unless `NO_COLOR` is set.
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Color::Auto, global = true)]
    pub color: Color,
}

/// Whether what is printed for people has colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal that knows them, unless `NO_COLOR` is set.
    Auto,
    /// Whatever reads it.
    Always,
    /// Not at all.
    Never,
}

/// How `plan`, `status`, `explain` and `check` print. The other commands take either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs; a versioned interface.
    Json,
}

/// The commands (design section 7).
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// One pass: look, decide, act; what the timer runs.
    Reconcile,
    /// What a pass would do now, and why; changes nothing.
    ///
    /// It reads like a diff: `+` is a name that an image gets, `~` a name that moves, `-` what goes; below, what stays, and
    /// why. It comes from the same decision that `reconcile` acts on, and shows the next round of a pass: after a promotion
    /// comes another one that cleans up.
    Plan {
        /// Only this workload, as the policy names it.
        #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new().map(WorkloadName::new))]
        workload: Option<WorkloadName>,
    },
    /// How the workloads stand: latest, fallbacks, pending upgrades, failures, disk.
    ///
    /// Of each workload: what is latest and whether it is proven, what there is to fall back to, which container serves, how
    /// far a pending upgrade has come, what failed and why, what was rejected, and each image on the disk with what becomes
    /// of it. Changes nothing.
    Status {
        /// Only this workload, as the policy names it.
        #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new().map(WorkloadName::new))]
        workload: Option<WorkloadName>,
        /// Look again each second, until Ctrl-C; on a terminal only.
        #[arg(long)]
        watch: bool,
    },
    /// The whole story of one image: what happened to it, why it stays or goes, and when.
    ///
    /// When it was first seen, promoted, replaced; why each of its names is kept or going, and when that changes. An image
    /// that has left the disk is told of as long as it is remembered: the last dozen that were promoted, and as many that
    /// never were. Changes nothing.
    Explain {
        /// A name of the image, its version, or the beginning of its id.
        #[arg(value_name = "REFERENCE", value_parser = NonEmptyStringValueParser::new())]
        image: String,
    },
    /// Read the policy and report every error in it, and what is odd about it here.
    Check,
    /// Look at the engine and print a first policy to mend.
    ///
    /// Prints TOML with comments to standard output: each local repository with a latest whose image other repositories
    /// carry too, the container that runs it, and what is unsure. Reads no policy and changes nothing. Where another
    /// engine than Docker's is meant, say so: --socket /run/podman/podman.sock.
    Init,
    /// Back to what was good before.
    ///
    /// Rejects the pending upgrade; or, when none is pending, rejects latest and moves it to the version before. What is
    /// rejected is never made latest again, until `tagkeeper accept` lifts that. Works on hold: a person asked.
    ///
    /// On a terminal it shows what it is going to do, and asks. Any answer but yes changes nothing and exits 1, and so does a
    /// yes to what is no longer what would be done. Elsewhere it goes ahead.
    Rollback {
        /// The workload, as the policy names it.
        #[arg(value_parser = NonEmptyStringValueParser::new().map(WorkloadName::new))]
        workload: WorkloadName,
        /// Do not ask.
        #[arg(long, short)]
        yes: bool,
    },
    /// Lift the rejections of a version, so that it may become latest again.
    Accept {
        /// The workload, as the policy names it.
        #[arg(value_parser = NonEmptyStringValueParser::new().map(WorkloadName::new))]
        workload: WorkloadName,
        /// The version that was rejected; `tagkeeper status` lists them.
        #[arg(value_parser = NonEmptyStringValueParser::new().map(Version::new))]
        version: Version,
    },
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn definitions_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn commands() {
        let telemetry = || WorkloadName::new("telemetry");
        let accept = Command::Accept {
            workload: telemetry(),
            version: Version::new("v2"),
        };
        let rollback = |yes| Command::Rollback {
            workload: telemetry(),
            yes,
        };
        for (line, command) in [
            ("tagkeeper reconcile", Command::Reconcile),
            ("tagkeeper plan", Command::Plan { workload: None }),
            (
                "tagkeeper plan --workload telemetry",
                Command::Plan {
                    workload: Some(telemetry()),
                },
            ),
            (
                "tagkeeper status",
                Command::Status {
                    workload: None,
                    watch: false,
                },
            ),
            (
                "tagkeeper status --watch --workload telemetry",
                Command::Status {
                    workload: Some(telemetry()),
                    watch: true,
                },
            ),
            (
                "tagkeeper explain docker-sonic-telemetry:v1",
                Command::Explain {
                    image: "docker-sonic-telemetry:v1".to_owned(),
                },
            ),
            ("tagkeeper check", Command::Check),
            ("tagkeeper init", Command::Init),
            ("tagkeeper rollback telemetry", rollback(false)),
            ("tagkeeper rollback --yes telemetry", rollback(true)),
            ("tagkeeper accept telemetry v2", accept),
        ] {
            let cli = parse(line).unwrap();
            assert_eq!(cli.command, command, "{line}");
            assert_eq!(cli.options.format, Format::Text, "{line}");
            assert_eq!(cli.options.policy, None, "{line}");
        }
    }

    #[test]
    fn options_stand_before_and_after_the_command() {
        for line in [
            "tagkeeper --policy p.toml --state-dir s --socket e.sock --format json plan",
            "tagkeeper plan --policy p.toml --state-dir s --socket e.sock --format json",
            "tagkeeper --policy=p.toml --format=json plan --state-dir=s --socket=e.sock",
        ] {
            let cli = parse(line).unwrap();
            assert_eq!(cli.command, Command::Plan { workload: None }, "{line}");
            assert_eq!(
                cli.options.policy.as_deref(),
                Some(Path::new("p.toml")),
                "{line}"
            );
            assert_eq!(
                cli.options.state_dir.as_deref(),
                Some(Path::new("s")),
                "{line}"
            );
            assert_eq!(
                cli.options.socket.as_deref(),
                Some(Path::new("e.sock")),
                "{line}"
            );
            assert_eq!(cli.options.format, Format::Json, "{line}");
        }
    }

    #[test]
    fn every_command_takes_every_option() {
        for command in [
            "reconcile",
            "plan",
            "status",
            "check",
            "init",
            "rollback telemetry",
            "accept telemetry v2",
        ] {
            let line = format!(
                "tagkeeper {command} --format json --color never --socket s --policy p --state-dir d"
            );
            assert_eq!(parse(&line).unwrap().options.format, Format::Json, "{line}");
        }
    }

    #[test]
    fn wrong_usage_is_exit_2() {
        for line in [
            "tagkeeper",
            "tagkeeper paln",
            "tagkeeper plan telemetry",
            "tagkeeper plan --watch",
            "tagkeeper --color sometimes plan",
            "tagkeeper rollback",
            "tagkeeper explain",
            "tagkeeper accept telemetry",
            "tagkeeper --format yaml plan",
            "tagkeeper --force reconcile",
            "tagkeeper --policy",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
        let empty = Cli::try_parse_from(["tagkeeper", "rollback", ""]).unwrap_err();
        assert_eq!(empty.exit_code(), 2);
    }

    #[test]
    fn help_and_version_are_no_errors() {
        for (line, kind) in [
            ("tagkeeper --help", ErrorKind::DisplayHelp),
            ("tagkeeper plan --help", ErrorKind::DisplayHelp),
            ("tagkeeper --version", ErrorKind::DisplayVersion),
        ] {
            let shown = parse(line).unwrap_err();
            assert_eq!((shown.kind(), shown.exit_code()), (kind, 0), "{line}");
        }
    }

    #[test]
    fn help_teaches_within_80_columns() {
        let help = Cli::command().render_long_help().to_string();
        for taught in [
            "/etc/tagkeeper/policy.toml",
            "78  the policy",
            "75  another pass",
            "69  the engine",
            "Examples:",
        ] {
            assert!(help.contains(taught), "{taught} is missing in:\n{help}");
        }
        assert_eq!(help.lines().find(|line| line.chars().count() > 80), None);
    }

    #[test]
    fn examples_of_the_help_parse() {
        let examples = AFTER_HELP
            .lines()
            .filter(|line| line.starts_with("  tagkeeper "));
        let parsed = examples.map(|line| parse(line.split('#').next().unwrap()).unwrap());
        assert_eq!(parsed.count(), 10);
    }
}
