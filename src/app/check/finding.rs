//! What a check found: a line for people, an object for programs.

use serde::Serialize;

use crate::event::clean;

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::app) enum Level {
    /// As it must be.
    Ok,
    /// It works, but probably is not meant so.
    Doubt,
    /// A deployment would be refused or fail.
    Missing,
}

/// One thing found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(in crate::app) struct Finding {
    r#type: &'static str,
    /// `config`, `program`, `files`, `store`, `balancer`, `instance`, `vip`, `analysis`.
    pub(in crate::app) kind: &'static str,
    /// Which one.
    pub(in crate::app) subject: String,
    pub(in crate::app) level: Level,
    pub(in crate::app) message: String,
    /// What to do; empty if nothing is.
    pub(in crate::app) remedy: String,
}

impl Finding {
    fn new(level: Level, kind: &'static str, [subject, message, remedy]: [&str; 3]) -> Self {
        let own = |text: &str| clean(text).into_owned();
        Self { r#type: "check", kind, subject: own(subject), level, message: own(message), remedy: own(remedy) }
    }

    /// As it must be.
    pub(in crate::app) fn ok(kind: &'static str, subject: &str, message: &str) -> Self {
        Self::new(Level::Ok, kind, [subject, message, ""])
    }

    /// It works, but.
    pub(in crate::app) fn doubt(kind: &'static str, subject: &str, message: &str, remedy: &str) -> Self {
        Self::new(Level::Doubt, kind, [subject, message, remedy])
    }

    /// It does not do.
    pub(in crate::app) fn missing(kind: &'static str, subject: &str, message: &str, remedy: &str) -> Self {
        Self::new(Level::Missing, kind, [subject, message, remedy])
    }

    /// It is so because a deployment is at work on it.
    pub(super) fn softened(self, deployment: &str) -> Self {
        let remedy = format!("{deployment} is at work on it");
        if self.level == Level::Ok { self } else { Self { level: Level::Doubt, remedy, ..self } }
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mark = match self.level {
            Level::Ok => "ok     ",
            Level::Doubt => "doubt  ",
            Level::Missing => "MISSING",
        };
        let line = format!("{mark}  {:8}  {}: {}", self.kind, self.subject, self.message);
        if self.remedy.is_empty() { line } else { format!("{line}\n         → {}", self.remedy) }
    }
}
