//! The `rollout` binary: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Installed once, first thing: it cannot be there already, and the program works without it.
    color_eyre::install().ok();
    rollout::cli::main()
}
