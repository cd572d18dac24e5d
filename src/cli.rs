//! The command line: what may be said, and which exit code it gets.
//!
//! Imports: app, model, command. The text that users type is checked here, before anything is touched.

mod generate;
mod verb;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{Args, CommandFactory as _, Parser};

use self::verb::Verb;
use crate::app::args::{Color, Output};
use crate::app::{self, Common};
use crate::command::Command;
use crate::model::text::is_harmless;
use crate::os::text;

/// As much of an argument as a complaint about it repeats.
const ARGUMENT_CHARS_MAX: usize = 500;
/// Bad usage or configuration; nothing touched.
pub const EXIT_USAGE: u8 = 2;

/// A terminal console for zero-downtime deployments, with its engine inside.
#[derive(Debug, Parser)]
#[command(name = "rollout", version, about, arg_required_else_help = false, disable_help_subcommand = true)]
#[command(after_help = "Exit codes of deploy and attach: 0 completed · 2 bad usage or configuration · 3 rolled back · \
    4 something needs a person · 5 cancelled · 6 refused before touching anything · 7 stopped by a signal, recoverable")]
struct Cli {
    #[command(flatten)]
    common: CommonArgs,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every verb")]
struct CommonArgs {
    /// The configuration; else ROLLOUT_CONFIG, else ./rollout.toml
    #[arg(long, global = true, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// Override a key of the configuration, e.g. drain.timeout=10s (repeatable)
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Output for people or for programs
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Colours of the console
    #[arg(long, global = true, value_enum)]
    color: Option<Color>,
    /// Draw with ASCII characters only
    #[arg(long, global = true)]
    ascii: bool,
    /// Watch only: every command is refused
    #[arg(long, global = true)]
    read_only: bool,
}

/// The definition of the command line: help, completions and the manual are made of it.
pub fn definition() -> clap::Command {
    Cli::command()
}

/// The program. Returns the exit code of the contract.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let error = without_hidden(harmless(error));
            // Help and version go to standard output, all else to standard error; a closed pipe is no news.
            drop(error.print());
            return ExitCode::from(if error.use_stderr() { EXIT_USAGE } else { 0 });
        }
    };
    let CommonArgs { config, sets, output, color, ascii, read_only } = cli.common;
    let common = Common { config, sets, output, color, ascii, read_only };
    ExitCode::from(match cli.verb {
        None => app::console(&common),
        Some(verb) => run(&common, verb),
    })
}

/// The same complaint about arguments that steer no terminal: it repeats them.
fn harmless(error: clap::Error) -> clap::Error {
    let given: Vec<String> = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect();
    if given.iter().all(|arg| is_harmless(arg)) {
        return error;
    }
    let shown = given.iter().map(|arg| text::sanitise_within(arg, ARGUMENT_CHARS_MAX));
    // What is written out is no id, no version and no flag either.
    Cli::try_parse_from(shown)
        .err()
        .unwrap_or_else(|| definition().error(error.kind(), "an argument has characters that are not seen"))
}

/// Verbs that are not for users are not proposed to them either.
fn without_hidden(mut error: clap::Error) -> clap::Error {
    let definition = definition();
    let seen = |name: &String| definition.find_subcommand(name).is_none_or(|verb| !verb.is_hide_set());
    let proposed: Vec<String> = match error.get(ContextKind::SuggestedSubcommand) {
        Some(ContextValue::String(name)) => vec![name.clone()],
        Some(ContextValue::Strings(names)) => names.clone(),
        Some(_) | None => return error,
    };
    let mut proposed: Vec<String> = proposed.into_iter().filter(seen).collect();
    // The most alike come last.
    match proposed.pop() {
        Some(best) => error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(vec![best])),
        None => error.remove(ContextKind::SuggestedSubcommand),
    };
    error
}

fn run(common: &Common, verb: Verb) -> u8 {
    match verb {
        Verb::Demo(args) => app::demo(common, &args),
        Verb::Deploy(args) => app::deploy(common, &args),
        Verb::Plan(args) => app::plan(common, &args),
        Verb::Attach { id } => app::attach(common, id.as_deref()),
        Verb::Status => app::status(common),
        Verb::History { limit } => app::history(common, limit),
        Verb::Show { id } => app::show(common, &id),
        Verb::Events { id, follow } => app::events(common, &id, follow),
        Verb::Replay { id } => app::replay(common, &id),
        Verb::Pause(args) => app::command(common, Command::Pause { reason: args.reason }),
        Verb::Resume => app::command(common, Command::Resume),
        Verb::Cancel(args) => app::command(common, Command::Cancel { reason: args.reason }),
        Verb::Promote { full } => app::command(common, Command::Promote { full }),
        Verb::Rollback(args) => app::rollback(common, &args),
        Verb::Retry { instance } => app::command(common, Command::Retry { instance }),
        Verb::Skip { instance, reason } => app::command(common, Command::Skip { instance, reason: reason.reason }),
        Verb::Hold { instance, reason } => app::command(common, Command::Hold { instance, reason: reason.reason }),
        Verb::Release { instance } => app::command(common, Command::Release { instance }),
        Verb::Recover(args) => app::recover(common, &args),
        Verb::Check => app::check(common),
        Verb::Init(args) => app::init(common, &args),
        Verb::Schema => app::schema(),
        Verb::Theme { verb } => app::theme(common, &verb),
        // A closed pipe is no news.
        Verb::Completions { shell } => written(generate::completions(&definition(), shell, &mut io::stdout().lock())),
        Verb::Man => written(generate::manual(definition(), &mut io::stdout().lock())),
        Verb::Engine(args) => app::engine(common, &args),
        Verb::DemoInstance(args) => app::demo_instance(args),
        Verb::DemoProxy(args) => app::demo_proxy(args),
    }
}

/// Whoever closes the pipe has what they wanted; a full disk is another matter.
fn written(result: io::Result<()>) -> u8 {
    match result {
        Ok(()) => 0,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
        Err(error) => {
            drop(io::Write::write_fmt(&mut io::stderr(), format_args!("rollout: cannot write: {error}\n")));
            1
        }
    }
}
