//! The verbs and their arguments, as clap reads them: help, completions and manual come from here.
//!
//! Imports: app's arguments, model. May not: act.

use clap::{Args, Subcommand};
use clap_complete::Shell;

use crate::app::args::{DemoArgs, DeployArgs, EngineArgs, InitArgs, PlanArgs, RecoverArgs, RollbackArgs, ThemeVerb};
use crate::model::InstanceId;

/// A verb.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// A real local fleet, balancer and traffic, and the console on it; nothing to install
    Demo(DemoArgs),
    /// Plan, confirm, roll out
    Deploy(DeployArgs),
    /// What would happen: batches, capacity, time, rollback readiness; changes nothing
    Plan(PlanArgs),
    /// The console on the running deployment
    Attach {
        /// Its id, e.g. shop-142; the beginning or the number alone will do
        id: Option<String>,
    },
    /// The running deployment, or the last one, in a line
    Status,
    /// All deployments, newest first
    History {
        /// How many at most
        #[arg(short = 'n', long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// One deployment, whole
    Show {
        /// Its id, e.g. shop-142; the beginning or the number alone will do
        id: String,
    },
    /// What happened in one deployment, a line each
    Events {
        /// Its id, e.g. shop-142; the beginning or the number alone will do
        id: String,
        /// Go on with what happens, to the end
        #[arg(long, short)]
        follow: bool,
    },
    /// A past deployment in the console, from its journal: forwards, backwards, playing
    Replay {
        /// Its id, e.g. shop-142; the beginning or the number alone will do
        id: String,
    },
    /// Take no new instance; those in flight go on to a safe point
    Pause(ReasonArgs),
    /// Take instances again
    Resume,
    /// End it: what is not updated goes back in rotation, nothing new is taken
    Cancel(ReasonArgs),
    /// Confirm that the next batch may begin
    Promote {
        /// And all that follow
        #[arg(long)]
        full: bool,
    },
    /// Bring everything touched back to its own earlier version; after the end, as a deployment of its own
    ///
    /// It goes without batch pauses. After the end it is shown in the console and begins when it is confirmed there; with
    /// --yes, or without a terminal, it begins at once.
    Rollback(RollbackArgs),
    /// Try a failed or skipped instance again
    Retry {
        /// Which instance
        instance: InstanceId,
    },
    /// Leave an instance alone, and do not let it hold the budget
    Skip {
        /// Which instance
        instance: InstanceId,
        #[command(flatten)]
        reason: ReasonArgs,
    },
    /// Do not take an instance until it is released
    Hold {
        /// Which instance
        instance: InstanceId,
        #[command(flatten)]
        reason: ReasonArgs,
    },
    /// End a hold
    Release {
        /// Which instance
        instance: InstanceId,
    },
    /// Take over an interrupted deployment: look at what is there, then continue, settle or roll back
    Recover(RecoverArgs),
    /// Validate the file, then reach every instance, balancer and store it names; changes nothing
    Check,
    /// Write a rollout.toml, from an HAProxy configuration or by questions
    Init(InitArgs),
    /// The JSON Schema of rollout.toml, for editors
    Schema,
    /// The themes of the console: which there are, what they look like, whether they can be read
    Theme {
        /// What to do
        #[command(subcommand)]
        verb: ThemeVerb,
    },
    /// A completion script, e.g. rollout completions bash > /etc/bash_completion.d/rollout
    Completions {
        /// For which shell
        #[arg(value_enum)]
        shell: Shell,
    },
    /// The manual page, e.g. rollout man | man -l -
    Man,
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

/// A reason.
#[derive(Debug, Args)]
pub(super) struct ReasonArgs {
    /// Why, for the journal
    #[arg(long, default_value = "")]
    pub(super) reason: String,
}
