//! `recover`: looks at the world that a dead engine left, says what could be done about it, and takes over.

mod world;

use std::ffi::OsString;
use std::io::{self, BufRead as _, Write as _};

use clap::ValueEnum as _;
use serde_json::json;

use self::world::World;
use super::args::{Choice, Output, RecoverArgs};
use super::deploy::{Boot, already_there, is_interactive, not_read_only, start, watch};
use super::lease::Right;
use super::past::{find, json, past, replayed};
use super::verbs::reached;
use super::{CANCELLED, Common, Done, Failure, Place, lease, load, plan, say};
use crate::command::{Command, Refusal, Request};
use crate::config::Config;
use crate::control::own_login;
use crate::core::{Consequence, Input, Observed, check, consequence, turn};
use crate::event::{Actor, Takeover};
use crate::headless::local_time;
use crate::journal::{Holder, Lease};
use crate::model::{DeploymentKind, Timestamp};
use crate::os::running::{self, Running};
use crate::ports::DeploymentRow;
use crate::state::State;

/// What a dead engine left, and what can be done about it.
struct Outlook {
    row: DeploymentRow,
    state: State,
    holder: Option<Holder>,
    commands: Vec<Running>,
    world: World,
    offers: Vec<Offer>,
}

struct Offer {
    choice: Choice,
    what: Result<Consequence, Refusal>,
}

/// `rollout recover`.
pub(super) async fn recover(common: &Common, args: &RecoverArgs) -> Done {
    let (path, config) = load(common)?;
    not_read_only(common, &config, "recover")?;
    let row = interrupted(&config, args).await?;
    let outlook = Outlook::of(&config, row).await?;
    match common.output {
        Output::Text => say(&outlook.text()),
        Output::Json => json(&outlook.json())?,
    }
    let interactive = is_interactive(common);
    let choice = match args.choice() {
        None if interactive && !args.detach => match asked() {
            Asked::Chosen(choice) => choice,
            Asked::Nothing => {
                say(&format!("nothing is done; {} stays as it is", outlook.row.id));
                return Ok(CANCELLED);
            }
        },
        choice => choice,
    };
    if let Some(choice) = choice {
        outlook.may(choice)?;
    }
    let mut engine: Vec<OsString> = vec!["--recover".into(), outlook.row.id.to_string().into()];
    engine.extend(["--started-by".into(), own_login().await.into()]);
    engine.extend(args.steal.iter().flat_map(|pid| ["--steal".into(), pid.to_string().into()]));
    engine.extend(choice.iter().flat_map(|choice| ["--then".into(), choice.word().into()]));
    let started = match start(&path, common, &config, &engine).await? {
        Boot::AlreadyThere(summary) => return already_there(common, &summary),
        Boot::Started(started) => started,
    };
    if !args.detach && (interactive || choice.is_some()) {
        return watch(common, &config, *started, false).await;
    }
    let (id, pid) = (&started.deployment, started.pid);
    match (common.output, choice) {
        (Output::Json, choice) => {
            let choice = choice.map(Choice::word);
            json(&json!({ "type": "taken_over", "deployment": id, "engine": pid, "choice": choice }))?;
        }
        (Output::Text, None) if outlook.state.started_at.is_none() => {
            say(&format!("{id} is taken over (engine {pid}), nothing is touched: begin it in rollout attach, or rollout cancel"));
        }
        (Output::Text, None) => {
            let or = if outlook.state.rollback.is_some() { "or cancel" } else { "cancel or rollback" };
            say(&format!("{id} is taken over and paused (engine {pid}): rollout resume, {or}; watch it with: rollout attach"));
        }
        (Output::Text, Some(choice)) => {
            say(&format!("{id} is taken over (engine {pid}), {}; watch it with: rollout attach", choice.doing()));
        }
    }
    Ok(0)
}

