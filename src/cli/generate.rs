//! `resilient --generate KIND [DIR]`: manual pages and completions, made of the definition of the options.
//!
//! A page is prose, `man/src/NAME.roff`, in which lines `.\" @OPTIONS@` and `.\" @KEYS@` stand for what the definition says. The results
//! are committed under `man/` and `completions/`; a test makes them again and compares, `scripts/generate` writes them. Invariant:
//! nothing here depends on the machine or the day, so the same source gives the same bytes.

use super::args::{Cli, When};
use super::config;
use super::exit::{self, Failure};
use super::output;
use crate::class::Class;
use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::roff::{Roff, bold, italic, roman};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

/// The hidden first word.
pub(super) const WORD: &str = "--generate";

/// Headings of options, in the order in which they are shown.
const HEADINGS: [&str; 6] = ["SELECT", "PRESERVE", "DELETE", "TRANSFER", "CONNECT", "OUTPUT"];

/// Name, section, command whose options it has, prose.
const PAGES: &[(&str, u8, Option<&str>, &str)] = &[
    ("resilient", 1, Some(""), include_str!("../../man/src/resilient.roff")),
    ("resilient-send", 1, Some("send"), include_str!("../../man/src/resilient-send.roff")),
    ("resilient-recv", 1, Some("recv"), include_str!("../../man/src/resilient-recv.roff")),
    ("resilient-resume", 1, Some("resume"), include_str!("../../man/src/resilient-resume.roff")),
    ("resilient-sig", 1, Some("sig"), include_str!("../../man/src/resilient-sig.roff")),
    ("resilient-delta", 1, Some("delta"), include_str!("../../man/src/resilient-delta.roff")),
    ("resilient-patch", 1, Some("patch"), include_str!("../../man/src/resilient-patch.roff")),
    ("resilient-key", 1, Some("key"), include_str!("../../man/src/resilient-key.roff")),
    ("resilient-config", 5, None, include_str!("../../man/src/resilient-config.roff")),
    ("resilient-format", 5, None, include_str!("../../man/src/resilient-format.roff")),
    ("resilient-events", 7, None, include_str!("../../man/src/resilient-events.roff")),
];

const SHELLS: [Shell; 5] = [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::Elvish, Shell::PowerShell];

/// Runs it: each file into a folder, or all of them to stdout.
pub(super) fn main(words: &[OsString]) -> ExitCode {
    let made = match words {
        [kind] => kind.to_str().and_then(generate).map(|files| (files, None)),
        [kind, folder] => kind.to_str().and_then(generate).map(|files| (files, Some(Path::new(folder)))),
        _ => None,
    };
    let done = match made {
        None => Err(Failure::usage("--generate: what is to be made?")
            .hint("--generate man|bash|zsh|fish|elvish|powershell [DIR]")),
        Some((files, None)) => output::result(None, &files.into_iter().map(|(_, text)| text).collect::<String>()),
        Some((files, Some(folder))) => {
            files.iter().try_for_each(|(name, text)| output::result(Some(&folder.join(name)), text))
        }
    };
    match done {
        Ok(()) => ExitCode::from(Class::Done.code()),
        Err(failure) => exit::refuse("", &failure, When::Auto),
    }
}

/// Names and texts of the files of a kind.
fn generate(kind: &str) -> Option<Vec<(String, String)>> {
    if kind == "man" {
        return Some(PAGES.iter().map(page).collect());
    }
    let shell = SHELLS.into_iter().find(|shell| shell.to_string() == kind)?;
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "resilient", &mut text);
    let name = clap_complete::Generator::file_name(&shell, "resilient");
    Some(vec![(name, String::from_utf8_lossy(&text).into_owned())])
}

