//! The command line: clap's definitions and nothing else. Reads no file, knows no engine; `main`
//! acts on it.
//!
//! Wrong usage is exit code 2, clap's own (design 7). Options may be given before or after the
//! command. A command takes, and its help shows, only those that it uses; but the three that say
//! where things are (`--policy`, `--state-dir`, `--socket`) may be given to each, so that a script
//! can give them to all.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{NonEmptyStringValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, Args, CommandFactory, Parser, Subcommand, ValueEnum};
use tagkeeper_core::model::{Version, WorkloadName};

use crate::policy_file;

/// What `--help` teaches besides the options. Lines of at most 80 columns, so that no terminal
/// breaks them.
const AFTER_HELP: &str = "\
The policy says which workloads there are. It is read from all of these:
  /usr/lib/tagkeeper/policy.d/*.toml   from packages
  /etc/tagkeeper/policy.toml           yours
  /etc/tagkeeper/policy.d/*.toml       drop-ins; a file here masks one of the
                                       same name under /usr/lib

Exit codes:
   0  done, or nothing to do
   1  the pass failed or an action did; the next pass tries again. For rollback
      and accept: refused, nothing was changed; or latest is not what was
      intended. For wait: the upgrade failed
   2  wrong usage
   3  wait: the timeout is over
  69  the engine cannot be reached, did not answer in time, or its answer
      cannot be read; nothing was changed
  75  another pass holds the lock
  78  the policy (or a newer state) is refused; nothing was changed

Examples:
  tagkeeper init                        # print a starter policy for this host
  tagkeeper check --policy new.toml     # is this policy valid?
  tagkeeper status                      # one line for each workload
  tagkeeper status telemetry            # the details of one
  tagkeeper plan                        # what the next pass would do, and why
  tagkeeper plan --format json          # the same, for programs
  tagkeeper explain telemetry v2        # why is this image still here?
  tagkeeper reconcile                   # one pass, as the timer runs it
  tagkeeper rollback telemetry          # back to the previous proven version
  tagkeeper accept telemetry v2         # v2 may be promoted again
  tagkeeper wait telemetry v3           # until v3 is proven or has failed";

/// Keeps repository:latest on the newest version that has proved itself here.
///
/// Each workload of the policy has a repository, whose latest the local service runs. When the
/// orchestrator rolls out a version and its container stays up for ten minutes, that version
/// becomes latest; the previous one is kept as fallback, and older ones are removed. A systemd
/// timer runs `tagkeeper reconcile` every minute.
#[derive(Debug, Parser)]
#[command(name = "tagkeeper", version, after_help = AFTER_HELP, max_term_width = 80)]
#[command(mut_args(hidden))]
pub struct Cli {
    /// Options that are given before the command, which may turn out not to use them. The help of
    /// each command shows its own.
    #[command(flatten)]
    before: Printing,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The options of a command, with those before it and the defaults filled in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Read this policy instead of all the files under /usr/lib and /etc.
    pub policy: Option<PathBuf>,
    /// Where the state is kept.
    pub state_dir: Option<PathBuf>,
    /// The engine's unix socket.
    pub socket: Option<PathBuf>,
    /// How to print.
    pub format: Format,
    /// Whether to print in colours.
    pub color: Color,
}

/// Where things are. Every command takes these; its help hides what it has no use for.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// Read this policy instead of all the files under /usr/lib and /etc.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Where the state is kept [default: `$STATE_DIRECTORY`, else /var/lib/tagkeeper].
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// The engine's unix socket [default: the policy's, else /run/docker.sock].
    #[arg(long, value_name = "PATH", value_parser = socket_parser())]
    socket: Option<PathBuf>,
}

/// Where things are, and how what is found is printed.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
struct Printing {
    #[command(flatten)]
    places: Places,
    #[command(flatten)]
    format: FormatArg,
    #[command(flatten)]
    color: ColorArg,
}

/// The one workload to show.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct WorkloadArg {
    /// Only this workload.
    #[arg(value_parser = workload_parser())]
    workload: Option<WorkloadName>,
    #[arg(long = "workload", value_name = "NAME", value_parser = workload_parser(), hide = true, conflicts_with = "workload")]
    named: Option<WorkloadName>,
}

impl WorkloadArg {
    /// Its name, however it was given.
    pub fn name(&self) -> Option<&WorkloadName> {
        self.workload.as_ref().or(self.named.as_ref())
    }
}

/// `--format`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct FormatArg {
    /// Output format [default: text].
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
}

/// `--color`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct ColorArg {
    /// Colours; auto: on a terminal, unless `NO_COLOR` is set [default: auto].
    #[arg(long, value_enum, value_name = "WHEN")]
    color: Option<Color>,
}

/// Whether what is printed for people has colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal that knows them, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Even when not a terminal.
    Always,
    /// Not at all.
    Never,
}

/// Output format of `plan`, `status`, `explain` and `check`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs; a versioned interface.
    Json,
}

/// The commands (design 7).
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Run one pass (what the timer does).
    Reconcile(ReconcileArgs),
    /// Show what the next pass would do, and why.
    ///
    /// Reads like a diff: `+` adds a name, `~` moves one, `-` removes something. What is kept
    /// follows, with the reason. Shows all rounds of the next pass, from the decision that
    /// `reconcile` acts on. Changes nothing.
    Plan(PlanArgs),
    /// Show the state of each workload.
    ///
    /// Prints when the last pass ended and how, then one line for each workload, the failing ones
    /// first. With a workload, or with --verbose, prints the details: what is latest and whether it
    /// is proven, the fallbacks, which containers serve, how far a pending upgrade is, what failed
    /// and why, what was rejected, what is on the disk. Changes nothing.
    #[command(mut_arg("workload", |arg| arg.help("Only this workload, in detail")))]
    Status(StatusArgs),
    /// Show the history of one image, and why and until when it is kept.
    ///
    /// When it was first seen, promoted, replaced; why each of its names is kept or removed, and
    /// when that changes. Removed images are remembered too: the last 12 that were promoted and the
    /// last 12 that were not. Changes nothing.
    Explain(ExplainArgs),
    /// Validate the policy: all errors, plus warnings about this host.
    #[command(mut_arg("state_dir", hidden))]
    Check(CheckArgs),
    /// Print a starter policy for this host.
    ///
    /// Prints TOML to standard output: each local repository whose latest has a name in another
    /// repository too, and the container that runs it. Comments mark guesses. Reads no policy and
    /// changes nothing. For Podman: --socket /run/podman/podman.sock.
    #[command(
        mut_args(hidden),
        mut_arg("socket", |arg| arg.hide(false)
            .help("The engine's unix socket [default: /run/docker.sock]")),
        mut_arg("sonic", |arg| arg.hide(false))
    )]
    Init(InitArgs),
    /// Roll back to the previous proven version; asks first.
    ///
    /// Rejects the unproven upgrade in play, pending or crash-looping, and leaves latest where it
    /// is. When there is none, or with --latest, rejects latest and moves it to the version before.
    /// What is rejected is not promoted again until `tagkeeper accept` allows it. Also works on
    /// hold.
    ///
    /// It shows what it will do, and asks. If you answer anything but yes, or the situation changed
    /// meanwhile, nothing is changed and it exits 1. Without a terminal it needs --yes.
    Rollback(RollbackArgs),
    /// Lift the rejection of a version, so that it may be promoted again.
    Accept(AcceptArgs),
    /// Wait until an upgrade is proven or has failed; the gate for rollout pipelines.
    ///
    /// Waits for that version, or for whatever is pending. 0: it is proven. 1: it failed, was
    /// withdrawn or is rejected. 3: the timeout is over. Without VERSION it ends at once with 0 if
    /// nothing is pending.
    #[command(mut_arg("socket", hidden))]
    Wait(WaitArgs),
}

fn workload_parser() -> impl TypedValueParser<Value = WorkloadName> {
    NonEmptyStringValueParser::new().map(WorkloadName::new)
}

fn version_parser() -> impl TypedValueParser<Value = Version> {
    NonEmptyStringValueParser::new().map(Version::new)
}

fn socket_parser() -> impl TypedValueParser<Value = PathBuf> {
    NonEmptyStringValueParser::new().try_map(|text| {
        if policy_file::is_elsewhere(&text) {
            return Err(format!(
                "it {}; write a path, /run/docker.sock",
                policy_file::ELSEWHERE
            ));
        }
        match text.strip_prefix("unix://").unwrap_or(&text) {
            "" => Err("it names no path; write one, unix:///run/docker.sock".to_owned()),
            path => Ok(PathBuf::from(path)),
        }
    })
}

fn timeout_parser(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write 15m or 90s"))
}

fn hidden(arg: Arg) -> Arg {
    arg.hide(true)
}

/// Options of `reconcile`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct ReconcileArgs {
    #[command(flatten)]
    places: Places,
}

/// Options of `plan`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct PlanArgs {
    /// The one workload to show.
    #[command(flatten)]
    pub workload: WorkloadArg,
    #[command(flatten)]
    printing: Printing,
}

/// Options of `status`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct StatusArgs {
    /// The one workload to show.
    #[command(flatten)]
    pub workload: WorkloadArg,
    /// The details of each workload.
    #[arg(long, short)]
    pub verbose: bool,
    /// Print the details, including images that are kept unchanged.
    #[arg(long)]
    pub all: bool,
    /// Refresh every second until Ctrl-C.
    #[arg(long)]
    pub watch: bool,
    #[command(flatten)]
    printing: Printing,
}

/// Options of `explain`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct ExplainArgs {
    /// [WORKLOAD] IMAGE: a name of the image, its version, or the beginning of its id (four
    /// digits or more).
    #[arg(value_name = "[WORKLOAD] IMAGE", num_args = 1..=2, required = true, value_parser = NonEmptyStringValueParser::new())]
    words: Vec<String>,
    #[command(flatten)]
    printing: Printing,
}

impl ExplainArgs {
    /// The workload, if one was named, and what was asked for.
    pub fn subject(&self) -> (Option<WorkloadName>, &str) {
        match self.words.as_slice() {
            [workload, image] => (Some(WorkloadName::new(workload.as_str())), image),
            [image, ..] => (None, image),
            [] => (None, ""),
        }
    }
}

/// Options of `check`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct CheckArgs {
    #[command(flatten)]
    printing: Printing,
}

/// Options of `init`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct InitArgs {
    /// For a SONiC switch: print a drop-in for each feature that its configuration database assigns
    /// to Kubernetes, all on hold. SOCKET is the Redis server's, by default
    /// /var/run/redis/redis.sock.
    #[arg(long, value_name = "SOCKET", num_args = 0..=1, require_equals = true,
        default_missing_value = "/var/run/redis/redis.sock")]
    pub sonic: Option<PathBuf>,
    #[command(flatten)]
    places: Places,
}

/// Options of `rollback`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct RollbackArgs {
    /// The workload, as the policy names it.
    #[arg(value_parser = workload_parser())]
    pub workload: WorkloadName,
    /// Do not ask for confirmation.
    #[arg(long, short)]
    pub yes: bool,
    /// Reject latest, even while an unproven upgrade is in play.
    #[arg(long)]
    pub latest: bool,
    #[command(flatten)]
    places: Places,
    #[command(flatten)]
    color: ColorArg,
}

/// Options of `accept`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct AcceptArgs {
    /// The workload, as the policy names it.
    #[arg(value_parser = workload_parser())]
    pub workload: WorkloadName,
    /// The rejected version, or the id of one rejected image (its first twelve digits are enough);
    /// `tagkeeper status WORKLOAD` lists both.
    #[arg(value_parser = version_parser())]
    pub version: Version,
    #[command(flatten)]
    places: Places,
}

/// Options of `wait`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct WaitArgs {
    /// The workload, as the policy names it.
    #[arg(value_parser = workload_parser())]
    pub workload: WorkloadName,
    /// The version, or the image id, to wait for [default: whatever is pending].
    #[arg(value_parser = version_parser())]
    pub version: Option<Version>,
    /// Give up after this long; by default, wait without limit.
    #[arg(long, value_name = "DURATION", value_parser = timeout_parser)]
    pub timeout: Option<Duration>,
    #[command(flatten)]
    places: Places,
}

impl Command {
    /// Its options: where things are, and how it prints, as far as it does.
    fn options(&self) -> (&Places, Option<&FormatArg>, Option<&ColorArg>) {
        match self {
            Self::Plan(PlanArgs { printing, .. })
            | Self::Status(StatusArgs { printing, .. })
            | Self::Explain(ExplainArgs { printing, .. })
            | Self::Check(CheckArgs { printing }) => (
                &printing.places,
                Some(&printing.format),
                Some(&printing.color),
            ),
            Self::Reconcile(args) => (&args.places, None, None),
            Self::Init(args) => (&args.places, None, None),
            Self::Rollback(args) => (&args.places, None, Some(&args.color)),
            Self::Accept(args) => (&args.places, None, None),
            Self::Wait(args) => (&args.places, None, None),
        }
    }
}

impl Cli {
    /// The options of the command.
    ///
    /// # Errors
    /// An option before the command that this one does not use: wrong usage.
    pub fn options(&self) -> Result<Options, clap::Error> {
        let (places, format, color) = self.command.options();
        let before = &self.before;
        let (format_before, color_before) = (before.format.format, before.color.color);
        for (name, is_given, is_used) in [
            ("format", format_before.is_some(), format.is_some()),
            ("color", color_before.is_some(), color.is_some()),
        ] {
            if is_given && !is_used {
                let message = format!("this command does not use --{name}");
                return Err(Self::command().error(ErrorKind::UnknownArgument, message));
            }
        }
        let given = |of: fn(&Places) -> &Option<PathBuf>| {
            let option = of(places).as_ref().or(of(&before.places).as_ref());
            option.cloned()
        };
        let format = format.and_then(|arg| arg.format).or(format_before);
        let color = color.and_then(|arg| arg.color).or(color_before);
        Ok(Options {
            policy: given(|places| &places.policy),
            state_dir: given(|places| &places.state_dir),
            socket: given(|places| &places.socket),
            format: format.unwrap_or_default(),
            color: color.unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn parse(line: &str) -> Result<(Cli, Options), clap::Error> {
        let cli = Cli::try_parse_from(line.split_whitespace())?;
        let options = cli.options()?;
        Ok((cli, options))
    }

    #[test]
    fn definitions_are_valid() {
        Cli::command().debug_assert();
    }

    #[test]
    fn commands_and_their_words() {
        let (cli, options) = parse("tagkeeper explain telemetry v2").unwrap();
        let Command::Explain(args) = cli.command else {
            panic!("{cli:?}")
        };
        assert_eq!(args.subject(), (Some(WorkloadName::new("telemetry")), "v2"));
        assert_eq!(options, Options::default());
        let (cli, _) = parse("tagkeeper wait telemetry v3 --timeout 15m").unwrap();
        let Command::Wait(args) = cli.command else {
            panic!("{cli:?}")
        };
        assert_eq!(args.timeout, Some(Duration::from_secs(900)));
        for line in [
            "tagkeeper plan telemetry",
            "tagkeeper plan --workload telemetry",
        ] {
            let (cli, _) = parse(line).unwrap();
            let Command::Plan(args) = cli.command else {
                panic!("{line}")
            };
            assert_eq!(
                args.workload.name(),
                Some(&WorkloadName::new("telemetry")),
                "{line}"
            );
        }
    }

    #[test]
    fn options_may_be_given_before_and_after_the_command() {
        for line in [
            "tagkeeper --policy p.toml --state-dir s --socket unix://e.sock --format json plan",
            "tagkeeper plan --policy p.toml --state-dir s --socket e.sock --format json",
            "tagkeeper --policy=p.toml --format=json plan --state-dir=s --socket=e.sock",
        ] {
            let (_, options) = parse(line).unwrap();
            assert_eq!(
                options.policy.as_deref(),
                Some(Path::new("p.toml")),
                "{line}"
            );
            assert_eq!(options.state_dir.as_deref(), Some(Path::new("s")), "{line}");
            assert_eq!(
                options.socket.as_deref(),
                Some(Path::new("e.sock")),
                "{line}"
            );
            assert_eq!(options.format, Format::Json, "{line}");
        }
    }

    #[test]
    fn a_command_takes_only_the_options_that_it_uses() {
        for line in [
            "tagkeeper rollback telemetry --format json",
            "tagkeeper --format json rollback telemetry",
            "tagkeeper init --format json",
            "tagkeeper --color never accept telemetry v1",
            "tagkeeper wait telemetry --format json",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn wrong_usage_is_exit_2() {
        for line in [
            "tagkeeper",
            "tagkeeper paln",
            "tagkeeper plan --watch",
            "tagkeeper --color sometimes plan",
            "tagkeeper rollback",
            "tagkeeper explain",
            "tagkeeper explain a b c",
            "tagkeeper accept telemetry",
            "tagkeeper wait",
            "tagkeeper wait x --timeout soon",
            "tagkeeper --format yaml plan",
            "tagkeeper --force reconcile",
            "tagkeeper --policy",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
        let empty = Cli::try_parse_from(["tagkeeper", "rollback", ""]).unwrap_err();
        assert_eq!(empty.exit_code(), 2);
    }

    /// As the policy's `[engine] socket` is refused, and not by asking whether an engine runs.
    #[test]
    fn a_socket_that_is_not_unix_is_wrong_usage() {
        for (socket, said) in [
            (
                "tcp://10.0.0.1:2375",
                "is not a unix socket, and tagkeeper uses no other",
            ),
            (
                "ssh://host",
                "is not a unix socket, and tagkeeper uses no other",
            ),
            ("unix://", "it names no path"),
        ] {
            for line in [
                format!("tagkeeper --socket {socket} plan"),
                format!("tagkeeper plan --socket={socket}"),
                format!("tagkeeper init --socket {socket}"),
            ] {
                let refused = parse(&line).unwrap_err();
                assert_eq!(refused.exit_code(), 2, "{line}");
                let refused = refused.to_string();
                assert!(refused.contains(said), "{line}: {refused}");
            }
        }
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
        assert_eq!(parsed.count(), 11);
    }
}
