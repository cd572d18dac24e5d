//! The fleet as it is now, beside what the journal says of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use crate::app::{Failure, parts};
use crate::config::Config;
use crate::core::Input;
use crate::journal::Memory;
use crate::model::{InstanceId, Rotation, Survey, Timestamp};
use crate::runner::survey;
use crate::state::{Instance, State};

/// More rows than these are counted.
const ROWS: usize = 16;

/// What was read.
pub(super) struct World {
    rows: Vec<Row>,
    total: usize,
    rotations: BTreeMap<InstanceId, Rotation>,
    /// Why the balancers could not be read.
    blind: Option<String>,
}

/// An instance that is in the middle of something, or not as the journal has it.
struct Row {
    id: InstanceId,
    journal: String,
    now: String,
    differs: bool,
}

impl World {
    /// Reads every instance's version, rotation and health. Changes nothing.
    pub(super) async fn read(config: &Config, state: &State) -> Result<Self, Failure> {
        let parts = parts::parts(config, Arc::new(Memory::new(&config.service.name)))?;
        let targets: Vec<_> = state.plan.members.iter().map(|member| member.target.clone()).collect();
        let (surveys, blind) = match survey(&parts, &targets).await {
            Ok(surveys) => (surveys, None),
            Err(error) => (BTreeMap::new(), Some(error.to_string())),
        };
        let rows = state.instances.iter().filter_map(|(id, instance)| Row::of(id, instance, surveys.get(id)?)).collect();
        let rotations = surveys.iter().filter_map(|(id, s)| Some((id.clone(), s.as_ref().ok()?.rotation))).collect();
        Ok(Self { rows, total: targets.len(), rotations, blind })
    }

    /// For the core, as a reading of the balancers.
    pub(super) fn rotations(&self, at: Timestamp) -> Option<Input> {
        self.blind.is_none().then(|| Input::Rotations { at, rotations: self.rotations.clone() })
    }

    pub(super) fn lines(&self) -> Vec<String> {
        if let Some(why) = &self.blind {
            return vec![format!("  world     not known: {why}; an engine that takes over asks again until it is")];
        }
        let same = self.total - self.rows.len();
        let mut lines = vec![match (same, self.rows.len()) {
            (_, 0) => format!("  world     read just now: all {} as the journal has them", self.total),
            (0, _) => "  world     read just now:".to_owned(),
            (same, _) => format!("  world     read just now: {same} of {} as the journal has them, and", self.total),
        }];
        lines.extend(self.rows.iter().take(ROWS).map(Row::line));
        let more = self.rows.len().saturating_sub(ROWS);
        lines.extend((more > 0).then(|| format!("            and {more} more")));
        lines
    }

    pub(super) fn json(&self) -> Vec<serde_json::Value> {
        let row = |row: &Row| json!({ "instance": row.id, "journal": row.journal, "now": row.now, "differs": row.differs });
        self.rows.iter().map(row).collect()
    }
}

impl Row {
    fn of(id: &InstanceId, instance: &Instance, found: &Result<Survey, String>) -> Option<Self> {
        let version = instance.version.as_ref();
        let state = instance.shown().word().replace('_', " ");
        let journal = version.map_or_else(|| state.clone(), |version| format!("{state}, {version}"));
        let (now, differs) = match found {
            Ok(survey) => (words(survey), differs(instance, survey)),
            Err(why) => (format!("cannot be read: {why}"), true),
        };
        let settled = !instance.is_active() && instance.complaint().is_none();
        (differs || !settled).then(|| Self { id: id.clone(), journal, now, differs: differs && settled })
    }

    fn line(&self) -> String {
        let mark = if self.differs { "≠" } else { " " };
        format!("          {mark} {}: {}; now {}", self.id, self.journal, self.now)
    }
}

fn words(survey: &Survey) -> String {
    let version = survey.version.as_ref().map_or_else(|| "version unknown".to_owned(), ToString::to_string);
    format!("{version}, {}, {}", survey.rotation.words(), survey.health.words())
}

/// In the middle of something, nothing is known for certain, and nothing differs.
fn differs(instance: &Instance, survey: &Survey) -> bool {
    let version = survey.version.is_some() && instance.version.is_some() && survey.version != instance.version;
    let serving = survey.rotation == Rotation::Serving;
    version || serving != instance.serving || (survey.health.passed() == instance.down)
}
