//! The options that a file or a variable may set.
//!
//! Invariant: each of them says how a transfer is done (rates, ports, keys, transport, parity, spans of time, what is shown), so that
//! a script does the same on every host. What is not in the list is refused, by name where the program has it: a new option has to be
//! put here on purpose. `insecure` never is: it holds for one command that a person typed.

/// Long names, sorted.
pub(in crate::cli) const HOW: &[&str] = &[
    "accept-new",
    "bwlimit",
    "ca",
    "cert",
    "cert-key",
    "color",
    "compress",
    "contimeout",
    "fsync",
    "identity",
    "link",
    "listen",
    "lock-wait",
    "log-file",
    "max-chunk-rate",
    "metrics-file",
    "parity",
    "peer-key",
    "port",
    "priority",
    "priority-for",
    "progress",
    "quiet",
    "remote-bin",
    "retry-for",
    "rsh",
    "state-dir",
    "stats",
    "ticket-life",
    "timeout",
    "transport",
    "verbose",
    "wait-for",
];

/// The variable for an option: `RESILIENT_RETRY_FOR` for `retry-for`.
pub(in crate::cli) fn variable(name: &str) -> String {
    format!("RESILIENT_{}", name.to_uppercase().replace('-', "_"))
}

/// Why the file may not set an option that the program has.
pub(super) fn refusal(name: &str) -> &'static str {
    match name {
        "insecure" => "holds for one command and can only be typed",
        "config" | "no-config" | "show-config" => "is about configuration files and cannot stand in one",
        "json" => "changes what stdout carries and can only be typed",
        _ => "says what to do, not how, and can only be typed: a script must mean the same on every host",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_has_nothing_that_says_what() {
        assert!(HOW.is_sorted());
        for name in
            ["insecure", "force", "rename", "skip-existing", "exclude", "filter", "delete", "output", "json", "config"]
        {
            assert!(!HOW.contains(&name), "{name}");
            assert!(!refusal(name).is_empty());
        }
    }

    #[test]
    fn variables_are_named_by_rule() {
        assert_eq!(variable("retry-for"), "RESILIENT_RETRY_FOR");
    }
}
