//! A setting's value, and the words that it is on a command line.
//!
//! What an option takes is read off its definition: a flag is true or false, a counted flag a number, an option that may be repeated a
//! list, any other one value. Whether the value is a good one is for clap to say.

use super::word;
use clap::{Arg, ArgAction, ArgMatches};
use std::ffi::OsString;
use toml::de::DeValue;

/// What was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// Given or not; also an option whose value may be left out.
    Flag(bool),
    /// How often.
    Count(u8),
    /// The values, one by one.
    Texts(Vec<OsString>),
}

impl Value {
    /// The words for it.
    pub(super) fn words(&self, name: &str) -> Vec<OsString> {
        let flag = || OsString::from(format!("--{name}"));
        match self {
            Value::Flag(given) => given.then(flag).into_iter().collect(),
            Value::Count(times) => (0..*times).map(|_| flag()).collect(),
            Value::Texts(texts) => texts.iter().map(|text| word(name, text)).collect(),
        }
    }

    /// The value in words.
    pub(super) fn shown(&self) -> OsString {
        match self {
            Value::Flag(given) => given.to_string().into(),
            Value::Count(times) => times.to_string().into(),
            Value::Texts(texts) => texts.join(std::ffi::OsStr::new(",")),
        }
    }

    /// A value in a file. The error says what is wanted.
    pub(super) fn from_toml(option: &Arg, value: &DeValue<'_>) -> Result<Value, String> {
        match option.get_action() {
            ArgAction::SetTrue | ArgAction::SetFalse => value.as_bool().map(Value::Flag),
            ArgAction::Count => match value {
                DeValue::Boolean(given) => Some(Value::Count((*given).into())),
                DeValue::Integer(number) => number.as_str().parse().ok().filter(|times| *times <= 9).map(Value::Count),
                _ => None,
            },
            ArgAction::Append => match value {
                DeValue::Array(items) => {
                    items.iter().map(|item| text(item.get_ref())).collect::<Option<_>>().map(Value::Texts)
                }
                value => text(value).map(|text| Value::Texts(vec![text])),
            },
            _ => match value {
                DeValue::Boolean(true) if may_be_bare(option) => Some(Value::Flag(true)),
                value => text(value).map(|text| Value::Texts(vec![text])),
            },
        }
        .ok_or_else(|| format!("{} is expected, not {}", wanted(option), named(value)))
    }

    /// A value in a variable.
    pub(super) fn from_text(option: &Arg, text: OsString) -> Result<Value, String> {
        let truth = match text.to_str() {
            Some("1" | "true" | "yes" | "on") => Some(true),
            Some("0" | "false" | "no" | "off") => Some(false),
            _ => None,
        };
        match option.get_action() {
            ArgAction::SetTrue | ArgAction::SetFalse => truth.map(Value::Flag),
            ArgAction::Count => {
                let number = text.to_str().and_then(|text| text.parse().ok()).filter(|times| *times <= 9);
                number.or(truth.map(u8::from)).map(Value::Count)
            }
            _ => return Ok(Value::Texts(vec![text])),
        }
        .ok_or_else(|| format!("{} is expected", wanted(option)))
    }
}

fn text(value: &DeValue<'_>) -> Option<OsString> {
    match value {
        DeValue::String(text) => Some(text.as_ref().into()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().into()),
        DeValue::Float(number) => Some(number.as_str().into()),
        _ => None,
    }
}

fn named(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) | DeValue::Float(_) => "that number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

/// What a file may give an option.
fn wanted(option: &Arg) -> &'static str {
    match option.get_action() {
        ArgAction::SetTrue | ArgAction::SetFalse => "true or false",
        ArgAction::Count => "a number from 0 to 9",
        ArgAction::Append => "a string or an array of strings",
        _ => "a string or a number",
    }
}

fn may_be_bare(option: &Arg) -> bool {
    option.get_num_args().is_some_and(|count| count.min_values() == 0)
}

/// The value that an option has in the end, `None` if it has none.
pub(super) fn shown(option: &Arg, matches: Option<&ArgMatches>) -> Option<OsString> {
    let id = option.get_id().as_str();
    match option.get_action() {
        ArgAction::SetTrue | ArgAction::SetFalse => {
            let given = matches.and_then(|matches| matches.try_get_one::<bool>(id).ok().flatten());
            Some(given.copied().unwrap_or(false).to_string().into())
        }
        ArgAction::Count => {
            let times = matches.and_then(|matches| matches.try_get_one::<u8>(id).ok().flatten());
            Some(times.copied().unwrap_or(0).to_string().into())
        }
        _ => {
            let typed = matches.and_then(|matches| matches.try_get_raw(id).ok().flatten());
            let values: Vec<OsString> = match typed {
                Some(values) => values.map(OsString::from).collect(),
                None => option.get_default_values().iter().map(|value| value.as_os_str().to_owned()).collect(),
            };
            (!values.is_empty()).then(|| values.join(std::ffi::OsStr::new(",")))
        }
    }
}
