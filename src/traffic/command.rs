//! Balancers that programs speak to: `aws elbv2`, `kubectl`, a script.
//!
//! Imports: ports, model, os. May not: know another kind of adapter, believe an exit code (that is `word`).

use std::collections::BTreeMap;

use futures::future::BoxFuture;

use super::word::{Balancer, Order, meaning};
use super::{Asked, CommandSettings};
use crate::model::{InstanceId, Rotation, Target};
use crate::os::child::Finished;
use crate::os::extract::Extractor;
use crate::os::program::{self, Limits, Program, Subject, Trouble};
use crate::os::text;
use crate::ports::TrafficError;

/// The driver.
pub(super) struct Commands {
    out: Program,
    into: Program,
    state: Question,
    list: Option<Program>,
    sessions: Option<Question>,
    settings: CommandSettings,
}

/// A program, and where its answer is.
struct Question {
    program: Program,
    answer: Extractor,
}

impl Commands {
    /// Checks templates and that every program is there.
    pub(super) fn new(settings: CommandSettings) -> Result<Self, String> {
        let program = |key: &str, argv: &[String]| {
            let program = Program { service: settings.service.clone(), argv: argv.to_vec(), env: settings.env.clone() };
            program.check().map(|()| program).map_err(|why| format!("[traffic] {key}: {why}"))
        };
        let question = |key: &str, asked: &Asked| -> Result<Question, String> {
            let answer = Extractor::new(&asked.answer).map_err(|why| format!("[traffic] {key}: {why}"))?;
            Ok(Question { program: program(key, &asked.argv)?, answer })
        };
        Ok(Self {
            out: program("out", &settings.out)?,
            into: program("in", &settings.into)?,
            state: question("state", &settings.state)?,
            list: settings.list.as_ref().map(|argv| program("list", argv)).transpose()?,
            sessions: settings.sessions.as_ref().map(|asked| question("sessions", asked)).transpose()?,
            settings,
        })
    }

    async fn look(&self, key: &str, program: &Program, target: &Target) -> Result<Finished, TrafficError> {
        self.run(key, program, target, self.limits()).await
    }

    fn limits(&self) -> Limits {
        Limits::within(self.settings.timeout.to_std())
    }

    async fn run(&self, key: &str, program: &Program, target: &Target, limits: Limits) -> Result<Finished, TrafficError> {
        program.succeed(Subject::instance(target), limits).await.map_err(|trouble| {
            let words = format!("[traffic] {key} of {}: {trouble}", target.id);
            match trouble {
                Trouble::Failed(_) => TrafficError::Refused(words),
                Trouble::Unreachable(_) | Trouble::Unknown(_) => TrafficError::Unreachable(words),
            }
        })
    }

    async fn ask(&self, key: &str, question: &Question, target: &Target) -> Result<String, TrafficError> {
        let finished = self.look(key, &question.program, target).await?;
        let answer = question.answer.read(&finished.stdout, finished.whole);
        answer.map_err(|why| TrafficError::Refused(format!("[traffic] {key} of {}: {why}", target.id)))
    }

    fn meaning(&self, key: &str, target: &InstanceId, word: &str) -> Result<Rotation, TrafficError> {
        let refused = |why| TrafficError::Refused(format!("[traffic] {key} of {target}: {why}"));
        meaning(word, &self.settings.states).map_err(refused)
    }

    /// A JSON object of ids and words, e.g. `{"web-01": "in"}`.
    async fn listed(&self, targets: &[Target]) -> Result<Option<BTreeMap<InstanceId, Rotation>>, TrafficError> {
        let (Some(program), Some(first)) = (&self.list, targets.first()) else { return Ok(None) };
        let finished = self.look("list", program, first).await?;
        let words: BTreeMap<String, String> = serde_json::from_slice(&finished.stdout).map_err(|_not_one| {
            TrafficError::Refused("[traffic] list: its output is no JSON object of ids and states".to_owned())
        })?;
        let state = |target: &Target| match words.get(target.id.as_str()) {
            Some(word) => Ok((target.id.clone(), self.meaning("list", &target.id, word)?)),
            None => Ok((target.id.clone(), Rotation::Missing)),
        };
        targets.iter().map(state).collect::<Result<_, _>>().map(Some)
    }
}

impl Balancer for Commands {
    fn state<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Rotation, TrafficError>> {
        Box::pin(async move {
            let word = self.ask("state", &self.state, target).await?;
            self.meaning("state", &target.id, &word)
        })
    }

    fn list<'a>(&'a self, targets: &'a [Target]) -> BoxFuture<'a, Result<Option<BTreeMap<InstanceId, Rotation>>, TrafficError>> {
        Box::pin(self.listed(targets))
    }

    fn order<'a>(&'a self, target: &'a Target, order: Order) -> BoxFuture<'a, Result<(), TrafficError>> {
        Box::pin(async move {
            let (key, program) = match order {
                Order::Out => ("out", &self.out),
                Order::In => ("in", &self.into),
            };
            // An opposite order that was given up may still be at work.
            program::stopped(Some(target.id.as_str())).await;
            self.run(key, program, target, Limits { changes: true, ..self.limits() }).await.map(drop)
        })
    }

    fn connections<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Option<u32>, TrafficError>> {
        Box::pin(async move {
            let Some(question) = &self.sessions else { return Ok(None) };
            let number = self.ask("sessions", question, target).await?;
            number.parse().map(Some).map_err(|_not_one| {
                let shown = text::sanitise_within(&number, 60);
                TrafficError::Refused(format!("[traffic] sessions of {}: {shown:?} is no number", target.id))
            })
        })
    }
}
