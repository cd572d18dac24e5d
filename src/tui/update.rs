//! The reducer: a message in, a changed `App` and what is to be done out.
//!
//! Imports: session, command, tui parts. May not: do I/O, read a clock, wait, draw.

use super::app::{App, Dirt, Link, Pane, Tone};
use super::asking;
use super::confirm::Overlay;
use super::idle;
use super::keys::{Action, Key};
use super::replay;
use super::runs;
use super::tab::{self, Tab};
use super::theme::ThemeFile;
use super::wire::{self, MouseEvent, Signal};
use super::{Exit, chooser, command_line, help, logs, typing, view};
use crate::command::{Command, Receipt};
use crate::model::{DeploymentId, Seq, Span, Timestamp};
use crate::ports::{Chapters, LogLine, Snapshot, Story, Update};

/// What happened.
#[derive(Debug, Clone)]
pub enum Msg {
    /// A key.
    Key(Key),
    /// The mouse.
    Mouse(MouseEvent),
    /// News of the engine.
    Update(Update),
    /// All was read again.
    Fresh(Box<Snapshot>),
    /// The engine answered a command.
    Reply {
        /// Which verb.
        verb: &'static str,
        /// Its receipt, or why not, in words.
        result: Result<Receipt, String>,
    },
    /// The past of the service, none where nobody tells it, or why it cannot be told.
    Past(Result<Option<Chapters>, String>),
    /// All that is recorded of one deployment, none where nobody tells it, or why it cannot be told.
    Story(DeploymentId, Result<Option<Story>, String>),
    /// A replay plays, and so much time went by.
    Beat(Span),
    /// It is this late.
    Tick(Timestamp),
    /// The terminal has so many columns and rows.
    Resize(u16, u16),
    /// The frame that showed this was written out.
    Seen(u64),
    /// That frame has been there for long enough.
    Armed(u64),
    /// The user's own themes as they are now.
    Themes(Vec<ThemeFile>),
}

/// What is to be done.
#[derive(Debug, Clone)]
pub enum Cmd {
    /// Send it to the engine.
    Send {
        /// What.
        command: Command,
        /// The position on which it was decided, if that matters.
        revision: Option<Seq>,
    },
    /// Hand it to the log pane.
    Log(LogLine),
    /// Ask for the past of the service.
    Past,
    /// Ask for all that is recorded of a deployment.
    Story(DeploymentId),
    /// Read everything again.
    Refresh,
    /// Say `Armed` when this has been seen for long enough.
    Arm(u64),
    /// Send a text to the terminal's clipboard.
    Copy {
        /// What it is, in words.
        what: String,
        /// The text.
        text: String,
    },
    /// Call for a person.
    Call(Signal, String),
    /// Write the screen and the deployment to files.
    Export,
    /// Look at the user's own themes.
    Themes,
    /// Paint everything again.
    Repaint,
    /// Give the terminal back and stop until continued.
    Suspend,
    /// Leave.
    Exit(Exit),
}

/// Takes one message.
pub fn update(app: &mut App, msg: Msg) -> Vec<Cmd> {
    let mut cmds = reduce(app, msg);
    if idle::leaves(app) {
        cmds.push(Cmd::Exit(Exit::Next));
    }
    cmds.extend(app.wire.notices.take(app.now).map(|(signal, text)| Cmd::Call(signal, text)));
    cmds
}

fn reduce(app: &mut App, msg: Msg) -> Vec<Cmd> {
    match msg {
        Msg::Mouse(event) => {
            app.dirt = Dirt::Now;
            wire::on_mouse(app, event)
        }
        Msg::Key(key) => {
            app.dirt = Dirt::Now;
            runs::on_key(app, key).or_else(|| idle::on_key(app, key)).unwrap_or_else(|| on_key(app, key))
        }
        Msg::Update(news) => on_update(app, news),
        Msg::Fresh(snapshot) => {
            resync(app, *snapshot);
            Vec::new()
        }
        Msg::Reply { verb, result } => {
            app.dirt = Dirt::Now;
            match result {
                Ok(receipt) => app.say(format!("{verb}: {}", receipt.message), Tone::Plain),
                Err(why) => {
                    app.leaving = false;
                    app.say(format!("{verb}: {why}"), Tone::Refused);
                }
            }
            Vec::new()
        }
        Msg::Past(told) => runs::take_past(app, told),
        Msg::Story(id, story) => runs::take_story(app, &id, story),
        Msg::Beat(passed) => replay::beat(app, passed),
        Msg::Tick(now) => {
            app.tick(now);
            Vec::new()
        }
        Msg::Resize(width, height) => {
            app.size = (width, height);
            replay::resize(app);
            // Dragging a border is dozens of sizes, and each is a whole paint.
            app.dirt = app.dirt.max(Dirt::Soon);
            // It must be read in full before it may be answered.
            asking::disarm(app);
            Vec::new()
        }
        Msg::Seen(id) if app.unseen() == Some(id) => vec![Cmd::Arm(id)],
        Msg::Seen(_) => Vec::new(),
        Msg::Armed(id) => {
            asking::arm(app, id);
            Vec::new()
        }
        Msg::Themes(own) => {
            chooser::take(app, own);
            Vec::new()
        }
    }
}

