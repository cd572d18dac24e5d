//! Releases on a host: `PATH/releases/VERSION`, and `PATH/current` that points to one of them.
//!
//! Imports: model, os; its parent's settings. May not: start what a release holds.
//!
//! A release comes under a name of its own, and gets its right one when all of it is there: it is whole, or not there.
//! The switch is one rename. One that is there is not uploaded again, so going back needs no upload.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout_at;

use super::ReleaseSettings;
use crate::model::{Target, Version};
use crate::os::child::Finished;
use crate::os::program::{About, Input, Limits, Place, Trouble};
use crate::os::template::{self, Context};
use crate::ports::UpdateOrder;

/// `$1` is PATH, `$2` the release's name. Prints where to unpack, or nothing if it is there.
const BEGIN: &str = r#"set -eu
mkdir -p "$1/releases"
cd "$1/releases"
find . -maxdepth 1 -name ".upload-*" -mmin +1440 -exec rm -rf {} +
[ ! -d "$2" ] || exit 0
mktemp -d "$1/releases/.upload-XXXXXX""#;
/// `$1` is where it was unpacked, `$2` its place. Somebody may have been quicker.
const END: &str = r#"set -eu
chmod 755 "$1"
sync -f "$1" 2>/dev/null || sync
[ -d "$2" ] || mv -T "$1" "$2" || [ -d "$2" ]
rm -rf "$1"
[ -d "$2" ]"#;
/// `$1` is PATH, `$2` the release's name, `$3` the instance, `$4` how many are kept, `$5` the release that is left. What is
/// pruned is neither of those two, nor what `current` pointed to.
const SWITCH: &str = r#"set -eu
cd "$1"
[ -d "releases/$2" ] || { echo "$1/releases/$2 is not there" >&2; exit 1; }
old="$(readlink current || :)"
touch -c "releases/$2"
ln -sfn "releases/$2" ".current.$3"
mv -T ".current.$3" current
n=0
ls -1t releases | while IFS= read -r name; do
  n=$((n + 1))
  if [ "$n" -gt "$4" ] && [ "$name" != "$2" ] && [ "$name" != "$5" ] && [ "releases/$name" != "$old" ]; then
    rm -rf -- "releases/$name"
  fi
done || :"#;
/// `$1` is PATH. Prints the name of the release that `current` points to; nothing if there is none.
const CURRENT: &str = r#"[ -L "$1/current" ] || exit 0
readlink "$1/current""#;
/// `$1` is PATH, `$2` the release's name.
const THERE: &str = r#"[ -d "$1/releases/$2" ]"#;
/// For what only looks.
const LOOK: Duration = Duration::from_secs(10);
/// A local tar that has written all ends at once.
const TAR_END: Duration = Duration::from_secs(5);

/// The releases of a driver.
pub(super) struct Releases {
    pub(super) settings: ReleaseSettings,
    pub(super) service: String,
}

