//! The `rollout` binary: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Err(error) = color_eyre::install() {
        eprintln!("rollout: {error}");
    }
    rollout::cli::main()
}