/// All was told again.
fn resync(app: &mut App, snapshot: Snapshot) {
    let before = app.before();
    app.resync(snapshot);
    app.notice_since(before, None);
    asking::reconsider(app);
}

fn on_update(app: &mut App, news: Update) -> Vec<Cmd> {
    match news {
        Update::Event(event) => {
            let before = app.before();
            if !app.take_event(&event) {
                return vec![Cmd::Refresh];
            }
            app.notice_since(before, Some(&event));
            asking::reconsider(app);
            replay::meanwhile(app, &event);
            if app.leaving && app.state.end.is_some() {
                return leave(app);
            }
            if event.kind.is_terminal() { runs::outdated(app) } else { Vec::new() }
        }
        Update::Progress(progress) => {
            app.heard();
            app.take_progress(progress);
            Vec::new()
        }
        Update::Log(line) => {
            app.heard();
            app.take_line(&line);
            vec![Cmd::Log(line)]
        }
        Update::Resync(snapshot) => {
            resync(app, *snapshot);
            Vec::new()
        }
        Update::Disconnected { reason } => {
            if !matches!(app.link, Link::Down { .. }) {
                app.link = Link::Down { reason, since: app.now };
            }
            app.dirt = Dirt::Now;
            asking::close(app, "the link to the engine is down; nothing was sent");
            Vec::new()
        }
        Update::Gone => lost(app, Link::Gone { since: app.now }),
        Update::Closed => idle::closed(app).unwrap_or_else(|| lost(app, Link::Closed)),
    }
}

/// No engine answers any more.
fn lost(app: &mut App, link: Link) -> Vec<Cmd> {
    app.link = link;
    app.dirt = Dirt::Now;
    if app.state.end.is_none() {
        asking::close(app, "the engine is gone; nothing was sent");
    }
    Vec::new()
}

fn on_key(app: &mut App, key: Key) -> Vec<Cmd> {
    match &app.overlay {
        Some(Overlay::Help) => help::on_key(app, key),
        Some(Overlay::Leave) => on_leave_key(app, key),
        Some(Overlay::Filter) => typing::on_key(app, key),
        Some(Overlay::Command) => command_line::on_key(app, key),
        Some(Overlay::Search) => logs::on_search_key(app, key),
        Some(Overlay::Themes) => chooser::on_key(app, key),
        Some(Overlay::Ask(_)) => asking::on_key(app, key),
        None => {
            if let Some(action) = app.fixed.keys.action(key, app.state.started_at.is_none()) {
                app.message = None;
                return on_action(app, action);
            }
            let help = app.fixed.keys.hint(Action::Help);
            app.say(format!("{key} does nothing here; {help} shows the keys"), Tone::Refused);
            Vec::new()
        }
    }
}

