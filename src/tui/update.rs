//! The reducer: a message in, a changed `App` and what is to be done out.
//!
//! Imports: session, command, tui parts. May not: do I/O, read a clock, wait, draw.

use super::app::{App, Dirt, Link, Pane, Tone};
use super::confirm::{Ask, Overlay, Reason, Typed};
use super::idle;
use super::keys::{Action, Key};
use super::replay;
use super::runs;
use super::tab::{self, Tab};
use super::theme::ThemeFile;
use super::wire::{self, MouseEvent, Signal};
use super::{Exit, chooser, command_line, help, logs, typing, view};
use crate::command::{Command, Receipt};
use crate::core::Consequence;
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
            disarm(app);
            Vec::new()
        }
        Msg::Seen(id) if app.unseen() == Some(id) => vec![Cmd::Arm(id)],
        Msg::Seen(_) => Vec::new(),
        Msg::Armed(id) => {
            arm(app, id);
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
    reconsider(app);
}

fn on_update(app: &mut App, news: Update) -> Vec<Cmd> {
    match news {
        Update::Event(event) => {
            let before = app.before();
            if !app.take_event(&event) {
                return vec![Cmd::Refresh];
            }
            app.notice_since(before, Some(&event));
            reconsider(app);
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
            close_ask(app, "the link to the engine is down; nothing was sent");
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
        close_ask(app, "the engine is gone; nothing was sent");
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
        Some(Overlay::Ask(_)) => on_ask_key(app, key),
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
        Action::Group => app.say("b groups the rows of the timeline (3)", Tone::Refused),
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
            app.say("that is for a replay; 6 lists the deployments, Enter there replays one", Tone::Refused);
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
    open_ask(app, command);
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

fn open_ask(app: &mut App, command: Command) {
    if !view::fits_question(app.size) {
        let verb = command.verb();
        let (width, height) = view::QUESTION;
        app.say(format!("{verb}: enlarge to {width}x{height} first"), Tone::Refused);
        return;
    }
    match (app.fixed.oracle.consequence)(&app.state, &command, app.now) {
        Ok(consequence) => {
            let id = app.number();
            let typed = word_to_type(app, &command).map(|wanted| Typed { wanted, so_far: String::new() });
            let again = app.state.cancel.is_some();
            let mut reason = Reason::default();
            let command = command.with_reason(|given| {
                reason = Reason::given(given);
                String::new()
            });
            let ask = Ask { id, command, consequence, typed, reason, armed: false, changed: false, again };
            app.overlay = Some(Overlay::Ask(Box::new(ask)));
        }
        Err(refusal) => app.say(format!("{}: {refusal}", command.verb()), Tone::Refused),
    }
}

/// The word that must be typed where a `y` is not enough.
fn word_to_type(app: &App, command: &Command) -> Option<String> {
    match command {
        Command::Rollback { only: None, .. } if app.fixed.protected => Some(app.state.plan.service.clone()),
        Command::Promote { full: true } => Some("promote".to_owned()),
        _ => None,
    }
}

fn on_ask_key(app: &mut App, key: Key) -> Vec<Cmd> {
    if let Some(cmd) = app.aside(key) {
        return vec![cmd];
    }
    if key != Key::Ctrl('c') && app.ask().is_some_and(|ask| ask.on_reason_key(key)) {
        return Vec::new();
    }
    if matches!(key, Key::Esc | Key::Ctrl('c')) {
        app.overlay = None;
        return Vec::new();
    }
    let Some(ask) = app.ask().filter(|ask| ask.armed) else { return Vec::new() };
    let yes = match &mut ask.typed {
        None => key == Key::Char('y'),
        Some(typed) => match key {
            Key::Enter => typed.so_far == typed.wanted,
            Key::Backspace => {
                typed.so_far.pop();
                false
            }
            Key::Char(c) if typed.so_far.chars().count() < 64 => {
                typed.so_far.push(c);
                false
            }
            _ => false,
        },
    };
    if !yes {
        return Vec::new();
    }
    let command = ask.order();
    app.overlay = None;
    app.say(format!("{}: sent", command.verb()), Tone::Plain);
    // What it would do is compared with each fact that arrives; the engine refuses what has changed in between. A first
    // cancel that meets somebody else's on the way must not become the second, which stops commands. To go back is an
    // emergency: that counts whatever happened meanwhile.
    let revision = (!matches!(command, Command::Rollback { only: None, .. })).then_some(app.state.seq);
    vec![Cmd::Send { command, revision }]
}

/// A fact arrived while a question was open: what it would do may be another thing now.
fn reconsider(app: &mut App) {
    let (state, now, consequence) = (&app.state, app.now, app.fixed.oracle.consequence);
    let verdict: Result<Consequence, String> = match &app.overlay {
        // Somebody else was quicker: the same command would stop the commands now.
        Some(Overlay::Ask(ask)) if matches!(ask.command, Command::Cancel { .. }) && ask.again != state.cancel.is_some() => {
            let again = app.fixed.keys.hint(Action::Cancel);
            Err(format!("cancel: it is being cancelled by now; {again} again stops the commands that run"))
        }
        Some(Overlay::Ask(ask)) => consequence(state, &ask.command, now).map_err(|r| format!("{}: {r}", ask.command.verb())),
        Some(Overlay::Help | Overlay::Leave | Overlay::Filter | Overlay::Command | Overlay::Search | Overlay::Themes) | None => {
            return;
        }
    };
    match verdict {
        Err(why) => close_ask(app, &why),
        Ok(fresh) => {
            let id = app.number();
            if let Some(ask) = app.ask() {
                if ask.differs(&fresh) {
                    ask.id = id;
                    ask.armed = false;
                    ask.changed = true;
                    if let Some(typed) = &mut ask.typed {
                        typed.so_far.clear();
                    }
                }
                ask.consequence = fresh;
            }
        }
    }
}

fn close_ask(app: &mut App, why: &str) {
    if app.ask().is_some() {
        app.overlay = None;
        app.say(why, Tone::Refused);
    }
}

fn disarm(app: &mut App) {
    let id = app.number();
    if let Some(ask) = app.ask() {
        ask.id = id;
        ask.armed = false;
    }
}

fn arm(app: &mut App, id: u64) {
    if app.unseen() != Some(id) {
        return;
    }
    app.dirt = Dirt::Now;
    if let Some(ask) = app.ask() {
        ask.armed = true;
    } else if let Some(next) = &mut app.next {
        next.armed = true;
    }
}
