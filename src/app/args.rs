//! What verbs may be told: the arguments of the command line, typed.
//!
//! Imports: model. May not: act.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

use crate::model::Version;

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
    /// Accept that nothing serves for a while
    #[arg(long)]
    pub allow_outage: bool,
}

/// `rollout plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The version to deploy
    pub version: Version,
    /// Accept that nothing serves for a while
    #[arg(long)]
    pub allow_outage: bool,
}

/// `rollout init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Take instances and balancer from this HAProxy configuration; without it, questions are asked
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub from: Option<PathBuf>,
    /// Which backend of it, if it has several
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
    #[arg(long, required_unless_present = "recover")]
    pub version: Option<Version>,
    /// Login of who asked
    #[arg(long, default_value = "unknown")]
    pub started_by: String,
    /// The floor of min_serving does not hold
    #[arg(long)]
    pub allow_outage: bool,
    /// Take over this interrupted deployment instead
    #[arg(long, value_name = "ID", conflicts_with = "version")]
    pub recover: Option<String>,
}
