//! `docs/events.schema.json` and `resilient-events(7)` against the lines of real runs: every line fits the schema, every field is in
//! the page.
//!
//! The checker knows as much of JSON schema as the file uses, and refuses a word that it does not know.

#![allow(clippy::unwrap_used, reason = "helpers of tests, not marked as tests themselves")]

use crate::process::{Place, dead_ticket};
use resilient::event::{Action, Event, EventPath, LimitedBy, Progress};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

fn file(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

fn schema() -> Value {
    serde_json::from_str(&file("docs/events.schema.json")).unwrap()
}

/// Whether `value` is of the JSON type `name`.
fn is(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "null" => value.is_null(),
        _ => panic!("the checker does not know the type {name}"),
    }
}

/// Why `value` does not fit `rule`.
fn check(root: &Value, rule: &Value, value: &Value) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("{what}: {value} does not fit {rule}"));
    for (word, wanted) in rule.as_object().unwrap() {
        let fits = match word.as_str() {
            "$schema" | "title" | "description" | "$defs" | "format" | "contentEncoding" => true,
            "type" => match wanted {
                Value::Array(names) => names.iter().any(|name| is(value, name.as_str().unwrap())),
                name => is(value, name.as_str().unwrap()),
            },
            "const" => value == wanted,
            "enum" => wanted.as_array().unwrap().contains(value),
            "minimum" => value.as_f64().is_none_or(|number| number >= wanted.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|number| number <= wanted.as_f64().unwrap()),
            "required" => wanted.as_array().unwrap().iter().all(|name| value.get(name.as_str().unwrap()).is_some()),
            "properties" => {
                for (name, rule) in wanted.as_object().unwrap() {
                    value.get(name).map_or(Ok(()), |value| check(root, rule, value))?;
                }
                true
            }
            "items" => {
                value.as_array().into_iter().flatten().try_for_each(|item| check(root, wanted, item))?;
                true
            }
            "oneOf" => wanted.as_array().unwrap().iter().filter(|rule| check(root, rule, value).is_ok()).count() == 1,
            "$ref" => {
                let pointer = wanted.as_str().unwrap().strip_prefix('#').unwrap();
                check(root, root.pointer(pointer).unwrap(), value)?;
                true
            }
            _ => panic!("the checker does not know {word}"),
        };
        if !fits {
            return wrong(word);
        }
    }
    Ok(())
}

/// The rule of an event.
fn rule<'a>(schema: &'a Value, event: &str) -> &'a Value {
    let mut rules = schema["oneOf"].as_array().unwrap().iter();
    rules.find(|rule| rule["properties"]["event"]["const"] == event).unwrap_or_else(|| panic!("no rule for {event}"))
}

/// Judges lines and gives the names of their events.
fn judge(lines: &str) -> Vec<String> {
    let schema = schema();
    let mut names = Vec::new();
    for line in lines.lines() {
        let value: Value = serde_json::from_str(line).unwrap();
        check(&schema, &schema, &value).unwrap();
        let name = value["event"].as_str().unwrap();
        let (all, own) = (&schema["properties"], &rule(&schema, name)["properties"]);
        for field in value.as_object().unwrap().keys() {
            assert!(all.get(field).is_some() || own.get(field).is_some(), "{name}: {field} is in no rule");
        }
        names.push(name.to_owned());
    }
    names
}

fn last(lines: &str) -> Value {
    serde_json::from_str(lines.lines().last().unwrap()).unwrap()
}