/// What a key asks for, or its name on the command line.
pub(super) fn on_action(app: &mut App, action: Action) -> Vec<Cmd> {
    if let Some(refusal) = app.refusal(action) {
        app.say(refusal, Tone::Refused);
        return Vec::new();
    }
    if let Some(cmds) = tab::on_action(app, action) {
        return cmds;
    }
    match action {
        Action::Enter => return on_enter(app),
        Action::Quit => return quit(app),
        Action::Help => help::open(app),
        Action::Command => command_line::open(app),
        Action::Back if app.close_tab() => {}
        Action::Back => app.set_filter(""),
        Action::Open(Tab::Instance) | Action::Inspect => inspect(app),
        Action::Open(Tab::History) => return runs::open(app),
        Action::Open(tab) => app.open(tab),
        Action::Filter => {
            app.open(Tab::Fleet);
            app.overlay = Some(Overlay::Filter);
        }
        Action::Up
        | Action::Down
        | Action::Left
        | Action::Right
        | Action::PageUp
        | Action::PageDown
        | Action::Previous
        | Action::Next
        | Action::First
        | Action::Last => {
            app.list.follow = false;
            view::walk(app, action);
        }
        Action::Finer | Action::Coarser | Action::Fitting => view::set_detail(app, action),
        Action::Group => {
            let hint = |action| app.fixed.keys.hint(action);
            let text = format!("{} groups the rows of the timeline ({})", hint(action), hint(Action::Open(Tab::Timeline)));
            app.say(text, Tone::Refused);
        }
        Action::NextFailure => app.next_failure(true),
        Action::PreviousFailure => app.next_failure(false),
        Action::Sort => app.set_sort(false),
        Action::SortAgain => app.set_sort(true),
        Action::Follow => follow(app),
        Action::Pane => {
            app.pane = match app.pane {
                Pane::Both if view::shows_both(app.size) => Pane::Events,
                Pane::Both | Pane::Events => Pane::Log,
                Pane::Log => Pane::Both,
            };
        }
        Action::Play | Action::Faster | Action::Slower | Action::PreviousMark | Action::NextMark => {
            let key = app.fixed.keys.hint(Action::Open(Tab::History));
            app.say(format!("that is for a replay; {key} lists the deployments, Enter there replays one"), Tone::Refused);
        }
        Action::Themes => return chooser::open(app),
        Action::Deploy => return idle::deploy(app),
        Action::Repaint => return vec![Cmd::Repaint],
        Action::Suspend => return vec![Cmd::Suspend],
        Action::Copy => return wire::copy_selected(app),
        Action::Export => return vec![Cmd::Export],
        Action::Mouse => wire::toggle(app),
        Action::OnlyThis => logs::only_this(app),
        Action::Wrap => app.say("only the log has lines that are cut", Tone::Refused),
        Action::Start
        | Action::Pause
        | Action::Resume
        | Action::Cancel
        | Action::Rollback
        | Action::Promote
        | Action::PromoteAll
        | Action::Retry
        | Action::Skip
        | Action::Hold
        | Action::Release
        | Action::BackAlone => return app.command(action).map_or_else(Vec::new, |command| order(app, command)),
    }
    Vec::new()
}

/// What a key or a typed command stands for is possible: asks, or sends what needs no question.
pub(super) fn order(app: &mut App, command: Command) -> Vec<Cmd> {
    // The safe direction: at once.
    if matches!(command, Command::Pause { .. }) {
        return vec![Cmd::Send { command, revision: None }];
    }
    asking::open(app, command);
    Vec::new()
}

fn on_enter(app: &mut App) -> Vec<Cmd> {
    match app.next {
        // The screen says that Enter goes on; `i` still looks.
        Some(next) if !app.inspecting() => {
            if next.armed {
                return vec![Cmd::Exit(Exit::Next)];
            }
        }
        Some(_) | None => inspect(app),
    }
    Vec::new()
}

fn inspect(app: &mut App) {
    if app.selection().is_none() {
        app.say("the filter passes no instance; Esc clears it", Tone::Refused);
        return;
    }
    app.open(Tab::Instance);
}

fn follow(app: &mut App) {
    app.list.follow = true;
    app.go_to_work();
    app.say("the selection follows the work until it is moved", Tone::Plain);
}

/// Leaves if there is nothing to say about it, else asks.
fn quit(app: &mut App) -> Vec<Cmd> {
    if app.state.end.is_some() || app.idle.is_some() || matches!(app.link, Link::Gone { .. } | Link::Closed) {
        return leave(app);
    }
    app.overlay = Some(Overlay::Leave);
    Vec::new()
}

fn leave(app: &App) -> Vec<Cmd> {
    vec![Cmd::Exit(app.state.exit_code().map_or(Exit::Left, |code| Exit::Ended { code }))]
}

fn on_leave_key(app: &mut App, key: Key) -> Vec<Cmd> {
    match key {
        Key::Char('d') => leave(app),
        // Asked for by its own key, on the screen that says that nothing is touched.
        Key::Char('x') if app.state.started_at.is_none() && app.allowed(Action::Cancel).is_ok() => {
            app.overlay = None;
            app.leaving = true;
            vec![Cmd::Send { command: Command::Cancel { reason: String::new() }, revision: None }]
        }
        Key::Esc => {
            app.overlay = None;
            Vec::new()
        }
        _ => app.aside(key).into_iter().collect(),
    }
}