fn page((name, section, command, prose): &(&str, u8, Option<&str>, &str)) -> (String, String) {
    let version = env!("CARGO_PKG_VERSION");
    let mut text = format!(
        ".\\\" Made by scripts/generate of man/src/{name}.roff and the definition of the options.\n\
         .ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n\
         .TH {} {section} \"\" \"resilient {version}\" \"resilient\"\n",
        name.to_uppercase().replace('-', "\\-"),
    );
    for line in prose.lines() {
        match (line, command) {
            (".\\\" @OPTIONS@", Some(command)) => text.push_str(&options(command)),
            (".\\\" @KEYS@", _) => text.push_str(&keys()),
            (line, _) => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    (format!("{name}.{section}"), text)
}

/// The definition with everything visible, as the manual shows it.
fn definition() -> Command {
    let visible = |command: Command| command.mut_args(|option| option.hide_short_help(false));
    let mut definition = visible(Cli::command()).mut_subcommands(visible);
    definition.build();
    definition
}

/// The options of a command, grouped by heading; of the program itself for no name.
fn options(name: &str) -> String {
    let definition = definition();
    let Some(command) = [&definition].into_iter().chain(definition.get_subcommands()).find(|command| {
        if name.is_empty() { command.get_name() == definition.get_name() } else { command.get_name() == name }
    }) else {
        return String::new();
    };
    let mut rendered = Vec::new();
    clap_mangen::Man::new(command.clone())
        .render_options_section(&mut rendered)
        .expect("writing into memory does not fail");
    let rendered = String::from_utf8_lossy(&rendered);
    let mut sections: Vec<(usize, String)> = Vec::new();
    for line in rendered.lines() {
        match line.strip_prefix(".SH ") {
            Some("OPTIONS") => sections.push((0, String::new())),
            Some(heading) => {
                let rank = HEADINGS.iter().position(|one| *one == heading).unwrap_or(HEADINGS.len());
                let (first, rest) = heading.split_at(1);
                sections.push((rank + 1, format!(".SS {first}{}\n", rest.to_lowercase())));
            }
            // What stands before the first section is the definition of the apostrophe, which the page has.
            None => {
                if let Some((_, text)) = sections.last_mut() {
                    let _ = writeln!(text, "{line}");
                }
            }
        }
    }
    sections.sort_by_key(|(rank, _)| *rank);
    sections.into_iter().map(|(_, text)| text).collect()
}

/// What a configuration file may set.
fn keys() -> String {
    let definition = definition();
    let mut text = String::new();
    for key in config::HOW {
        let having = definition.get_subcommands().filter(|command| command.get_subcommands().next().is_none());
        let having = having.filter_map(|command| {
            let option = command.get_arguments().find(|option| option.get_long() == Some(key))?;
            Some((command.get_name(), option))
        });
        let having: Vec<_> = having.collect();
        let Some((_, option)) = having.first() else { continue };
        let global = definition.get_arguments().any(|option| option.get_long() == Some(key));
        let commands = if global {
            "every command".to_owned()
        } else {
            having.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
        };
        let help = option.get_help().map(ToString::to_string).unwrap_or_default();
        let mut roff = Roff::new();
        roff.control("TP", []);
        roff.text([bold(*key), roman(" ("), roman(commands), roman(")")]);
        roff.text([roman(help), roman(". Variable: "), italic(config::variable(key)), roman(".")]);
        // What stands before is the definition of the apostrophe, which the page has.
        let rendered = roff.render();
        text.push_str(rendered.find(".TP").map_or("", |at| &rendered[at..]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::Class;

    fn committed(folder: &str, name: &str) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(name);
        std::fs::read_to_string(&path).unwrap_or_default()
    }

    #[test]
    fn what_is_committed_is_what_would_be_made() {
        let kinds = [("man", "man")].into_iter().map(|(kind, folder)| (kind.to_owned(), folder));
        let shells = SHELLS.iter().map(|shell| (shell.to_string(), "completions"));
        for (kind, folder) in kinds.chain(shells) {
            for (name, text) in generate(&kind).unwrap() {
                assert!(committed(folder, &name) == text, "{folder}/{name} is stale: run scripts/generate");
            }
        }
    }

    #[test]
    fn every_option_is_in_the_page_of_its_command() {
        let definition = definition();
        for command in definition.get_subcommands() {
            let page = committed("man", &format!("resilient-{}.1", command.get_name()));
            for option in command.get_arguments().filter(|option| !option.is_hide_set()) {
                if let Some(long) = option.get_long() {
                    assert!(
                        page.contains(&format!("\\-\\-{}", long.replace('-', "\\-"))),
                        "{}: --{long}",
                        command.get_name()
                    );
                }
            }
        }
    }

    #[test]
    fn the_page_has_the_table_of_exit_codes() {
        let page = committed("man", "resilient.1");
        let section = page.split(".SH ").find(|section| section.starts_with("\"EXIT STATUS\"")).unwrap();
        let rows: Vec<(String, bool)> = section
            .split(".TP\n")
            .skip(1)
            .map(|row| row.lines().next().unwrap().trim_start_matches(".B ").trim_matches('"'))
            .map(|head| (head.trim_end_matches(" T").to_owned(), head.ends_with(" T")))
            .collect();
        let known = Class::ALL.iter().map(|class| {
            let code = if *class == Class::Interrupted { "128+N".to_owned() } else { class.code().to_string() };
            (code, class.is_transient())
        });
        assert_eq!(rows, known.collect::<Vec<_>>());
    }

    #[test]
    fn an_unknown_kind_is_none() {
        assert!(generate("tcsh").is_none() && generate("").is_none());
    }
}
