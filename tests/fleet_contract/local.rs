//! Instances on this host: processes, and programs that stand for a tool.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rollout::fleet::{self, CommandSettings, ProcessSettings, Settings, Step};
use rollout::model::{Span, Target};
use rollout::os::extract::Extract;
use rollout::os::program::Environment;
use rollout::ports::FleetDriver;
use tempfile::TempDir;

use crate::World;
use crate::common::temp_dir;

/// What starts a version, in a directory of the instance: writes that down, then does as the version's name says.
/// `$1` is the instance's directory, `$2` the version.
pub(crate) const START: &str = r#"mkdir -p "$1"; echo "$2" >>"$1/starts"
case $2 in bad*) echo "no such plug-in" >&2; exit 3;; slow*) sleep 1000;; esac"#;

pub(crate) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

pub(crate) fn starts(dir: &Path, target: &Target) -> usize {
    fs::read_to_string(dir.join(target.id.as_str()).join("starts")).unwrap_or_default().lines().count()
}

/// The process driver.
pub(crate) struct Processes {
    dir: TempDir,
}

impl Processes {
    #[expect(clippy::unnecessary_wraps, reason = "as worlds that need a server")]
    pub(crate) fn new() -> Option<Self> {
        Some(Self { dir: temp_dir() })
    }

    fn settings(&self, shell: &str) -> ProcessSettings {
        let dir = self.dir.path().join("{{ instance.id }}").display().to_string();
        ProcessSettings {
            service: "shop".to_owned(),
            start: words(&[shell, "-c", &format!("{START}; exec sleep 1000"), "sh", &dir, "{{ version }}"]),
            env: Environment::default(),
            withheld: Vec::new(),
            stop_timeout: Span::from_millis(500),
            dir: self.dir.path().join("records"),
        }
    }

    fn build(settings: ProcessSettings) -> Result<Arc<dyn FleetDriver>, String> {
        let settings = Settings::Process(settings);
        fleet::prepare(&settings)?;
        fleet::build(&settings)
    }
}

impl World for Processes {
    fn driver(&self) -> Arc<dyn FleetDriver> {
        Self::build(self.settings("sh")).unwrap()
    }

    fn lacking(&self) -> Result<Arc<dyn FleetDriver>, String> {
        Self::build(self.settings("/no-such/sh"))
    }

    fn starts(&self, target: &Target) -> usize {
        starts(self.dir.path(), target)
    }

    fn cut(&mut self) -> bool {
        false
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        let records = self.dir.path().join("records");
        let stop = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(fleet::stop_recorded(&records, Span::ZERO))
        };
        // The test has a runtime of its own.
        let left = std::thread::scope(|scope| scope.spawn(stop).join());
        assert!(left.is_ok());
    }
}

/// The command driver.
pub(crate) struct Commands {
    dir: TempDir,
}

/// Settings of a command driver whose instances are directories in `dir`, with records in `records`.
pub(crate) fn commands(dir: &Path, records: PathBuf, shell: &str) -> CommandSettings {
    let dir = dir.join("{{ instance.id }}").display().to_string();
    let start = format!("{START}; echo \"$2\" >\"$1/VERSION\"");
    CommandSettings {
        service: "my shop".to_owned(),
        observe: words(&["cat", &format!("{dir}/VERSION")]),
        version: Extract::FirstLine,
        not_running: Vec::new(),
        steps: vec![Step { name: "command", argv: words(&[shell, "-c", &start, "sh", &dir, "{{ version }}"]) }],
        env: Environment::default(),
        timeout: Span::from_secs(40),
        stop_timeout: Span::from_millis(500),
        observe_timeout: Span::from_secs(10),
        idempotent: false,
        dir: records,
    }
}

impl Commands {
    #[expect(clippy::unnecessary_wraps, reason = "as worlds that need a server")]
    pub(crate) fn new() -> Option<Self> {
        Some(Self { dir: temp_dir() })
    }

    fn build(&self, shell: &str) -> Result<Arc<dyn FleetDriver>, String> {
        let settings = Settings::Command(commands(self.dir.path(), self.dir.path().join("records"), shell));
        fleet::prepare(&settings)?;
        fleet::build(&settings)
    }
}

impl World for Commands {
    fn driver(&self) -> Arc<dyn FleetDriver> {
        self.build("sh").unwrap()
    }

    fn lacking(&self) -> Result<Arc<dyn FleetDriver>, String> {
        self.build("/no-such/sh")
    }

    fn starts(&self, target: &Target) -> usize {
        starts(self.dir.path(), target)
    }

    fn cut(&mut self) -> bool {
        false
    }
}
