//! Options of a command that waits to be dialled, and how its tickets are shown besides stdout: in a file, as a QR code.
//!
//! Invariant: the file has mode 0600 before anything stands in it and is whole whenever somebody reads it; a ticket that cannot be shown
//! as asked ends the command, because nobody would come.

use super::exit::Failure;
use super::output::{self, escape};
use super::span;
use crate::class::Class;
use crate::event::{Event, Observer, SessionTag};
use crate::pipeline;
use clap::Args;
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::watch;

const TICKET_LIFE: Duration = Duration::from_secs(3600);

/// The options as typed.
#[derive(Args, Debug)]
#[group(skip)]
#[command(next_help_heading = "Connect")]
pub(super) struct Flags {
    /// How long a ticket can be used [default: 1h]
    #[arg(long, value_name = "SPAN", value_parser = span::some_time, help_heading = "Connect", hide_short_help = true)]
    ticket_life: Option<Duration>,
    /// How long to wait for the other side to come
    #[arg(long, value_name = "SPAN", value_parser = span::some_time, help_heading = "Connect", hide_short_help = true)]
    pub(super) wait_for: Option<Duration>,
    /// Show the ticket as a QR code on stderr, too
    #[arg(long, help_heading = "Connect", hide_short_help = true)]
    qr: bool,
}

impl Flags {
    pub(super) fn ticket_life(&self) -> Duration {
        self.ticket_life.unwrap_or(TICKET_LIFE)
    }

    pub(super) fn show(&self, file: Option<PathBuf>) -> Show {
        Show { file, qr: self.qr }
    }

    /// Which of them were typed.
    pub(super) fn typed(&self) -> [(&'static str, bool); 3] {
        [("--ticket-life", self.ticket_life.is_some()), ("--wait-for", self.wait_for.is_some()), ("--qr", self.qr)]
    }
}

/// How tickets are shown besides stdout.
#[derive(Clone, Debug, Default)]
pub(super) struct Show {
    pub(super) file: Option<PathBuf>,
    pub(super) qr: bool,
}

/// The observer of a command that waits: it shows each ticket before anybody else hears of it.
pub(super) struct Invitation {
    shower: Arc<Shower>,
    cancel: pipeline::Cancel,
}

struct Shower {
    show: Show,
    observer: Arc<dyn Observer>,
    failed: OnceLock<Failure>,
    stop: watch::Sender<bool>,
}

impl Invitation {
    /// `cancel` ends the command, and so does a ticket that cannot be shown.
    pub(super) fn new(show: Show, observer: Arc<dyn Observer>, cancel: &pipeline::Cancel) -> Invitation {
        let (stop, either) = pipeline::Cancel::channel();
        let shower = Arc::new(Shower { show, observer, failed: OnceLock::new(), stop });
        let (told, weak) = (cancel.clone(), Arc::downgrade(&shower));
        tokio::spawn(async move {
            told.cancelled().await;
            if let Some(shower) = weak.upgrade() {
                shower.stop.send_replace(true);
            }
        });
        Invitation { shower, cancel: either }
    }

    pub(super) fn observer(&self) -> Arc<dyn Observer> {
        self.shower.clone()
    }

    pub(super) fn cancel(&self) -> pipeline::Cancel {
        self.cancel.clone()
    }

    /// Why a ticket could not be shown, if one could not.
    pub(super) fn failure(&self) -> Option<Failure> {
        self.shower.failed.get().cloned()
    }
}

impl Observer for Shower {
    fn event(&self, event: &Event) {
        if let Event::Ticket { uri } = event
            && let Err(failure) = self.show(uri)
        {
            if self.failed.set(failure).is_ok() {
                self.stop.send_replace(true);
            }
            return;
        }
        self.observer.event(event);
    }

    fn session_event(&self, session: &SessionTag, event: &Event) {
        self.observer.session_event(session, event);
    }
}

impl Shower {
    fn show(&self, uri: &str) -> Result<(), Failure> {
        if let Some(file) = &self.show.file {
            write_whole(file, uri).map_err(|error| {
                let name = escape::name(file.as_os_str().as_bytes());
                Failure::new(Class::FileIo, format!("{name}: {}", escape::cause(&error)))
            })?;
        }
        if self.show.qr {
            let code = qr(uri).map_err(|error| Failure::new(Class::Internal, format!("QR code: {error}")))?;
            output::to_stderr(&code)
                .map_err(|error| Failure::new(Class::FileIo, format!("stderr: {}", escape::cause(&error))))?;
        }
        Ok(())
    }
}

/// Writes the ticket beside `file` and gives it that name.
fn write_whole(file: &Path, uri: &str) -> io::Result<()> {
    let mut name = file.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(format!(".{}", std::process::id()));
    let beside = file.with_file_name(name);
    // One that a run of the same number left is of no use to anybody; whatever else has that name is not followed.
    let _ = std::fs::remove_file(&beside);
    let mut written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    let done = written.write_all(format!("{uri}\n").as_bytes()).and_then(|()| std::fs::rename(&beside, file));
    if done.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    done
}

/// Two modules a character, light on dark, as terminals are; with the quiet zone that readers need.
fn qr(text: &str) -> Result<String, qrcode::types::QrError> {
    let code = QrCode::with_error_correction_level(text, qrcode::EcLevel::L)?;
    let image = code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build();
    Ok(format!("{image}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_file_is_private_and_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("t");
        std::fs::write(&file, "something longer that was there before").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        write_whole(&file, "resilient://x").unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "resilient://x\n");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(write_whole(&folder.path().join("none/t"), "x").is_err());
    }

    #[test]
    fn a_code_is_a_square_of_half_blocks() {
        let code = qr(&"resilient://x".repeat(12)).unwrap();
        let lines: Vec<&str> = code.lines().collect();
        let width = lines[0].chars().count();
        assert!(lines.iter().all(|line| line.chars().count() == width));
        assert_eq!(lines.len(), width.div_ceil(2));
        assert!(code.contains('\u{2580}') && code.contains('\u{2584}'));
    }
}
