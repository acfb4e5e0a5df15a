//! The `resilient` program. Everything is in the library; this only hands over the arguments.

use std::process::ExitCode;

fn main() -> ExitCode {
    resilient::cli::main(std::env::args_os())
}
