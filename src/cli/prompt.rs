//! The one question that this program asks: whether an unknown key is the right one.
//!
//! Invariant: it is asked only where stdin and stderr are both terminals, so that no script ever waits for an answer; only the whole
//! word `yes` is a yes; the end of input is a no.

use crate::node_id::NodeId;
use std::io::{self, BufRead, IsTerminal as _, Write};

/// Unclear answers that are borne with.
const PATIENCE: usize = 3;

/// Whether there is somebody to ask.
pub(super) fn possible() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks whether `key` is the one of the node at `at`.
pub(super) async fn trust(at: String, key: NodeId) -> bool {
    let asked = tokio::task::spawn_blocking(move || ask(&at, key, &mut io::stdin().lock(), &mut io::stderr().lock()));
    asked.await.is_ok_and(|answer| answer.unwrap_or(false))
}

fn ask(at: &str, key: NodeId, input: &mut dyn BufRead, output: &mut dyn Write) -> io::Result<bool> {
    write!(
        output,
        "The node at {at} is not known. It has proved to hold the key\n  {key}\nto be compared aloud as\n  {}\n\
         (`resilient key show` prints both on that host). Trust it from now on? [yes/no] ",
        key.spoken()
    )?;
    for _ in 0..PATIENCE {
        output.flush()?;
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            writeln!(output)?;
            return Ok(false);
        }
        match line.trim().to_ascii_lowercase().as_str() {
            "yes" => return Ok(true),
            "no" | "n" => return Ok(false),
            _ => write!(output, "Please type yes or no: ")?,
        }
    }
    writeln!(output)?;
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_yes() {
        let key = NodeId::from_bytes([7; 32]);
        let answered = |text: &str| {
            let mut shown = Vec::new();
            let answer = ask("host:1", key, &mut text.as_bytes(), &mut shown).unwrap();
            (answer, String::from_utf8(shown).unwrap())
        };
        let (answer, shown) = answered("yes\n");
        assert!(
            answer && shown.contains("host:1") && shown.contains(&key.to_string()) && shown.contains(&key.spoken())
        );
        for (text, answer) in [
            ("YES\n", true),
            ("y\nyes\n", true),
            ("", false),
            ("no\nyes\n", false),
            ("y\n", false),
            ("\n\n\nyes\n", false),
        ] {
            assert_eq!(answered(text).0, answer, "{text:?}");
        }
    }
}
