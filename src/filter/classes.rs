//! Which class of urgency a file belongs to, by patterns: `--priority-for PATTERN=CLASS`.
//!
//! The first rule that matches decides, as with filters; what matches a directory goes for everything in it. No match: the class of
//! the whole transfer.

use super::Pattern;
use crate::priority::Priority;

/// The rules, in their order.
#[derive(Clone, Debug, Default)]
pub struct Classes {
    rules: Vec<(Pattern, Priority)>,
    otherwise: Priority,
}

impl Classes {
    /// Rules, and the class of what none of them matches.
    pub fn new(rules: Vec<(Pattern, Priority)>, otherwise: Priority) -> Self {
        Self { rules, otherwise }
    }

    /// The class of the transfer as a whole.
    pub fn otherwise(&self) -> Priority {
        self.otherwise
    }

    /// The class of the file at `path`, which is relative to the root of the transfer, components separated by single `/`.
    pub fn of(&self, path: &[u8]) -> Priority {
        let above = || path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &path[..at]);
        let fits = |pattern: &Pattern| pattern.matches(path, false) || above().any(|path| pattern.matches(path, true));
        self.rules.iter().find(|(pattern, _)| fits(pattern)).map_or(self.otherwise, |(_, class)| *class)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_decides_and_a_directory_stands_for_what_is_in_it() {
        let rules = [("*.db", Priority::Critical), ("/logs/", Priority::Normal), ("*.log", Priority::High)];
        let rules = rules.map(|(text, class)| (Pattern::new(text.as_bytes()).unwrap(), class));
        let classes = Classes::new(rules.to_vec(), Priority::High);
        let table = [
            ("a.db", Priority::Critical),
            ("logs/a.db", Priority::Critical),
            ("logs/x/a.log", Priority::Normal),
            ("x/logs/a.log", Priority::High),
            ("logs", Priority::High),
            ("a", Priority::High),
        ];
        for (path, class) in table {
            assert_eq!(classes.of(path.as_bytes()), class, "{path}");
        }
        assert_eq!(Classes::default().of(b"a"), Priority::Normal);
    }
}
