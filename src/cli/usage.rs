//! Words that cannot be followed, in this program's own style and with its own status.
//!
//! clap's exit status for usage is 2, which in rsync's table (and so in ours) means that the peers share no protocol version: usage
//! is 1, help and version are 0.

use super::args::When;
use super::exit::{self, Failure};
use crate::class::Class;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::process::ExitCode;

pub(super) const COMMANDS: [&str; 7] = ["send", "recv", "resume", "sig", "delta", "patch", "key"];
const LATER: [&str; 2] = ["sync", "relay"];

/// Options of `send` and `recv` that a later version has: refused as such, not as mistakes.
const LATER_OPTIONS: &[&str] = &[
    "api",
    "expire",
    "from",
    "max-hops",
    "need",
    "remote-bin",
    "rsh",
    "rsync-path",
    "spool-stdin",
    "to",
    "transport",
    "via",
    "wait",
];

/// Options of `send` that are for `recv`, too, in a later version.
const LATER_OF_RECV: &[&str] = &["compress", "max-chunk-rate", "no-compress", "parity", "priority", "priority-for"];

/// Those of them that have a short form.
const LATER_SHORT: &[(&str, &str)] = &[("-e", "rsh"), ("-z", "compress")];

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
            let failure = later_option(error, command).unwrap_or_else(|| failure(&error.render().to_string(), command));
            exit::refuse(command, &failure, typed_color(arguments))
        }
    }
}

/// The refusal of an option that a later version has.
fn later_option(error: &clap::Error, command: &str) -> Option<Failure> {
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidArg) else { return None };
    let short = LATER_SHORT.iter().find(|(short, _)| short == typed).map(|(_, long)| *long);
    let long = typed.strip_prefix("--").map(|rest| rest.split('=').next().unwrap_or(rest)).or(short)?;
    let later = match command {
        "send" => is_later(long),
        "recv" => is_later(long) || LATER_OF_RECV.contains(&long),
        _ => false,
    };
    let help = if command.is_empty() { "resilient --help".to_owned() } else { format!("resilient {command} --help") };
    later.then(|| {
        Failure::new(Class::Unsupported, format!("{typed}: this version does not have that option"))
            .hint(format!("`{help}` shows the options that it has"))
    })
}

/// Whether a later version has an option of this long name.
pub(super) fn is_later(long: &str) -> bool {
    LATER_OPTIONS.contains(&long)
}

/// Whether any command of this version has an option of this long name.
pub(super) fn exists(definition: &clap::Command, long: &str) -> bool {
    ["help", "version"].contains(&long)
        || definition.get_arguments().any(|option| option.get_long() == Some(long))
        || definition.get_subcommands().any(|command| exists(command, long))
}

/// The place of the word that names the command, if there is one.
pub(super) fn command_at(definition: &clap::Command, words: &[OsString]) -> Option<usize> {
    let takes = |option: &clap::Arg| option.get_action().takes_values() && !option.is_require_equals_set();
    let mut at = 1;
    loop {
        let word = words.get(at)?.as_os_str();
        let Some(text) = word.to_str().filter(|text| text.starts_with('-')) else { return Some(at) };
        let value_follows = if let Some(long) = text.strip_prefix("--") {
            definition.get_arguments().any(|option| option.get_long() == Some(long) && takes(option))
        } else {
            // The value of `-xVALUE` is in the word, that of a last `-x` is the next one.
            let short = |letter| definition.get_arguments().find(|option| option.get_short() == Some(letter));
            let first = text.char_indices().skip(1).find(|(_, letter)| short(*letter).is_some_and(takes));
            first.is_some_and(|(place, letter)| place + letter.len_utf8() == text.len())
        };
        at += 1 + usize::from(value_follows);
    }
}

/// The one sentence of what clap says.
pub(super) fn sentence(rendered: &str) -> String {
    let sentence = rendered.split("\n\n").next().unwrap_or_default().trim().trim_start_matches("error: ");
    sentence.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

/// What clap says, shortened to its one sentence and its one piece of advice.
fn failure(rendered: &str, command: &str) -> Failure {
    let sentence = sentence(rendered);
    // That a word may be made a path by `--` is no advice to who mistyped an option.
    let mut tips = rendered.lines().filter_map(|line| line.trim().strip_prefix("tip: "));
    let tip = tips.find(|tip| !tip.contains("as a value, use"));
    let help = || format!("try `resilient {command}{}--help`", if command.is_empty() { "" } else { " " });
    Failure::new(Class::Usage, sentence).hint(tip.map_or_else(help, str::to_owned))
}

/// The refusal of a word that is no command of this version.
pub(super) fn unknown_command(words: &[OsString]) -> Failure {
    let name = words.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
    if LATER.contains(&name.as_str()) {
        return Failure::new(Class::Unsupported, format!("{name}: this version does not have that command"))
            .hint("it has send, recv, resume, sig, delta, patch and key");
    }
    Failure::new(Class::Usage, format!("{name}: no such command")).hint("try `resilient --help`")
}

/// The first word that names a command, for the error line of arguments that could not be parsed.
pub(super) fn typed_command(arguments: &[OsString]) -> &'static str {
    let typed = |word: &OsString| COMMANDS.iter().find(|name| word == *name).copied();
    arguments.iter().skip(1).find_map(typed).unwrap_or("")
}

pub(super) fn typed_color(arguments: &[OsString]) -> When {
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
    fn to_make_a_mistyped_option_a_path_is_no_advice() {
        let text =
            "error: unexpected argument '--bw' found\n\n  tip: to pass '--bw' as a value, use '-- --bw'\n\nUsage: x";
        assert_eq!(failure(text, "send").hint.as_deref(), Some("try `resilient send --help`"));
    }

    #[test]
    fn an_option_is_of_this_version_or_of_a_later_one() {
        use crate::cli::args::Cli;
        use clap::CommandFactory as _;
        let mut definition = Cli::command();
        definition.build();
        for name in LATER_OPTIONS {
            let is_there =
                ["send", "recv"].iter().any(|command| exists(definition.find_subcommand(command).unwrap(), name));
            assert!(!is_there, "--{name} is there: take it off the list");
        }
        assert!(exists(&definition, "retry-for") && !exists(&definition, "nope"));
        let recv = definition.find_subcommand("recv").unwrap();
        for name in LATER_OF_RECV {
            assert!(exists(&definition, name) && !exists(recv, name), "--{name}: take it off the list");
        }
        for (short, long) in LATER_SHORT {
            assert!(LATER_OPTIONS.contains(long) || LATER_OF_RECV.contains(long));
            let letter = short.chars().nth(1);
            assert!(!recv.get_arguments().any(|option| option.get_short() == letter), "{short}");
        }
    }

    #[test]
    fn the_place_of_the_command_is_found() {
        use crate::cli::args::Cli;
        use clap::CommandFactory as _;
        let definition = Cli::command();
        let at = |text: &str| {
            let words: Vec<OsString> = text.split(' ').map(OsString::from).collect();
            command_at(&definition, &words)
        };
        assert_eq!(at("resilient send send a"), Some(1));
        assert_eq!(at("resilient --identity send send a"), Some(3));
        assert_eq!(at("resilient --identity=send -vq --json --progress send a"), Some(5));
        assert_eq!(at("resilient --identity"), None);
        assert_eq!(at("resilient -v"), None);
    }

    #[test]
    fn the_command_is_found_among_options() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        assert_eq!(typed_command(&words("resilient -v recv --nope")), "recv");
        assert_eq!(typed_command(&words("resilient --nope")), "");
        assert_eq!(typed_color(&words("resilient --color never recv")), When::Never);
    }
}
