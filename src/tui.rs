//! The console: a thin client of one deployment. It never holds up the engine and never outlives its terminal.
//!
//! Keys become messages by `keys`, messages change `App` in `update`, `view` draws it; `run` alone does I/O.
//!
//! Imports: session, command, core, state, event, model. May not: know an adapter or where the engine runs.

mod allowed;
mod app;
mod asking;
mod baseline;
mod chart;
mod chooser;
mod command_line;
mod confirm;
mod drain;
mod encoder;
mod filter;
mod help;
mod history;
mod idle;
mod input;
mod keymap;
mod keys;
mod list;
mod log;
mod logs;
mod looks;
mod past;
mod plan;
mod replay;
mod run;
mod runs;
mod screen;
mod steps;
mod tab;
mod terminal;
mod text;
mod theme;
mod timeline;
mod typing;
mod update;
mod view;
mod wire;

use std::io;
use std::sync::Arc;

use jiff::tz::TimeZone;

pub use app::{App, Dirt, Fact, Fixed, Link, LogView, NextGate, Oracle, Pane, Tone};
pub use baseline::Comparison;
pub use chart::{Chart, Mark};
pub use chooser::{Themes, Told};
pub use command_line::CommandLine;
pub use confirm::{Ask, Overlay, Reason, Typed};
pub use encoder::{Encoder, painted};
pub use filter::{Candidate, Filter};
pub use help::Help;
pub use history::{History, Stage};
pub use idle::{Idle, Last};
pub use keymap::{Bound, KeyFault, Keymap, Rebinding, action_names};
pub use keys::{Action, Binding, Group, KEYMAP, Key};
pub use list::{List, Sort};
pub use logs::Logs;
pub use looks::OwnThemes;
pub use plan::PlanView;
pub use replay::{Replay, Scrub};
pub use runs::Runs;
pub use tab::Tab;
pub use theme::check::check as check_theme;
pub use theme::{
    Background, Badge, BuiltIn, ColorChoice, Contrast, DEFAULT, Depth, Finding, Library, Part, Report, Shade, Sheet, Sight,
    Surface, THEMES, Theme, ThemeError, ThemeFile, Ui, Weight, is_name, is_stripe,
};
pub use timeline::{Grouping, Timeline};
pub use update::{Cmd, Msg, update};
pub use view::view;
pub use wire::{Click, Meter, MouseEvent, Notify, Signal, Wire};

use crate::command::Command;
use crate::model::{Span, Timestamp, Version};
use crate::ports::{Session, SessionError, Story};

/// What the console is told by configuration and command line.
#[derive(Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch that somebody sets by itself")]
pub struct Settings {
    /// `[console] theme`: a theme's name.
    pub theme: String,
    /// The user's own themes.
    pub own_themes: OwnThemes,
    /// `--color`.
    pub color: ColorChoice,
    /// `--ascii`; `None` decides by the locale and the terminal.
    pub ascii: Option<bool>,
    /// `--read-only`.
    pub read_only: bool,
    /// `[console.keys]`: the keys as they are bound.
    pub keys: Keymap,
    /// `[env.NAME] stripe`: a colour of the theme, one of the sixteen, a number or `#rrggbb`.
    pub stripe: Option<String>,
    /// `[env.NAME] protected`: a rollback takes the service's name.
    pub protected: bool,
    /// Fleet and history go with the console: there is nothing to look at later.
    pub demo: bool,
    /// What Enter does once the deployment has ended, as a sentence: `Enter deploys v3-bad next`.
    pub next: Option<String>,
    /// What is asked of the engine when the terminal is lost (not when it is left); nothing in a read-only console.
    pub on_hangup: Option<Command>,
    /// How long instances took in earlier deployments, from the order of the drain to the verdict.
    pub earlier: Vec<Span>,
    /// `[console.notify]`.
    pub notify: Notify,
    /// `[console] clipboard`: texts may be sent to the terminal's.
    pub clipboard: bool,
    /// Nothing runs: the session tells of the fleet.
    pub idle: Option<Idle>,
    /// A deployment that is replayed; there is nothing behind it.
    pub replay: Option<Story>,
    /// The zone of times on the screen.
    pub zone: TimeZone,
    /// The clock.
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").field("theme", &self.theme).field("color", &self.color).finish_non_exhaustive()
    }
}

impl Settings {
    /// The defaults, with this clock.
    pub fn new(now: Arc<dyn Fn() -> Timestamp + Send + Sync>) -> Self {
        Self {
            theme: DEFAULT.to_owned(),
            own_themes: OwnThemes::default(),
            color: ColorChoice::Auto,
            ascii: None,
            read_only: false,
            keys: Keymap::default(),
            stripe: None,
            protected: false,
            demo: false,
            next: None,
            on_hangup: None,
            earlier: Vec::new(),
            notify: Notify { failed: Signal::Bell, waiting: Signal::Bell, ended: Signal::Bell, link: Signal::Bell },
            clipboard: true,
            idle: None,
            replay: None,
            zone: TimeZone::system(),
            now,
        }
    }
}

/// How the console was left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// The deployment goes on, or stays planned: detached, or a signal.
    Left,
    /// The terminal is gone: there is nobody to tell anything.
    HungUp,
    /// The deployment has ended.
    Ended {
        /// The process exit code of the contract.
        code: u8,
    },
    /// It has ended and the operator pressed Enter for what comes next; of a service in which nothing ran: a deployment began.
    Next,
    /// Nothing runs, and the operator asks for this version.
    Deploy(Version),
}

/// Why the console could not go on. The engine is not touched by any of these.
#[derive(Debug, thiserror::Error)]
pub enum TuiError {
    /// Standard input or output is no terminal.
    #[error("the console needs a terminal on standard input and output ({0}); without one, run with --output json or lines")]
    NoTerminal(#[source] io::Error),
    /// The engine cannot be read.
    #[error("reading the deployment for the console failed: {0}")]
    Session(#[from] SessionError),
    /// The terminal failed.
    #[error("the terminal failed ({0}); the engine goes on, `rollout attach` shows it again")]
    Terminal(#[source] io::Error),
    /// Something panicked and the terminal was given back.
    #[error("the console stopped after an internal error{0}; the engine goes on, `rollout attach` shows it again")]
    Panicked(String),
}

/// Runs the console until the operator leaves.
///
/// From its first call on, SIGTERM, SIGINT, SIGQUIT and SIGHUP are caught for the life of the process.
///
/// # Errors
/// Fails if there is no terminal, if it breaks, or if the deployment cannot be read. The terminal is as it was before.
pub async fn run(session: Box<dyn Session>, settings: Settings) -> Result<Exit, TuiError> {
    run::run(session, settings).await
}
