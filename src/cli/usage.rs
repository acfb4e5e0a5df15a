//! Words that cannot be followed, in this program's own style and with its own status.
//!
//! clap's exit status for usage is 2, which in rsync's table (and so in ours) means that the peers share no protocol version: usage
//! is 1, help and version are 0.

use super::args::When;
use super::exit::{self, Failure};
use crate::class::Class;
use clap::error::ErrorKind;
use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::process::ExitCode;

const COMMANDS: [&str; 3] = ["send", "recv", "key"];
const LATER: [&str; 6] = ["sync", "relay", "sig", "delta", "patch", "resume"];

/// Answers what clap did not take as a command: help and version on stdout, anything else as one error line.
pub(super) fn answer(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let style = output_style(typed_color(arguments));
            let text = error.render();
            let text = if style { text.ansi().to_string() } else { text.to_string() };
            // Whoever closed stdout (`--help | head`) does not want the rest.
            let _ = std::io::stdout().lock().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = std::io::stderr().lock().write_all(error.render().to_string().as_bytes());
            ExitCode::from(Class::Usage.code())
        }
        _ => {
            let command = typed_command(arguments);
            exit::refuse(command, &failure(&error.render().to_string(), command), typed_color(arguments))
        }
    }
}

/// What clap says, shortened to its one sentence and its one piece of advice.
fn failure(rendered: &str, command: &str) -> Failure {
    let mut paragraphs = rendered.split("\n\n");
    let sentence = paragraphs.next().unwrap_or_default().trim().trim_start_matches("error: ");
    let sentence = sentence.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    let tip = rendered.lines().find_map(|line| line.trim().strip_prefix("tip: "));
    let help = || format!("try `resilient {command}{}--help`", if command.is_empty() { "" } else { " " });
    Failure::new(Class::Usage, sentence).hint(tip.map_or_else(help, str::to_owned))
}

/// The refusal of a word that is no command of this version.
pub(super) fn unknown_command(words: &[OsString]) -> Failure {
    let name = words.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
    if LATER.contains(&name.as_str()) {
        return Failure::new(Class::Unsupported, format!("{name}: this version does not have that command"))
            .hint("it has send, recv and key");
    }
    Failure::new(Class::Usage, format!("{name}: no such command")).hint("try `resilient --help`")
}

/// The first word that names a command, for the error line of arguments that could not be parsed.
fn typed_command(arguments: &[OsString]) -> &'static str {
    let typed = |word: &OsString| COMMANDS.iter().find(|name| word == *name).copied();
    arguments.iter().skip(1).find_map(typed).unwrap_or("")
}

fn typed_color(arguments: &[OsString]) -> When {
    let mut when = When::Auto;
    for (index, word) in arguments.iter().enumerate() {
        let value = match word.to_str() {
            Some("--color") => arguments.get(index + 1).map(OsString::as_os_str),
            Some(text) => text.strip_prefix("--color=").map(OsStr::new),
            None => None,
        };
        match value.and_then(OsStr::to_str) {
            Some("always") => when = When::Always,
            Some("never") => when = When::Never,
            _ => {}
        }
    }
    when
}

fn output_style(color: When) -> bool {
    use std::io::IsTerminal as _;
    super::output::colored(color, std::io::stdout().is_terminal())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clap_is_cut_to_a_sentence_and_a_hint() {
        let text = "error: unexpected argument '--progres' found\n\n  tip: a similar argument exists: '--progress'\n\nUsage: x\n";
        let told = failure(text, "send");
        assert_eq!(told.message, "unexpected argument '--progres' found");
        assert_eq!(told.hint.as_deref(), Some("a similar argument exists: '--progress'"));
        let told = failure("error: these are missing:\n  <A>\n  <B>\n\nUsage: x", "");
        assert_eq!(told.message, "these are missing: <A> <B>");
        assert_eq!(told.hint.as_deref(), Some("try `resilient --help`"));
    }

    #[test]
    fn later_commands_are_told_from_mistakes() {
        assert_eq!(unknown_command(&["sync".into(), "-a".into()]).class, Class::Unsupported);
        assert_eq!(unknown_command(&["snd".into()]).class, Class::Usage);
    }

    #[test]
    fn the_command_is_found_among_options() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        assert_eq!(typed_command(&words("resilient -v recv --nope")), "recv");
        assert_eq!(typed_command(&words("resilient --nope")), "");
        assert_eq!(typed_color(&words("resilient --color never recv")), When::Never);
    }
}
