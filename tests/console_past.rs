//! A console that comes later knows what one knows that saw everything.
//!
//! Imports: the library, the console's fixture. May not: start anything.

#[path = "fixtures/console.rs"]
mod fixture;

use fixture::{World, console, fixed, picture, plan};
use rollout::command::Command;
use rollout::event::Event;
use rollout::model::OnFailure;
use rollout::tui::{App, Depth, Tone};

const LARGE: (u16, u16) = (160, 50);

fn attached(world: &World, past: &[Event]) -> App {
    App::attached(past, world.snapshot(), fixed(Depth::Rgb, false), world.now, LARGE)
}

fn texts(app: &App) -> Vec<String> {
    app.facts.iter().map(|fact| fact.text.clone()).collect()
}

fn failing() -> World {
    let mut plan = plan(20);
    plan.policy.rollback.on_failure = OnFailure::Pause;
    World::planned(plan).bad().started().until(|s| s.pause.is_some() && s.active.is_empty())
}

#[test]
fn with_the_whole_past_it_is_as_if_it_had_been_there() {
    for world in [World::new(20), World::new(20).started().until(|s| s.batches == 3), failing()] {
        let there = console(&world, LARGE, fixed(Depth::Rgb, false));
        let came = attached(&world, &world.events);
        assert_eq!((&came.state, texts(&came)), (&there.state, texts(&there)));
        let stages = |app: &App| app.histories.iter().map(|h| h.stages.clone()).collect::<Vec<_>>();
        assert_eq!(stages(&came), stages(&there));
        assert_eq!(came.known_from, None);
    }
}

#[test]
fn with_a_part_of_the_past_it_has_the_facts_of_that_part() {
    let world = failing();
    let part = world.events.get(10..).unwrap();
    let came = attached(&world, part);
    assert_eq!(texts(&came), part.iter().map(|event| event.kind.words()).collect::<Vec<_>>());
    assert_eq!(came.known_from, Some(world.state.at), "phases before are not known");
    assert!(came.histories.iter().any(|history| history.evidence.is_some()));
    let none = attached(&world, &[]);
    assert_eq!(texts(&none), [format!("attached after {} facts; {}", world.events.len(), world.state.headline())]);
    assert_eq!(none.message, None);
}

#[test]
fn what_is_grave_or_holds_it_up_is_said_in_the_first_frame() {
    let said = |world: &World| attached(world, &world.events).message;
    assert_eq!(said(&World::new(20).started().until(|s| s.batches == 2)), None, "nothing to tell");

    let mut world = World::new(20).started().until(|s| s.batches == 1);
    world.command(Command::Pause { reason: "disk alert on web-09".to_owned() });
    let app = attached(&world, &world.events);
    let (text, tone) = app.message.clone().unwrap();
    assert!(text.ends_with("paused by ana: disk alert on web-09") && tone == Tone::Plain, "{text}");
    assert!(picture(&app).contains(&text), "{}", picture(&app));
    world.command(Command::Resume);
    assert_eq!(said(&world), None, "that is over");

    let (text, tone) = said(&failing()).unwrap();
    assert!(text.contains("failure threshold crossed: 2 of 2 failed") && text.contains(" before, in the events)"), "{text}");
    assert_eq!(tone, Tone::Refused, "there was a failure among them");
    let over = World::new(20).bad().started().until(|s| s.end.is_some());
    assert_eq!(said(&over), None, "how it ended is on the screen already");
}
