//! `rollout`: a terminal console for zero-downtime deployments, with its engine inside.
//!
//! Every decision is a pure function, and every fact is one event:
//!
//! ```text
//!  operator ─ Command ┐                                        ┌─▶ console
//!  effect  ─ Outcome ─┼▶ core::step(&State, &Observed,         ├─▶ control socket ─▶ attached consoles, curl
//!  probe   ─ Sample  ─┤             now, Input) -> Vec<Event>   └─▶ headless lines, JSON
//!  time    ─ now     ─┘      │ 1 append (durable) ─▶ journal
//!                            │ 2 State::apply  (the only fold)
//!                            │ 3 publish
//!                            └ 4 core::wanted(&State) − in flight ─▶ fleet, traffic, probe ─▶ Outcome
//! ```
//!
//! Where things are, from the top floor down; imports point down only (`tests/tidy.rs` holds the table):
//!
//! | floor | modules | |
//! |---|---|---|
//! | 6 | `cli` `app` `config` `telemetry` | the command line and the composition root |
//! | 5 | `tui` `headless` `control` `demo` | front doors: the console, the printer, the socket, the demo |
//! | 4 | `runner` | the imperative shell: one turn after the other, and everything in flight |
//! | 3 | `fleet` `traffic` `probe` `analysis` `hook` `journal` `clock` | adapters: each speaks to one kind of world |
//! | 2 | `core`, `os` | the decisions, pure; raw tools |
//! | 1 | `event` `command` `effect` `state` `ports` | what flows, what it adds up to, what we need from outside |
//! | 0 | `model` `mutant` | nouns and units; rules that tests can break |
//!
//! The words: *deployment* (one run from version A to B) · *instance* · *zone* · *batch* · *drain* · *admit* (put back in
//! rotation) · *probe* · *gate* · *bake* (time under watch) · *budget* (how many may be out) · *verdict* · *lease*.

pub mod analysis;
pub mod app;
pub mod cli;
pub mod clock;
pub mod command;
pub mod config;
pub mod control;
pub mod core;
pub mod demo;
pub mod effect;
pub mod event;
pub mod fleet;
pub mod headless;
pub mod hook;
pub mod journal;
pub mod model;
pub mod mutant;
pub mod os;
pub mod ports;
pub mod probe;
pub mod runner;
pub mod state;
pub mod telemetry;
pub mod traffic;
pub mod tui;
