//! What the command line says of itself: completion scripts and the manual.
//!
//! Imports: nothing of this crate. May not: know a verb; all of it comes from the definition.

use std::io::{self, Write};

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

/// The completion script of a shell.
///
/// # Errors
/// Fails if nobody takes the output.
pub(super) fn completions(command: &Command, shell: Shell, out: &mut dyn Write) -> io::Result<()> {
    // The generators offer hidden verbs as well.
    let mut command = Command::new("rollout")
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_subcommand(true)
        .args(command.get_arguments().cloned())
        .subcommands(command.get_subcommands().filter(|verb| !verb.is_hide_set()).cloned());
    // Made as a whole first: the generator takes a closed pipe for a defect of the program.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "rollout", &mut script);
    out.write_all(&script)
}

/// One page for all verbs, in roff.
///
/// # Errors
/// Fails if nobody takes the output.
pub(super) fn manual(mut command: Command, out: &mut dyn Write) -> io::Result<()> {
    command.build();
    let page = Man::new(command.clone());
    let mut text = Vec::new();
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    page.render_description_section(&mut text)?;
    page.render_options_section(&mut text)?;
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help") {
        text.extend(format!(".SH ROLLOUT {}\n", verb.get_name().to_uppercase()).bytes());
        // What all verbs take is said once, above.
        let globals: Vec<_> = verb.get_arguments().filter(|arg| arg.is_global_set()).map(|arg| arg.get_id().clone()).collect();
        let own = globals.into_iter().fold(verb.clone(), |verb, id| verb.mut_arg(id, |arg| arg.hide(true)));
        let page = Man::new(own);
        let mut section = Vec::new();
        page.render_synopsis_section(&mut section)?;
        page.render_description_section(&mut section)?;
        page.render_options_section(&mut section)?;
        text.extend(String::from_utf8_lossy(&section).replace(".SH ", ".SS ").bytes());
    }
    page.render_extra_section(&mut text)?;
    page.render_version_section(&mut text)?;
    out.write_all(&text)
}
