//! What verbs may be told: the arguments of the command line, typed.
//!
//! Imports: model. May not: act.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};

use crate::model::{InstanceId, Version};

/// Output for people or for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// One line a fact.
    Text,
    /// One JSON object a line.
    Json,
}

/// Colours of the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// What the terminal can.
    Auto,
    /// None.
    Mono,
    /// The sixteen.
    #[value(name = "16")]
    C16,
    /// 256.
    #[value(name = "256")]
    C256,
    /// 24 bits.
    Truecolor,
}

/// `rollout theme`.
#[derive(Debug, Subcommand)]
pub enum ThemeVerb {
    /// Every theme: what it is made for, and where it is
    List,
    /// A theme's file, and a sample of it in the colours of this terminal
    Show {
        /// Its name, or a file
        theme: String,
    },
    /// Whether its texts can be read and its states told apart; without a name, of every theme
    Check {
        /// Its name, or a file
        theme: Option<String>,
    },
}

/// `rollout demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// How many instances
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(2..=500))]
    pub instances: u32,
    /// The balancer: its own small one, or a real HAProxy
    #[arg(long, value_enum, default_value_t = DemoBalancer::Builtin)]
    pub lb: DemoBalancer,
}

/// The balancer of the demo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DemoBalancer {
    /// A small proxy that speaks the part of HAProxy's runtime API that the driver uses.
    Builtin,
    /// The installed HAProxy.
    Haproxy,
}

/// `rollout deploy`.
#[derive(Debug, Args)]
pub struct DeployArgs {
    /// The version to deploy
    pub version: Version,
    /// Begin without asking
    #[arg(long)]
    pub yes: bool,
    /// Begin and leave it to itself; needs --yes
    #[arg(long, requires = "yes")]
    pub detach: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a text here would be the verb's help")]
    pub scope: ScopeArgs,
}

/// Who takes part in a deployment, and how; the same for `deploy`, `plan` and the engine.
#[derive(Debug, Clone, Default, Args)]
pub struct ScopeArgs {
    /// Only these instances; lists and patterns serve.
    #[arg(long, value_name = "ID", value_delimiter = ',', help = "Only these instances, e.g. web-01,web-[05:08]")]
    pub only: Vec<String>,
    /// All but these instances
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub exclude: Vec<String>,
    /// Update these instances although nobody knows what they run now, so they cannot go back
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub no_rollback_for: Vec<String>,
    /// Update also the instances that run the version already
    #[arg(long)]
    pub restart: bool,
    /// Accept that nothing serves for a while
    #[arg(long)]
    pub allow_outage: bool,
    /// Accept that most instances of the last deployment are not in the fleet any more, as [fleet.discover] finds it
    #[arg(long)]
    pub allow_new_fleet: bool,
    /// Begin although this freeze of the configuration holds, or "windows" although none is open; it is journalled
    #[arg(long, value_name = "NAME")]
    pub override_freeze: Vec<String>,
    /// Why it is overridden, for the journal
    #[arg(long, value_name = "WHY", requires = "override_freeze")]
    pub reason: Option<String>,
    /// Instead of strategy.kind of the configuration
    #[arg(long, value_enum)]
    pub strategy: Option<Strategy>,
}

/// How a deployment goes through the fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Strategy {
    /// A few at a time.
    Rolling,
    /// By the steps of the configuration, then the rest a few at a time.
    Canary,
}

/// `rollout rollback`.
#[derive(Debug, Args)]
pub struct RollbackArgs {
    /// After the end, at a terminal: begin without asking
    #[arg(long)]
    pub yes: bool,
    /// Why, for the journal
    #[arg(long, default_value = "")]
    pub reason: String,
    /// This failed instance of the running deployment alone; the deployment goes on
    #[arg(long, value_name = "ID", conflicts_with = "to")]
    pub only: Option<InstanceId>,
    /// After the end: to this version, if it is known to have been good
    #[arg(long, value_name = "VERSION")]
    pub to: Option<Version>,
}

/// `rollout recover`.
#[expect(clippy::struct_excessive_bools, reason = "flags of the command line")]
#[derive(Debug, Args)]
pub struct RecoverArgs {
    /// Its id, e.g. shop-142; the beginning or the number alone will do
    pub id: Option<String>,
    /// Go on with it
    #[arg(long = "continue", group = "choice")]
    pub go_on: bool,
    /// Begin nothing new, put what is in the middle back in rotation, and end it; versions may stay mixed, and are listed
    #[arg(long, group = "choice")]
    pub settle: bool,
    /// Take everything that was touched back to its own version
    #[arg(long, group = "choice")]
    pub rollback: bool,
    /// Take over and leave it to itself; without a choice it waits, paused
    #[arg(long)]
    pub detach: bool,
    /// Take the lease from this process, the engine that holds it, although it is at work: it is killed
    #[arg(long, value_name = "PID")]
    pub steal: Option<i32>,
}

/// What becomes of a deployment whose engine is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Choice {
    /// It goes on.
    Continue,
    /// Everything back in rotation, as it is.
    Settle,
    /// Everything back to its own version.
    Rollback,
}

/// `rollout plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The version to deploy
    pub version: Version,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a text here would be the verb's help")]
    pub scope: ScopeArgs,
}

/// `rollout init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Take the instances from this: HAProxy's or nginx's configuration, a compose file, an Ansible inventory, or containers that
    /// run (`docker`, or a daemon's address like ssh://deploy@host); without it, questions are asked
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub from: Option<PathBuf>,
    /// Which backend, upstream, image or group of it, if it has several
    #[arg(long, requires = "from", value_name = "NAME")]
    pub backend: Option<String>,
    /// The service's name; default: the backend's
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
    /// Write it to standard output instead of ./rollout.toml
    #[arg(long)]
    pub print: bool,
}

/// `rollout engine`: how a front door starts the engine's process.
#[derive(Debug, Args)]
pub struct EngineArgs {
    /// The version to deploy
    #[arg(long, required_unless_present_any = ["recover", "undo"])]
    pub version: Option<Version>,
    /// Login of who asked
    #[arg(long, default_value = "unknown")]
    pub started_by: String,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a text here would be the verb's help")]
    pub scope: ScopeArgs,
    /// Take over this interrupted deployment instead
    #[arg(long, value_name = "ID", conflicts_with_all = ["version", "undo"])]
    pub recover: Option<String>,
    /// Take the lease from this process although it is at work
    #[arg(long, value_name = "PID", requires = "recover")]
    pub steal: Option<i32>,
    /// What was chosen for it
    #[arg(long, value_enum, requires = "recover")]
    pub then: Option<Choice>,
    /// Undo this deployment, which has ended; with --version: bring what it touched there
    #[arg(long, value_name = "ID")]
    pub undo: Option<String>,
}