/// The deployment that was interrupted. One whose engine answers was not, unless its lease is to be stolen.
async fn interrupted(config: &Config, args: &RecoverArgs) -> Result<DeploymentRow, Failure> {
    let past = past(config)?;
    let named = args.id.as_deref().map(|id| find(&past, id).cloned()).transpose()?;
    let newest = past.latest().map_err(Failure::refused)?;
    let place = Place::of(config);
    let holder = Lease::look(&place.base, &place.service, &place.env).filter(Holder::lives);
    let Some(open) = newest.filter(|row| row.ended_at.is_none()) else {
        return Err(Failure::refused(match holder {
            Some(holder) => format!(
                "no deployment of this service is interrupted; engine {pid} of {} is only about to plan {}, nothing is touched; let it \
                 go on with: kill -CONT {pid}, or end it with: kill -KILL {pid}",
                holder.login,
                holder.what,
                pid = holder.process.pid
            ),
            None => "no deployment of this service is interrupted; the past ones: rollout history".to_owned(),
        }));
    };
    if let Some(named) = named.filter(|named| named.id != open.id) {
        return Err(Failure::refused(format!("{} is not interrupted ({}); {} is", named.id, named.status, open.id)));
    }
    if args.steal.is_none() && reached(&place).await?.is_some() {
        let why = format!("{} to {} is under way, its engine answers; watch it with: rollout attach", open.id, open.version);
        return Err(Failure::refused(why));
    }
    if let Some(holder) = holder {
        lease::may(&holder, args.steal.map_or(Right::Stopped, Right::Steal))?;
    }
    Ok(open)
}

impl Choice {
    fn word(self) -> &'static str {
        match self {
            Self::Continue => "continue",
            Self::Settle => "settle",
            Self::Rollback => "rollback",
        }
    }

    fn doing(self) -> &'static str {
        match self {
            Self::Continue => "goes on",
            Self::Settle => "settles: nothing new begins, what is in the middle goes back in rotation",
            Self::Rollback => "rolls back",
        }
    }

    /// What is asked of the engine for it.
    pub(super) fn command(self, state: &State) -> Command {
        // What is under way already is only to be let go on.
        let going_back = state.rollback.is_some() || matches!(state.plan.kind, DeploymentKind::Rollback { .. });
        match self {
            Self::Continue if state.started_at.is_none() => Command::Start,
            Self::Continue => Command::Resume,
            Self::Settle if state.cancel.is_some() => Command::Resume,
            Self::Rollback if going_back => Command::Resume,
            Self::Settle => Command::Cancel { reason: "settled, as its engine was gone".to_owned() },
            Self::Rollback => Command::Rollback { reason: "its engine was gone".to_owned(), only: None },
        }
    }
}

impl RecoverArgs {
    fn choice(&self) -> Option<Choice> {
        let chosen = [(self.go_on, Choice::Continue), (self.settle, Choice::Settle), (self.rollback, Choice::Rollback)];
        chosen.into_iter().find_map(|(is, choice)| is.then_some(choice))
    }
}

impl Outlook {
    async fn of(config: &Config, row: DeploymentRow) -> Result<Self, Failure> {
        let place = Place::of(config);
        let state = replayed(config, &row.id)?;
        let holder = Lease::look(&place.base, &place.service, &place.env);
        let commands = running::left(&lease::commands(&place));
        let world = World::read(config, &state).await?;
        let now = super::parts::now().max(state.at);
        let offers = offers(&state, &world, now)?;
        Ok(Self { row, state, holder, commands, world, offers })
    }

    /// Refuses what the engine would refuse.
    fn may(&self, choice: Choice) -> Result<(), Failure> {
        let refusal = self.offers.iter().find(|offer| offer.choice == choice).and_then(|offer| offer.what.as_ref().err());
        refusal.map_or(Ok(()), |refusal| Err(Failure::refused(format!("{}: {refusal}", choice.word()))))
    }

    fn text(&self) -> String {
        let Self { row, state, .. } = self;
        let mut lines = vec![format!("{} to {} was interrupted while {}: {}", row.id, row.version, row.status, state.headline())];
        lines.push(format!("  engine    {}", self.engine()));
        lines.extend(self.commands.iter().map(|running| {
            let pid = running.process.as_ref().map_or(0, |process| process.pid);
            format!("  runs on   {} (process {pid}); it is ended first", running.words)
        }));
        lines.extend(self.world.lines());
        lines.extend(self.offers.iter().map(|offer| format!("  {:<9} {}", offer.choice.word(), offer.words(state))));
        plan::said(&lines)
    }