#[test]
fn real_runs_tell_what_is_written() {
    let mut seen = BTreeSet::new();
    let mut told = |lines: &str| seen.extend(judge(lines));
    let place = Place::new();
    place.write("source/a", vec![7; 300_000]);
    place.write("source/b", "b");
    place.write("inbox/b", "another one");

    let receiver = place.receiver("-vv --json=recv.json inbox");
    let sent = place.run(&format!("send -vv --json source/ missing {}", receiver.ticket));
    let received = receiver.ended();
    assert_eq!(sent.code(), Some(23), "{sent:?}");
    told(&sent.out);
    told(&place.read("recv.json"));
    let end = last(&sent.out);
    assert_eq!((end["event"].as_str(), end["resumable"].as_bool()), (Some("end"), Some(false)));
    assert!(received.code() == Some(23) && end["session"] == last(&place.read("recv.json"))["session"], "{received:?}");

    let failed = place.run(&format!("send --json --contimeout 1 source {}", dead_ticket()));
    told(&failed.out);
    let end = last(&failed.out);
    assert_eq!((failed.code(), end["exit"].as_i64(), end["resumable"].as_bool()), (Some(35), Some(35), Some(true)));
    // Whom it would be with is part of a session's id.
    assert!(end["session"].is_null() && end["message"].is_string(), "{end}");

    let receiver = place.receiver("--json=signal.json inbox");
    kill_process(Pid::from_child(&receiver.child), Signal::TERM).unwrap();
    assert_eq!(receiver.ended().code(), None);
    told(&place.read("signal.json"));
    let end = last(&place.read("signal.json"));
    assert_eq!((end["exit"].as_i64(), end["class"].as_str()), (Some(143), Some("interrupted")));
    assert_eq!((end["resumable"].as_bool(), end["session"].is_null()), (Some(true), true));

    let planned = place.run("send --dry-run --json source 127.0.0.1:9");
    assert_eq!(planned.code(), Some(0), "{planned:?}");
    assert!(planned.out.contains(r#""action":"would_send""#), "{planned:?}");
    assert_eq!(last(&planned.out)["session"], Value::Null);
    told(&planned.out);
    told(&both_of_two(&place));

    let node = place.run("key show").out.lines().next().unwrap().to_owned();
    for words in
        [format!("trust {node}@host:9000 base"), format!("allow {node} --dir in --quota 1G --expire 2099-12-31")]
    {
        assert_eq!(place.run(&format!("key {words}")).code(), Some(0), "{words}");
    }
    let listed = place.run("key list --json").out;
    assert_eq!(judge(&listed), ["known_node", "allowed_node"]);
    told(&listed);
    told(&place.run("key show --json").out);
    told(&place.run("send --show-config --json --stats").out);
    told(&place.run("resume --list --json").out);
    let schema = schema();
    let ruled = schema["oneOf"].as_array().unwrap().iter().map(|rule| rule["properties"]["event"]["const"].as_str());
    let unseen: Vec<&str> = ruled.flatten().filter(|name| !seen.contains(*name)).collect();
    // A run that is over within a second tells no progress, nothing that it would try again, and of nothing that went meanwhile.
    assert!(
        unseen.iter().all(|name| ["progress", "detail", "note", "warning", "retry", "gone"].contains(name)),
        "no run told {unseen:?}"
    );
}

/// Two transfers into a receiver of two, and what all of them told.
fn both_of_two(place: &Place) -> String {
    place.write("again/b", "b");
    let mut receiver =
        place.command("recv --listen 127.0.0.1:0 --count 2 --skip-existing --json=two.json two").spawn().unwrap();
    let mut tickets = BufReader::new(receiver.stdout.take().unwrap()).lines();
    let mut senders = String::new();
    for _ in 0..2 {
        let ticket = tickets.next().unwrap().unwrap();
        let sent = place.run(&format!("send --bwlimit 100m --json again/ {ticket}"));
        assert_eq!(sent.code(), Some(0), "{sent:?}");
        senders.push_str(&sent.out);
    }
    assert!(receiver.wait().unwrap().success());
    let lines = place.read("two.json");
    let of = |event: &str| -> Vec<Value> {
        let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["event"] == event).collect()
    };
    let (files, ends) = (of("file"), of("session_end"));
    assert_eq!((files.len(), ends.len()), (2, 2), "{lines}");
    for (file, end) in files.iter().zip(&ends) {
        assert!(file["session"].is_string() && file["session"] == end["session"], "{file} {end}");
    }
    assert_eq!((&files[0]["action"], &files[1]["action"]), (&"transferred".into(), &"skipped".into()));
    assert!(of("ticket").iter().all(|line| line.get("session").is_none()));
    senders + &lines
}

#[test]
fn what_seldom_happens_fits_as_well() {
    let progress = Event::Progress(Progress { loss: 0.3, eta_ms: Some(1), ..Progress::default() });
    let retry = Event::Retry { attempt: 2, in_ms: 3000, cause: "busy".into() };
    let received = Event::Limit { rate: 1, by: LimitedBy::Receiver };
    let skipped = Event::File { path: EventPath(vec![0xff]), action: Action::Skipped, bytes: 1 };
    let events = [
        progress,
        retry,
        received,
        skipped,
        Event::Detail { message: "x".into() },
        Event::Unsent { files: 1 },
        Event::Gone { files: 1 },
    ];
    let lines = events.iter().map(|event| {
        let mut line = serde_json::to_value(event).unwrap();
        let fields = line.as_object_mut().unwrap();
        fields.extend([
            ("v".to_owned(), 1.into()),
            ("t".to_owned(), "x".into()),
            ("session".to_owned(), "7f3a".into()),
        ]);
        format!("{line}\n")
    });
    assert_eq!(judge(&lines.collect::<String>()).len(), events.len());
}

#[test]
fn an_end_after_a_failure_tells_what_was_reached() {
    let place = Place::new();
    let receiver = place.receiver("--json=recv.json --retry-for 1 inbox");
    // A pipe that nobody writes to keeps both sides in the middle of a transfer.
    let mut sender = place.command(&format!("send --json=send.json - --name never {}", receiver.ticket));
    let mut sender = sender.stdin(std::process::Stdio::piped()).spawn().unwrap();
    // Held to the end: waiting for a child closes its stdin, which would complete what is sent.
    let _pipe = sender.stdin.take();
    while !std::fs::read_to_string(place.path("recv.json")).unwrap().contains("\"event\":\"connected\"") {
        assert!(sender.try_wait().unwrap().is_none(), "the sender has ended");
        std::thread::yield_now();
    }
    kill_process(Pid::from_child(&sender), Signal::INT).unwrap();
    assert_eq!(sender.wait().unwrap().code(), None);
    let received = receiver.ended();
    for name in ["send.json", "recv.json"] {
        judge(&place.read(name));
        let end = last(&place.read(name));
        assert_eq!(end["resumable"].as_bool(), Some(true), "{name}: {end} {received:?}");
        assert!(end["session"].is_string() && end["bytes_sent"].as_u64().unwrap() > 0, "{name}: {end}");
    }
}

#[test]
fn the_page_has_every_event_and_field() {
    let page = file("man/resilient-events.7");
    for rule in schema()["oneOf"].as_array().unwrap() {
        let properties = rule["properties"].as_object().unwrap();
        let name = properties["event"]["const"].as_str().unwrap();
        let section = page.split("\n.SS ").find(|section| section.lines().next() == Some(name));
        let section = section.unwrap_or_else(|| panic!("{name} has no section"));
        for field in properties.keys().filter(|field| *field != "event") {
            assert!(section.contains(&format!(".TP\n.B {field}\n")), "{name}: {field} is not in the page");
        }
    }
    let before = page.split("\n.SS ").next().unwrap();
    for field in schema()["properties"].as_object().unwrap().keys() {
        assert!(before.contains(&format!(".TP\n.B {field}\n")), "{field} is not in the page");
    }
    let mut sections: Vec<&str> = page.split("\n.SS ").skip(1).map(|section| section.lines().next().unwrap()).collect();
    sections.retain(|name| rule(&schema(), name).is_object());
    assert!(sections.len() >= 18);
}

#[test]
fn the_schema_has_every_class() {
    let schema = schema();
    let named: Vec<&str> =
        schema["$defs"]["class"]["enum"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let known: Vec<&str> = resilient::class::Class::ALL.iter().map(|class| class.word()).collect();
    assert_eq!(named, known);
    let page = file("man/resilient-events.7");
    assert!(known.iter().all(|word| page.contains(word)));
}

#[test]
fn the_checker_can_refuse() {
    let schema = schema();
    for line in [
        r#"{"v":2,"t":"x","event":"ticket","uri":"x"}"#,
        r#"{"v":1,"t":"x","event":"ticket"}"#,
        r#"{"v":1,"t":"x","event":"nothing"}"#,
        r#"{"v":1,"t":"x","event":"plan","files":-1,"bytes":0}"#,
        r#"{"v":1,"t":"x","event":"file","path":"a","action":"transferred","bytes":0}"#,
    ] {
        assert!(check(&schema, &schema, &serde_json::from_str(line).unwrap()).is_err(), "{line}");
    }
}