/// What a script is called with.
type Words<'a> = &'a [&'a str];

impl Releases {
    /// The base directory on the instance's host.
    pub(super) fn base(&self, target: &Target) -> Result<String, String> {
        let context = Context { service: &self.service, target, version: None, previous: None };
        template::render(&self.settings.path, context).map_err(|why| format!("[update.release] path: {why}"))
    }

    fn source(&self, target: &Target, version: &Version) -> Result<String, String> {
        let context = Context { service: &self.service, target, version: Some(version), previous: None };
        template::render(&self.settings.source, context).map_err(|why| format!("[update.release] source: {why}"))
    }

    async fn script(
        &self,
        place: &Place,
        (target, limits): (&Target, Limits),
        (script, words): (&str, Words<'_>),
        input: Option<Input>,
    ) -> Result<Finished, String> {
        let mut argv = ["sh", "-c", script, "rollout"].map(str::to_owned).to_vec();
        argv.extend(words.iter().map(|word| (*word).to_owned()));
        let about = About { service: &self.service, target, argv: &argv, env: &[] };
        place.run(about, limits, input).await
    }

    /// Brings it there, if it is not there.
    pub(super) async fn upload(&self, place: &Place, order: &UpdateOrder, limits: Limits) -> Result<(), Trouble> {
        let base = self.base(&order.target).map_err(Trouble::Failed)?;
        let name = name_of(&order.version);
        let whom = (&order.target, limits);
        let begun = place.judge(self.script(place, whom, (BEGIN, &[&base, &name]), None).await)?;
        let unpack = String::from_utf8_lossy(&begun.stdout).trim().to_owned();
        if unpack.is_empty() {
            return Ok(());
        }
        let source = self.source(&order.target, &order.version).map_err(Trouble::Failed)?;
        if let Err(why) = self.unpack(place, whom, (&source, &unpack)).await {
            // What is left of it goes with the next upload, if it does not now.
            self.script(place, whom, ("rm -rf -- \"$1\"", &[&unpack]), None).await.ok();
            return Err(why);
        }
        let place_of_it = format!("{base}/releases/{name}");
        place.judge(self.script(place, whom, (END, &[&unpack, &place_of_it]), None).await).map(drop)
    }

    async fn unpack(
        &self,
        place: &Place,
        (target, limits): (&Target, Limits),
        (source, unpack): (&str, &str),
    ) -> Result<(), Trouble> {
        let path = Path::new(source);
        let is_dir = path.is_dir();
        if !is_dir && !path.is_file() {
            return Err(Trouble::Failed(missing(source)));
        }
        if let Place::Here = place {
            let copy = if is_dir { "cp -a -- \"$1/.\" \"$2\"" } else { "tar -xzof \"$1\" -C \"$2\"" };
            let copied = self.script(place, (target, limits), (copy, &[source, unpack]), None).await;
            return place.judge(copied).map(drop);
        }
        let extract = if is_dir { "tar -xof - -C \"$1\"" } else { "tar -xzof - -C \"$1\"" };
        let whom = (target, limits);
        if !is_dir {
            let file = tokio::fs::File::open(path).await.map_err(|e| Trouble::Failed(format!("{source}: {e}")))?;
            let sent = self.script(place, whom, (extract, &[unpack]), Some(Box::new(file))).await;
            return place.judge(sent).map(drop);
        }
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(path).args(["-cf", "-", "."]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let no_tar = |e: std::io::Error| Trouble::Failed(format!("cannot start tar: {e}; install it"));
        let mut tar = tar.kill_on_drop(true).spawn().map_err(no_tar)?;
        let input: Option<Input> = tar.stdout.take().map(|output| Box::new(output) as Input);
        place.judge(self.script(place, whom, (extract, &[unpack]), input).await)?;
        let ended = timeout_at(limits.deadline.max(tokio::time::Instant::now() + TAR_END), tar.wait()).await;
        match ended {
            Ok(Ok(status)) if status.success() => Ok(()),
            _ => Err(Trouble::Failed(format!("tar could not read all of {source}; is every file in it readable?"))),
        }
    }

    /// Makes it the current one, and prunes.
    pub(super) async fn switch(&self, place: &Place, order: &UpdateOrder, limits: Limits) -> Result<(), Trouble> {
        let base = self.base(&order.target).map_err(Trouble::Failed)?;
        let previous = order.previous.as_ref().map(name_of).unwrap_or_default();
        let (name, keep) = (name_of(&order.version), self.settings.keep.to_string());
        let words = [base.as_str(), &name, order.target.id.as_str(), &keep, &previous];
        place.judge(self.script(place, (&order.target, limits), (SWITCH, &words), None).await).map(drop)
    }

    /// The version that is current; `None` if none is.
    pub(super) async fn current(&self, place: &Place, target: &Target, limits: Limits) -> Result<Option<Version>, String> {
        let base = self.base(target)?;
        let finished = place.judge(self.script(place, (target, limits), (CURRENT, &[&base]), None).await);
        let finished = finished.map_err(|why| why.to_string())?;
        let link = String::from_utf8_lossy(&finished.stdout).trim().to_owned();
        if link.is_empty() {
            return Ok(None);
        }
        let name = link.rsplit('/').next().unwrap_or_default().replace("%2F", "/");
        let why = |_| format!("{base}/current points to {:?}, which is no version", crate::os::text::sanitise_within(&link, 60));
        Version::new(&name).map(Some).map_err(why)
    }

    /// What is missing for this version: it is on the host, or its source is here.
    pub(super) async fn check(&self, place: &Place, target: &Target, version: &Version) -> Option<String> {
        let (source, base) = match (self.source(target, version), self.base(target)) {
            (Ok(source), Ok(base)) => (source, base),
            (Err(why), _) | (_, Err(why)) => return Some(why),
        };
        if Path::new(&source).exists() {
            return None;
        }
        let words = [base.as_str(), &name_of(version)];
        match self.script(place, (target, Limits::within(LOOK)), (THERE, &words), None).await {
            Ok(finished) if finished.end == crate::os::child::End::Exit(0) => None,
            Ok(_) => {
                Some(format!("[update.release] source: {}; nor is {base}/releases/{} on the host", missing(&source), words[1]))
            }
            Err(why) => Some(why),
        }
    }
}

fn missing(source: &str) -> String {
    format!("{source} is not there; build it, or write where it is")
}

/// One name in a directory: of what a version may have, only the slash cannot be in it.
fn name_of(version: &Version) -> String {
    version.as_str().replace('/', "%2F")
}
