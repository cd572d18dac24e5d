//! Where the service runs: the configuration's part of it.

use std::any::Any;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use crate::daemon;
use crate::instance;
use crate::site::Member;
use crate::sshd::Hosts;

/// A kind of fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Processes of this host.
    Process,
    /// A program on other hosts, over ssh.
    Ssh,
    /// Containers.
    Docker,
}

/// What a fleet needs to exist: gone with the value.
pub(crate) struct Fleet {
    /// `[fleet]`'s driver and `[update]`.
    pub(crate) config: String,
    _servers: Box<dyn Any>,
}

/// Makes it ready; `None` if its server is missing, which has been said.
pub(crate) fn prepare(kind: Kind, dir: &Path) -> Option<Fleet> {
    match kind {
        Kind::Process => Some(Fleet { config: process(), _servers: Box::new(()) }),
        Kind::Ssh => ssh(dir),
        Kind::Docker => docker(dir),
    }
}

/// A text in the configuration's quotes.
fn quoted(text: &str) -> String {
    format!("{text:?}")
}

fn program() -> String {
    std::env::current_exe().unwrap().display().to_string()
}

fn process() -> String {
    let what = format!("{}=127.0.0.1,{{{{ instance.port }}}},{{{{ instance.id }}}},{{{{ version }}}}", instance::VARIABLE);
    let mut all = vec!["env".to_owned(), what, program()];
    all.extend(instance::arguments().map(ToOwned::to_owned));
    let command = all.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(", ");
    format!("driver = \"process\"\n\n[update]\nstart = [{command}]\nstop_timeout = \"5s\"\n")
}

/// What an administrator has on the hosts: starts the service in the background, ends it politely, says what runs.
fn script(dir: &Path) -> String {
    let (variable, program, arguments) = (instance::VARIABLE, program(), instance::arguments().join(" "));
    format!(
        "#!/bin/sh
cd {} || exit 1
id=$2
case $1 in
start)
    setsid env {variable}=\"127.0.0.1,$3,$id,$4\" {program} {arguments} >\"$id.log\" 2>&1 </dev/null &
    echo $! >\"$id.pid\"
    echo \"$4\" >\"$id.version\" ;;
stop)
    [ -f \"$id.pid\" ] || exit 0
    pid=$(cat \"$id.pid\")
    kill \"$pid\" 2>/dev/null
    while kill -0 \"$pid\" 2>/dev/null; do sleep 0.05; done
    rm -f \"$id.pid\" ;;
version)
    [ -f \"$id.pid\" ] && kill -0 \"$(cat \"$id.pid\")\" 2>/dev/null || exit 3
    cat \"$id.version\" ;;
esac
",
        dir.display()
    )
}

/// All names are one real sshd.
fn ssh(dir: &Path) -> Option<Fleet> {
    let hosts = Hosts::start(1)?;
    let (host, login) = (&hosts.all[0], rollout::os::users::login(rustix::process::getuid().as_raw()).unwrap());
    hosts.write_config(&format!(
        "Host web-*\n  HostName {}\n  Port {}\n  User {login}\n  IdentityFile {}\n  IdentitiesOnly yes\n  \
         UserKnownHostsFile {}\n  GlobalKnownHostsFile none\n",
        host.address,
        host.port,
        hosts.path("key").display(),
        hosts.path("known_hosts").display()
    ));
    let there = dir.join("there");
    std::fs::create_dir(&there).unwrap();
    let file = there.join("service");
    std::fs::write(&file, script(&there)).unwrap();
    let command = |words: &str| format!("[\"sh\", {}, {words}]", quoted(&file.display().to_string()));
    let config = format!(
        "driver = \"ssh\"\n
[update]\nstop = {}\nstart = {}\nobserve = {{ command = {}, not_running = 3 }}\nstop_timeout = \"5s\"\n
[update.ssh]\nhost = \"{{{{ instance.id }}}}\"\nconfig = {}\n",
        command("\"stop\", \"{{ instance.id }}\""),
        command("\"start\", \"{{ instance.id }}\", \"{{ instance.port }}\", \"{{ version }}\""),
        command("\"version\", \"{{ instance.id }}\""),
        quoted(&hosts.path("ssh_config").display().to_string()),
    );
    Some(Fleet { config, _servers: Box::new(hosts) })
}

/// A daemon of its own with an image for each version, made of this test's own program and what it is linked with.
fn docker(dir: &Path) -> Option<Fleet> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let site = runtime.block_on(daemon::Site::start())?;
    let root = dir.join("root");
    let archive = dir.join("root.tar");
    let run = |command: &mut Command| {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let linked = run(Command::new("ldd").arg(program()));
    for library in linked.split_whitespace().filter(|word| word.starts_with('/')) {
        let to = root.join(library.trim_start_matches('/'));
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(library, to).unwrap();
    }
    run(Command::new("strip").args(["-o"]).arg(root.join("service")).arg(program()));
    run(Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&archive).arg("."));
    for version in ["v1", "v2", "v3"] {
        let arguments: Vec<String> = ["/service"].into_iter().chain(instance::arguments()).map(quoted).collect();
        let environment = format!("ENV {}=0.0.0.0,8080,container,{version}", instance::VARIABLE);
        let command = format!("CMD [{}]", arguments.join(", "));
        let (archive, tag) = (archive.display().to_string(), format!("shop:{version}"));
        site.ask(&["import", "--change", &environment, "--change", &command, &archive, &tag]).unwrap();
    }
    let config = format!(
        "driver = \"docker\"\n
[update]\nstop_timeout = \"5s\"\n
[update.docker]\nhost = {}\nimage = \"shop:{{{{ version }}}}\"\npull = \"never\"\ncontainer_port = 8080\n",
        quoted(&site.host)
    );
    Some(Fleet { config, _servers: Box::new((site, runtime)) })
}

/// `[[fleet.instance]]` and `[[fleet.spare]]`.
pub(crate) fn members(instances: &[Member], spares: &[Member]) -> String {
    let mut text = String::new();
    for (table, members) in [("instance", instances), ("spare", spares)] {
        for Member { id, port } in members {
            write!(text, "[[fleet.{table}]]\nid = \"{id}\"\nhost = \"127.0.0.1\"\nport = {port}\n\n").unwrap();
        }
    }
    text
}
