//! The headless printer: one line a fact, a summary at the end, nothing that a terminal obeys.
//!
//! Imports: the library, the console's fixture. May not: start anything.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "in the functions that tests share, too")]

#[path = "fixtures/console.rs"]
mod fixture;

use std::collections::VecDeque;

use fixture::World;
use futures::FutureExt;
use futures::future::BoxFuture;
use rollout::command::{Command, Receipt, Refusal};
use rollout::event::{Ending, EventKind};
use rollout::headless::{self, Followed, Format, show_text, status_line};
use rollout::model::{InstanceState, Seq};
use rollout::ports::{Progress, Reading, Session, SessionError, Snapshot, Update};
use rollout::state::{State, Summary};
use tokio_util::sync::CancellationToken;

/// Tells a past deployment.
struct Told {
    first: Snapshot,
    news: VecDeque<Update>,
}

impl Told {
    fn of(world: &World) -> Self {
        let state = State::begin(&world.events[0]).unwrap();
        let first = Snapshot { format: 1, seq: Seq(1), state, progress: Progress::default() };
        let mut news: VecDeque<Update> = world.events[1..].iter().cloned().map(Update::Event).collect();
        news.push_back(Update::Closed);
        Self { first, news }
    }
}

impl Session for Told {
    fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, SessionError>> {
        async { Ok(self.first.clone()) }.boxed()
    }

    fn next(&mut self) -> BoxFuture<'_, Update> {
        match self.news.pop_front() {
            Some(update) => async { update }.boxed(),
            None => std::future::pending().boxed(),
        }
    }

    fn send(&self, command: Command, _revision: Option<Seq>) -> BoxFuture<'static, Result<Receipt, SessionError>> {
        let message = format!("a past deployment takes no {}", command.verb());
        async { Err(Refusal { message }.into()) }.boxed()
    }
}

async fn output(told: Told, format: Format) -> (String, Option<u8>) {
    let mut out = Vec::new();
    let followed = headless::run(Box::new(told), format, &mut out, &CancellationToken::new()).await.unwrap();
    let code = match followed {
        Followed::Ended(code) => Some(code),
        Followed::Rests | Followed::Gone => None,
    };
    (String::from_utf8(out).unwrap(), code)
}

#[tokio::test]
async fn json_is_one_object_a_line_and_the_last_is_the_summary() {
    let done = World::new(6).started().until(|s| s.end.is_some());
    let (text, code) = output(Told::of(&done), Format::Json).await;
    assert_eq!(code, Some(0));
    let objects: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(objects.len(), done.events.len() + 1);
    assert!(objects.iter().all(|o| o["type"].is_string()));
    assert_eq!(objects[0]["type"], "deployment_planned");
    assert_eq!(serde_json::from_value::<rollout::event::Event>(objects[0].clone()).unwrap(), done.events[0]);
    let summary = objects.last().unwrap();
    assert_eq!((&summary["type"], &summary["status"]), (&"summary".into(), &"completed".into()));
    assert_eq!((&summary["updated"], &summary["max_out"]), (&6.into(), &2.into()));
    assert!(summary["vip"]["requests"].as_u64().unwrap() > 0 && summary["vip"]["failed"] == 0);
}

#[tokio::test]
async fn lines_say_what_happened_and_end_in_a_readable_summary() {
    let back = World::new(6).bad().started().until(|s| s.end.is_some());
    let (text, code) = output(Told::of(&back), Format::Lines).await;
    assert_eq!(code, Some(3));
    let (facts, summary) = text.split_once("\n\n").unwrap();
    assert_eq!(facts.lines().count(), back.events.len());
    assert!(facts.lines().all(|line| line.starts_with("2026-09-2")), "{facts}");
    assert!(facts.contains("web-01 FAILED its health gate: 3 failed checks in a row: status 503"), "{facts}");
    assert!(summary.starts_with("shop-7 prod to v2: rolled_back\n"), "{summary}");
    assert!(
        summary.contains("requests failed through the balancer") && summary.contains("no instance needs a person"),
        "{summary}"
    );
}

#[tokio::test]
async fn an_engine_that_goes_away_is_said_and_has_no_exit_code() {
    let half = World::new(6).started().until(|s| s.tally().of(InstanceState::Healthy) == 2);
    let (text, code) = output(Told::of(&half), Format::Lines).await;
    assert_eq!(code, None);
    assert!(text.contains("the engine went away before the end"), "{text}");
}

