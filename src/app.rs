//! The composition root: from the command line to parts, engine, front door, and back to an exit code.
//!
//! The only place that knows everybody. Each verb of the command line is one function here.

pub mod args;
mod calendar;
mod check;
mod demo;
mod deploy;
mod engine;
mod files;
mod gather;
mod idle;
mod init;
mod lease;
mod logout;
mod output;
mod parts;
mod past;
mod plan;
mod recover;
mod redact;
mod replay;
mod request;
mod schema;
mod signals;
mod skew;
mod startable;
mod theme;
mod themes;
mod told;
mod unwatched;
mod verbs;
mod watching;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::ValueEnum as _;

use self::args::{
    Color, DemoArgs, DeployArgs, EngineArgs, InitArgs, Output, PlanArgs, RecoverArgs, RollbackArgs, ScopeArgs, ThemeVerb,
};
use crate::command::Command;
use crate::config::{self, Config};
use crate::demo::{instance::InstanceArgs, proxy::ProxyArgs};
use crate::event::clean;
use crate::journal;

pub use parts::clock;

/// Bad usage or configuration; nothing touched.
const USAGE: u8 = 2;
/// Something needs a person.
const PERSON: u8 = 4;
/// Ended by whoever asked for it.
const CANCELLED: u8 = 5;
/// Refused before touching anything.
const REFUSED: u8 = 6;
/// Stopped by a signal after touching, recoverable.
const SIGNALLED: u8 = 7;

