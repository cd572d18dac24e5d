//! `init`: a first rollout.toml, from what is there already or by questions. Never writes over a file.

mod ansible;
mod compose;
mod docker;
mod draft;
mod haproxy;
mod nginx;
mod questions;
mod source;

use std::fs::OpenOptions;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use self::draft::Draft;
use self::questions::Asker;
use self::source::Found;
use super::args::InitArgs;
use super::{Common, Done, Failure, complain, say};
use crate::config::{self, Config, ConfigErrors};

/// More than any configuration has.
const LARGEST: u64 = 16 * 1024 * 1024;

/// `rollout init`.
pub(super) async fn init(common: &Common, args: &InitArgs) -> Done {
    let to = common.config.clone().unwrap_or_else(|| PathBuf::from("rollout.toml"));
    if !args.print && to.symlink_metadata().is_ok() {
        return Err(there_already(&to));
    }
    let (text, notes) = match (&args.from, args.from.as_deref().and_then(docker::daemon)) {
        (_, Some(host)) => docker::from_docker(&host, args).await?,
        (Some(from), None) => from_file(from, args).await.map(|(draft, notes)| (draft.text(), notes))?,
        (None, None) => (by_questions(args)?.text(), Vec::new()),
    };
    read(&text).map_err(|errors| Failure::usage(format!("what was found makes no good file:\n{errors}")))?;
    for note in notes {
        complain(&format!("note: {note}"));
    }
    if args.print {
        say(&text);
        return Ok(0);
    }
    write(&to, &text)?;
    say(&format!("{} is written; change [update] to how your instances are started, then: rollout check", to.display()));
    Ok(0)
}

fn there_already(path: &Path) -> Failure {
    Failure::usage(format!("{} is there already and stays as it is; --print shows a new one", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let cannot = |e: io::Error| match e.kind() {
        io::ErrorKind::AlreadyExists => there_already(path),
        _ => Failure::usage(format!("cannot write {}: {e}", path.display())),
    };
    // Whatever the umask: what others can write, nobody may deploy by.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path).map_err(cannot)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(cannot)
}

/// The file as the program will read it, whatever the environment.
fn read(text: &str) -> Result<Config, ConfigErrors> {
    config::read(Path::new("/rollout.toml"), text, &[], &|name| (name == "XDG_STATE_HOME").then(|| "/state".to_owned()))
}

async fn from_file(from: &Path, args: &InitArgs) -> Result<(Draft, Vec<String>), Failure> {
    let cannot = |why: String| Failure::usage(format!("cannot read {}: {why}", from.display()));
    let size = from.metadata().map_err(|e| cannot(e.to_string()))?.len();
    if size > LARGEST {
        return Err(cannot(format!("it has {size} bytes, which no configuration has")));
    }
    let bytes = std::fs::read(from).map_err(|e| cannot(e.to_string()))?;
    match source::read(from, &String::from_utf8_lossy(&bytes)).await.map_err(cannot)? {
        Found::Haproxy(found) => {
            let names: Vec<&str> = found.backends.iter().map(|backend| backend.name.as_str()).collect();
            let backend = chosen(&found.backends, ("backend", &names), (from, args), &[])?;
            Draft::of(&found, backend, args.service.as_deref())
        }
        Found::Groups(groups, notes) => {
            let names: Vec<&str> = groups.iter().map(|group| group.name.as_str()).collect();
            let word = groups.first().map_or("upstream", |group| group.sort.word());
            let group = chosen(&groups, (word, &names), (from, args), &notes)?;
            let (draft, own) = Draft::of_group(group, from, args.service.as_deref())?;
            Ok((draft, [notes, own].concat()))
        }
    }
}

/// The backend (or whatever it is called there) that is named, the only one, or the one that the user names.
fn chosen<'a, T>(
    found: &'a [T],
    (word, names): (&str, &[&str]),
    (from, args): (&Path, &InitArgs),
    notes: &[String],
) -> Result<&'a T, Failure> {
    let list = names.join(", ");
    let by_name = |name: &str| names.iter().position(|other| *other == name).and_then(|at| found.get(at));
    match (&args.backend, found) {
        (_, []) => {
            let none = format!("{} has no {word} with a server", from.display());
            Err(Failure::usage([&[none], notes].concat().join("\n")))
        }
        (Some(name), _) => {
            by_name(name).ok_or_else(|| Failure::usage(format!("{} has no {word} {name}; it has: {list}", from.display())))
        }
        (None, [one]) => Ok(one),
        (None, _) if asks() => {
            let mut asker = Asker { answers: &mut io::stdin().lock(), questions: &mut io::stderr() };
            let first = names.first().copied().unwrap_or_default();
            let fits = |name: &str| by_name(name).map(drop).ok_or_else(|| format!("write one of: {list}"));
            let name = asker.ask(&format!("Which {word} ({list})"), first, fits).map_err(Failure::usage)?;
            by_name(&name).ok_or_else(|| Failure::usage(format!("there is no {word} {name}")))
        }
        (None, _) => Err(Failure::usage(format!("{} has several {word}s; choose one with --backend: {list}", from.display()))),
    }
}

/// Whether a person can be asked.
fn asks() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

fn by_questions(args: &InitArgs) -> Result<Draft, Failure> {
    if !asks() {
        return Err(Failure::usage(
            "without a terminal there is nobody to ask; give --from haproxy.cfg, nginx.conf, compose.yaml or an inventory, or begin with \
             a file of the examples",
        ));
    }
    let here = std::env::current_dir().ok();
    let here = here.as_deref().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default();
    let service = args.service.clone().unwrap_or_else(|| draft::name_of(here));
    let service = if service.is_empty() { "shop".to_owned() } else { service };
    Asker { answers: &mut io::stdin().lock(), questions: &mut io::stderr() }.draft(&service).map_err(Failure::usage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drafted_from_haproxy_is_read_without_fault() {
        for (text, backend) in [
            (
                "global\n stats socket /run/h.sock level admin\nbackend shop\n server web-1 10.0.0.1:80\n server web-2 10.0.0.2:80\n",
                "shop",
            ),
            ("listen a:b\n server 10.0.0.1:80 10.0.0.1:80\n server 10.0.0.2:80 10.0.0.2:80\n", "a:b"),
            ("backend _x\n option httpchk /h\n http-check expect status 204\n server s ::1:1\n server t [::1]:2\n", "_x"),
        ] {
            let found = haproxy::parse(text);
            let backend = found.backends.iter().find(|b| b.name == backend).unwrap();
            let (draft, _) = Draft::of(&found, backend, None).unwrap();
            let config = read(&draft.text()).unwrap_or_else(|errors| panic!("{errors}\n{}", draft.text()));
            assert_eq!(config.targets.len(), backend.servers.len());
        }
    }

    #[test]
    fn a_server_whose_name_is_no_id_is_named() {
        let found = haproxy::parse("backend shop\n server a:b 10.0.0.1:80\n");
        let failure = Draft::of(&found, &found.backends[0], None).unwrap_err();
        assert!(failure.message.contains("a:b") && failure.message.contains("rename"), "{}", failure.message);
    }

    #[test]
    fn a_file_that_is_there_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rollout.toml");
        write(&path, "a").unwrap();
        let failure = write(&path, "b").unwrap_err();
        assert!(failure.message.contains("is there already"), "{}", failure.message);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "a");
    }
}
