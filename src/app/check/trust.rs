//! Who could change what a deployment runs: the file itself, and the programs that it names.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::finding::Finding;
use crate::config::Config;
use crate::os::program::{Environment, Program};
use crate::os::sharing::Sharing;
use crate::os::trust::{self, Group};
use crate::os::users;
use crate::{fleet, journal, probe, traffic};

/// Groups that can write the file and are not the operators', and programs that anybody could replace.
pub(super) fn look(config: &Config) -> Vec<Finding> {
    let operators = match journal::sharing(&config.journal_dir) {
        Ok(Some(Sharing::Group(gid))) => Some(gid),
        // Why it cannot be used has a line of its own.
        Ok(Some(Sharing::Private) | None) | Err(_) => None,
    };
    let own = rustix::process::getegid().as_raw();
    let foreign = |group: &&Group| group.gid != own && Some(group.gid) != operators;
    let files: BTreeSet<PathBuf> = programs(config).iter().flat_map(Program::files).collect();
    let of_file = config.groups.iter().filter(foreign).map(|group| by_group("config", config.source.name(), group));
    let of_programs = files.iter().filter_map(|file| match trust::look(file) {
        Ok(_) => None,
        Err(why) => {
            let said = why.to_string();
            let (message, remedy) = said.split_once("; ").unwrap_or((&said, ""));
            Some(Finding::doubt("program", &file.display().to_string(), message, remedy))
        }
    });
    of_file.chain(of_programs).collect()
}

fn by_group(kind: &'static str, subject: &str, Group { gid, path }: &Group) -> Finding {
    let (group, path) = (users::group(*gid), path.display());
    let message = format!(
        "the members of group {group} can write {path}, and with it what is run here; it is neither your own group nor the state's"
    );
    Finding::doubt(kind, subject, &message, &format!("chmod g-w {path}, or share the state with group {group}"))
}

/// Every program that the configuration names.
fn programs(config: &Config) -> Vec<Program> {
    let service = &config.service.name;
    let program =
        |argv: &Vec<String>, env: &Environment| Program { service: service.clone(), argv: argv.clone(), env: env.clone() };
    let mut programs = Vec::new();
    match &config.fleet {
        fleet::Settings::Process(settings) => programs.push(program(&settings.start, &settings.env)),
        fleet::Settings::Command(settings) => {
            programs.push(program(&settings.observe, &settings.env));
            programs.extend(settings.steps.iter().map(|step| program(&step.argv, &settings.env)));
        }
        // What runs on other hosts is not ours to look at.
        fleet::Settings::Hosts(settings) if settings.ssh.is_some() => {}
        fleet::Settings::Hosts(settings) => {
            let fleet::CommandSettings { observe, steps, env, .. } = &settings.commands;
            programs.extend(steps.iter().map(|step| program(&step.argv, env)));
            programs.push(program(observe, env));
        }
        fleet::Settings::Docker(_) => {}
    }
    if let traffic::Settings::Command(settings) = &config.traffic {
        let asked = [Some(&settings.state), settings.sessions.as_ref()].into_iter().flatten().map(|asked| &asked.argv);
        let argvs = [&settings.out, &settings.into].into_iter().chain(asked).chain(&settings.list);
        programs.extend(argvs.map(|argv| program(argv, &settings.env)));
    }
    if let probe::Kind::Exec(settings) = &config.health.probe {
        programs.push(settings.program.clone());
    }
    programs.extend(config.hooks.iter().map(|hook| hook.program.clone()));
    programs.extend(config.health.version.iter().map(|version| version.program.clone()));
    programs
}