    fn engine(&self) -> String {
        let Some(holder) = &self.holder else { return "has ended and given its lease back".to_owned() };
        let became = match (holder.lives(), holder.is_stopped()) {
            (false, _) => "is gone",
            (true, true) => "is stopped; it is killed first",
            (true, false) => "is at work; it is killed first",
        };
        format!("process {}, started by {} at {}, {became}", holder.process.pid, holder.login, local_time(holder.since))
    }

    fn json(&self) -> serde_json::Value {
        let holder = self.holder.as_ref().map(|holder| {
            json!({ "pid": holder.process.pid, "login": holder.login, "since": holder.since, "lives": holder.lives(), "stopped": holder.is_stopped() })
        });
        json!({
            "type": "recovery", "deployment": self.row.id, "version": self.row.version, "status": self.row.status,
            "engine": holder,
            "commands": self.commands.iter().map(|running| running.words.as_str()).collect::<Vec<_>>(),
            "instances": self.world.json(),
            "choices": self.offers.iter().map(Offer::json).collect::<Vec<_>>(),
        })
    }
}

impl Offer {
    fn words(&self, state: &State) -> String {
        let what = match &self.what {
            Ok(what) => what,
            Err(refusal) => return format!("not possible: {refusal}"),
        };
        if what.changes.is_empty() && state.active.is_empty() {
            return format!("nothing is in the middle; {}", what.then);
        }
        let takes = what.takes.map_or_else(String::new, |takes| format!("about {takes}; "));
        format!(
            "{}; {}; {} of {} serve now, never fewer than {}; {takes}{}",
            what.will_change,
            what.order,
            what.serving,
            state.total(),
            what.lowest_serving,
            what.then
        )
    }

    fn json(&self) -> serde_json::Value {
        let choice = self.choice.word();
        match &self.what {
            Ok(what) => json!({
                "choice": choice, "changes": what.changes, "will_change": what.will_change, "will_not": what.will_not,
                "order": what.order, "serving": what.serving, "lowest_serving": what.lowest_serving, "takes": what.takes,
                "then": what.then, "refused": null,
            }),
            Err(refusal) => json!({ "choice": choice, "refused": refusal.to_string() }),
        }
    }
}

/// What each choice would do, by the engine's own core, in the state in which it would take over the world as it is now.
fn offers(state: &State, world: &World, now: Timestamp) -> Result<Vec<Offer>, Failure> {
    let (mut state, mut observed) = taken_over(state, now)?;
    if let Some(input) = world.rotations(now) {
        turn(&mut state, &mut observed, now, &input).map_err(Failure::person)?;
    }
    let offer = |choice: &Choice| Offer { choice: *choice, what: consequence(&state, &choice.command(&state), now) };
    Ok(Choice::value_variants().iter().map(offer).collect())
}

/// The state in which a new engine waits for a choice.
pub(super) fn taken_over(state: &State, now: Timestamp) -> Result<(State, Observed), Failure> {
    let (mut state, mut observed) = (state.clone(), Observed::default());
    let mut inputs = vec![Input::Recovered(Takeover::default())];
    let pause = Command::Pause { reason: String::new() };
    if check(&state, &pause).is_ok() {
        inputs.push(Input::Command(Request { key: String::new(), actor: Actor::Engine, revision: None, command: pause }));
    }
    for input in inputs {
        turn(&mut state, &mut observed, now, &input).map_err(Failure::person)?;
    }
    Ok((state, observed))
}

enum Asked {
    /// A choice, or to take over and wait.
    Chosen(Option<Choice>),
    Nothing,
}

/// Asks the person at the terminal. No answer is a yes by default.
fn asked() -> Asked {
    let mut out = io::stdout().lock();
    drop(write!(out, "choose: continue, settle, rollback, or pause (take over and look); Enter leaves everything as it is: "));
    drop(out.flush());
    drop(out);
    let mut line = String::new();
    if io::stdin().lock().read_line(&mut line).is_err() {
        return Asked::Nothing;
    }
    match line.trim() {
        "pause" => Asked::Chosen(None),
        word => match Choice::from_str(word, false) {
            Ok(choice) => Asked::Chosen(Some(choice)),
            Err(_) => Asked::Nothing,
        },
    }
}
