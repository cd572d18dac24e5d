//! The command line: what may be said, and which exit code it gets.
//!
//! Imports: app, model, tui's settings. The text that users type is checked here, before anything is touched.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::app::args::{Color, DemoArgs, DeployArgs, EngineArgs, Output};
use crate::app::{self, Common};
use crate::model::Version;

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
struct CommonArgs {
    /// The configuration; else ROLLOUT_CONFIG, else ./rollout.toml
    #[arg(long, global = true, value_name = "FILE")]
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

#[derive(Debug, Subcommand)]
enum Verb {
    /// A real local fleet, balancer and traffic, and the console on it; nothing to install
    Demo(DemoArgs),
    /// Plan, confirm, roll out
    Deploy(DeployArgs),
    /// What would happen; changes nothing
    Plan {
        /// The version to deploy
        version: Version,
        /// Accept that nothing serves for a while
        #[arg(long)]
        allow_outage: bool,
    },
    /// The console on the running deployment
    Attach {
        /// Its id, e.g. shop-142
        id: Option<String>,
    },
    /// The running deployment, or the last one, in a line
    Status,
    /// One deployment, whole
    Show {
        /// Its id, e.g. shop-142
        id: String,
    },
    /// Take no new instance; those in flight go on to a safe point
    Pause(ReasonArgs),
    /// Take instances again
    Resume,
    /// End it: what is not updated goes back in rotation, nothing new is taken
    Cancel(ReasonArgs),
    /// Bring everything touched back to its own earlier version
    Rollback(ReasonArgs),
    /// Take over an interrupted deployment: it comes up paused, to be resumed, cancelled or rolled back
    Recover {
        /// Its id, e.g. shop-142
        id: Option<String>,
        /// Go on without the console
        #[arg(long)]
        detach: bool,
    },
    /// The engine's own process
    #[command(hide = true)]
    Engine(EngineArgs),
    /// One instance of the demo
    #[command(hide = true)]
    DemoInstance(crate::demo::instance::InstanceArgs),
    /// The balancer of the demo
    #[command(hide = true)]
    DemoProxy(crate::demo::proxy::ProxyArgs),
}

#[derive(Debug, Args)]
struct ReasonArgs {
    /// Why, for the journal
    #[arg(long, default_value = "")]
    reason: String,
}

/// The program. Returns the exit code of the contract.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to standard output, all else to standard error; a closed pipe is no news.
            drop(error.print());
            return ExitCode::from(if error.use_stderr() { EXIT_USAGE } else { 0 });
        }
    };
    let CommonArgs { config, sets, output, color, ascii, read_only } = cli.common;
    let common = Common { config, sets, output, color, ascii, read_only };
    let code = match cli.verb {
        None => app::console(&common),
        Some(Verb::Demo(args)) => app::demo(&common, &args),
        Some(Verb::Deploy(args)) => app::deploy(&common, &args),
        Some(Verb::Plan { version, allow_outage }) => app::plan(&common, &version, allow_outage),
        Some(Verb::Attach { id }) => app::attach(&common, id.as_deref()),
        Some(Verb::Status) => app::status(&common),
        Some(Verb::Show { id }) => app::show(&common, &id),
        Some(Verb::Pause(args)) => app::command(&common, crate::command::Command::Pause { reason: args.reason }),
        Some(Verb::Resume) => app::command(&common, crate::command::Command::Resume),
        Some(Verb::Cancel(args)) => app::command(&common, crate::command::Command::Cancel { reason: args.reason }),
        Some(Verb::Rollback(args)) => {
            app::command(&common, crate::command::Command::Rollback { reason: args.reason, only: None })
        }
        Some(Verb::Recover { id, detach }) => app::recover(&common, id.as_deref(), detach),
        Some(Verb::Engine(args)) => app::engine(&common, &args),
        Some(Verb::DemoInstance(args)) => app::demo_instance(args),
        Some(Verb::DemoProxy(args)) => app::demo_proxy(args),
    };
    ExitCode::from(code)
}