#[tokio::test]
async fn a_gap_is_read_again_and_troubles_are_told_once() {
    let done = World::new(4).started().until(|s| s.end.is_some());
    let mut told = Told::of(&done);
    let trouble = |text: &str| {
        let reading = Reading { trouble: Some(text.to_owned()), ..Reading::default() };
        let id = done.state.instances.get_index(0).unwrap().0.clone();
        Update::Progress(Progress { readings: [(id, reading)].into(), ..Progress::default() })
    };
    told.news.push_front(trouble("socket\u{1b}[2J refused"));
    told.news.push_front(trouble("socket\u{1b}[2J refused"));
    told.news.insert(4, Update::Disconnected { reason: "gone".to_owned() });
    told.news.insert(5, Update::Disconnected { reason: "gone".to_owned() });
    told.news.insert(6, Update::Resync(Box::new(done.snapshot())));
    let (text, code) = output(told, Format::Lines).await;
    assert_eq!(code, Some(0));
    assert_eq!(text.matches("web-01 trouble, trying again: socket?[2J refused").count(), 1, "{text}");
    assert_eq!(text.matches("no link to the engine").count(), 1, "{text}");
    assert!(text.contains("facts are not listed here"), "{text}");
}

#[tokio::test]
async fn hostile_text_reaches_neither_lines_nor_json() {
    let mut world = World::new(4).started();
    world.command(Command::Pause { reason: "\u{1b}]52;c;AAAA\u{7}\u{202e}\u{9b}2J\r".to_owned() });
    for format in [Format::Lines, Format::Json] {
        let (text, _) = output(Told::of(&world), format).await;
        let bad = text.chars().find(|c| *c != '\n' && (c.is_control() || ('\u{202a}'..='\u{202e}').contains(c)));
        assert_eq!(bad, None, "{text:?}");
    }
    // JSON keeps the text itself, escaped.
    let (text, _) = output(Told::of(&world), Format::Json).await;
    let reasons: Vec<rollout::event::Event> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert!(reasons.iter().any(|e| matches!(&e.kind, EventKind::DeploymentPaused { reason, .. } if reason.contains('\u{202e}'))));
}

#[test]
fn status_is_one_line_and_show_names_every_instance() {
    let half = World::new(4).started().until(|s| s.tally().of(InstanceState::Healthy) == 2);
    let line = status_line(&half.snapshot());
    assert!(line.starts_with("shop-7 prod to v2: in_progress, 2/4 updated, 0 failed, batch 1 "), "{line}");
    assert!(!line.contains('\n'));
    let text = show_text(&half.state, &Summary::of(&half.state, (None, None)));
    for id in half.state.instances.keys() {
        assert!(text.contains(id.as_str()), "{text}");
    }
    let back = World::new(4).bad().started().until(|s| s.end.is_some());
    let text = show_text(&back.state, &Summary::of(&back.state, (None, None)));
    assert!(text.contains("web-01  rolled_back") && !text.contains("unknown"), "{text}");
}

#[test]
fn status_says_once_who_paused_and_what_is_wrong() {
    let mut paused = World::new(4).started().until(|s| s.tally().of(InstanceState::Healthy) == 2 && s.active.is_empty());
    paused.command(Command::Pause { reason: "lunch".to_owned() });
    let mut snapshot = paused.snapshot();
    snapshot.progress.troubles = vec!["balancer unreachable: refused".to_owned()];
    let line = status_line(&snapshot);
    let wanted = "paused at batch 1 (ana); lunch; resume, cancel or roll back; TROUBLE: balancer unreachable: refused";
    assert!(line.ends_with(wanted), "{line}");
    paused.state.pause.as_mut().unwrap().reason = "budget held by web-03; repair or skip, then resume".to_owned();
    let line = status_line(&paused.snapshot());
    assert!(line.ends_with("(ana); budget held by web-03; repair or skip, then resume; else cancel or roll back"), "{line}");
}

#[test]
fn a_rollback_that_failed_says_so_first() {
    let mut world = World::new(4).bad().started().until(|s| s.end.is_some());
    assert!(world.state.headline().starts_with("rolled back: "), "{}", world.state.headline());
    world.state.end.as_mut().unwrap().ending = Ending::Failed;
    let text = show_text(&world.state, &Summary::of(&world.state, (None, None)));
    assert!(text.contains("result      failed: ") && !text.contains("result      rolled back"), "{text}");
}