/// What every verb may be told.
#[derive(Debug, Clone)]
pub struct Common {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--set`, in order.
    pub sets: Vec<String>,
    /// `--output`.
    pub output: Output,
    /// `--color`.
    pub color: Option<Color>,
    /// `--ascii`.
    pub ascii: bool,
    /// `--read-only`.
    pub read_only: bool,
}

/// A sentence for the user and the exit code that goes with it.
#[derive(Debug)]
struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    #[expect(clippy::needless_pass_by_value, reason = "taken by value to be handed to `map_err`")]
    fn usage(message: impl ToString) -> Self {
        Self { code: USAGE, message: message.to_string() }
    }

    #[expect(clippy::needless_pass_by_value, reason = "taken by value to be handed to `map_err`")]
    fn refused(message: impl ToString) -> Self {
        Self { code: REFUSED, message: message.to_string() }
    }

    #[expect(clippy::needless_pass_by_value, reason = "taken by value to be handed to `map_err`")]
    fn person(message: impl ToString) -> Self {
        Self { code: PERSON, message: message.to_string() }
    }
}

type Done = Result<u8, Failure>;

/// Where the files of one service are.
#[derive(Debug, Clone)]
struct Place {
    base: PathBuf,
    service: String,
    env: String,
}

impl Place {
    fn of(config: &Config) -> Self {
        Self { base: config.journal_dir.clone(), service: config.service.name.clone(), env: config.service.env.clone() }
    }

    fn dir(&self) -> PathBuf {
        journal::service_dir(&self.base, &self.service, &self.env)
    }

    fn socket(&self) -> Result<PathBuf, Failure> {
        journal::socket_path(&self.base, &self.service, &self.env).map_err(Failure::usage)
    }
}

/// The file that the command line names.
fn found_config(common: &Common) -> Result<PathBuf, Failure> {
    let cwd = std::env::current_dir().map_err(|e| Failure::usage(format!("cannot tell the current directory: {e}")))?;
    config::find(common.config.as_deref(), std::env::var_os("ROLLOUT_CONFIG").as_deref(), &cwd).map_err(Failure::usage)
}

/// Reads the configuration that the command line names. Its warnings go to standard error.
fn load(common: &Common) -> Result<(PathBuf, Config), Failure> {
    let path = found_config(common)?;
    let config = load_file(&path, &common.sets)?;
    Ok((path, config))
}

fn load_file(path: &Path, sets: &[String]) -> Result<Config, Failure> {
    let config = config::load(path, sets, &|name| std::env::var(name).ok()).map_err(Failure::usage)?;
    for warning in &config.warnings {
        complain(&format!("warning: {warning}"));
    }
    Ok(config)
}

/// Of several lines. Whatever an error repeats, no terminal obeys it.
fn harmless(message: &str) -> String {
    let lines: Vec<_> = message.trim_end().split('\n').map(clean).collect();
    lines.join("\n")
}

/// Tells the user on standard error; a closed pipe is no news.
fn complain(message: &str) {
    drop(writeln!(std::io::stderr().lock(), "{}", harmless(message)));
}

/// Answers on standard output; a closed pipe is no news.
fn say(message: &str) {
    drop(writeln!(std::io::stdout().lock(), "{}", harmless(message)));
}

/// Runs a verb on a runtime of its own and turns what came of it into an exit code.
fn run(verb: impl Future<Output = Done>) -> u8 {
    run_on(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build(), verb)
}

fn run_on(runtime: std::io::Result<tokio::runtime::Runtime>, verb: impl Future<Output = Done>) -> u8 {
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("rollout: cannot start: {error}"));
            return PERSON;
        }
    };
    let done = runtime.block_on(verb);
    // Whatever still reads a terminal or a socket must not hold the process.
    runtime.shutdown_background();
    finish(done)
}

/// The exit code; a failure is told on standard error.
fn finish(done: Done) -> u8 {
    match done {
        Ok(code) => code,
        Err(failure) => {
            complain(&format!("rollout: {}", failure.message));
            failure.code
        }
    }
}

/// `rollout`: the console on what runs, else on the fleet; without a terminal, a hint.
pub fn console(common: &Common) -> u8 {
    run(verbs::console(common))
}

/// `rollout demo`.
pub fn demo(common: &Common, args: &DemoArgs) -> u8 {
    run(demo::demo(common, args))
}

/// `rollout deploy`.
pub fn deploy(common: &Common, args: &DeployArgs) -> u8 {
    run(deploy::deploy(&with_strategy(common, &args.scope), args))
}

/// `--strategy` is a key of the configuration in other words.
fn with_strategy(common: &Common, scope: &ScopeArgs) -> Common {
    let chosen = scope.strategy.and_then(|strategy| Some(strategy.to_possible_value()?.get_name().to_owned()));
    let mut common = common.clone();
    common.sets.extend(chosen.map(|kind| format!("strategy.kind={kind}")));
    common
}

/// `rollout rollback`.
pub fn rollback(common: &Common, args: &RollbackArgs) -> u8 {
    run(deploy::rollback(common, args))
}

/// `rollout plan`.
pub fn plan(common: &Common, args: &PlanArgs) -> u8 {
    run(plan::plan(&with_strategy(common, &args.scope), args))
}

/// `rollout attach`.
pub fn attach(common: &Common, id: Option<&str>) -> u8 {
    run(verbs::attach(common, id))
}

/// `rollout status`.
pub fn status(common: &Common) -> u8 {
    run(verbs::status(common))
}

/// `rollout show`.
pub fn show(common: &Common, id: &str) -> u8 {
    run(past::show(common, id))
}

/// `rollout history`.
pub fn history(common: &Common, limit: u32) -> u8 {
    run(past::history(common, limit))
}

/// `rollout events`.
pub fn events(common: &Common, id: &str, follow: bool) -> u8 {
    run(past::events(common, id, follow))
}

/// `rollout replay`.
pub fn replay(common: &Common, id: &str) -> u8 {
    run(replay::replay(common, id))
}

/// `rollout check`.
pub fn check(common: &Common) -> u8 {
    run(check::check(common))
}

/// `rollout init`.
pub fn init(common: &Common, args: &InitArgs) -> u8 {
    run(init::init(common, args))
}

/// `rollout theme`.
pub fn theme(common: &Common, verb: &ThemeVerb) -> u8 {
    finish(theme::theme(common, verb))
}

/// `rollout schema`.
pub fn schema() -> u8 {
    finish(schema::schema())
}

/// `rollout pause`, `resume`, `cancel`, `rollback`.
pub fn command(common: &Common, command: Command) -> u8 {
    run(verbs::command(common, command))
}

/// `rollout recover`.
pub fn recover(common: &Common, args: &RecoverArgs) -> u8 {
    run(recover::recover(common, args))
}

/// `rollout engine`.
pub fn engine(common: &Common, args: &EngineArgs) -> u8 {
    crate::os::own::close_inherited();
    crate::os::own::without_core_file();
    engine::leave_the_terminal();
    crate::telemetry::end_on_panic();
    run(engine::engine(common, args))
}

/// `rollout demo-instance`.
pub fn demo_instance(args: InstanceArgs) -> u8 {
    let small = tokio::runtime::Builder::new_current_thread().enable_all().build();
    run_on(small, async {
        crate::demo::instance::run(args, parts::now).await.map(|()| 0).map_err(|e| Failure { code: 1, message: e.to_string() })
    })
}

/// `rollout demo-proxy`.
pub fn demo_proxy(args: ProxyArgs) -> u8 {
    run(async {
        crate::demo::proxy::run(args, parts::now).await.map(|()| 0).map_err(|e| Failure { code: 1, message: e.to_string() })
    })
}
