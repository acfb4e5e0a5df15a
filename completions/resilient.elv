
use builtin;
use str;

set edit:completion:arg-completer[resilient] = {|@words|
    fn spaces {|n|
        builtin:repeat $n ' ' | str:join ''
    }
    fn cand {|text desc|
        edit:complex-candidate $text &display=$text' '(spaces (- 14 (wcswidth $text)))$desc
    }
    var command = 'resilient'
    for word $words[1..-1] {
        if (str:has-prefix $word '-') {
            break
        }
        set command = $command';'$word
    }
    var completions = [
        &'resilient'= {
            cand --identity 'This node''s key [default: identity.key in the configuration folder, made on first use]'
            cand --json 'Events as lines of JSON, on stdout or to FILE'
            cand --progress 'Show progress: auto, always or never [default: auto, on a terminal]'
            cand --color 'Colours: auto, always or never'
            cand --log-file 'Append every message to FILE, one line each with its time'
            cand --metrics-file 'Keep counters in FILE in the form of node_exporter''s textfile collector'
            cand --config 'Read FILE instead of this user''s config.toml'
            cand -v 'Show files, summary and rates; -vv: decisions, too'
            cand --verbose 'Show files, summary and rates; -vv: decisions, too'
            cand -q 'Show errors only'
            cand --quiet 'Show errors only'
            cand --stats 'Print a table of counters at the end'
            cand --no-config 'Read no configuration file'
            cand --show-config 'Print each setting, its value and where it comes from, and do nothing else'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
            cand send 'Send files and directories to a waiting `recv`'
            cand recv 'Print a ticket and wait for one send'
            cand key 'Show the identity of this node'
        }
        &'resilient;send'= {
            cand --name 'Name at the receiver of what comes in on stdin (`-`)'
            cand --stop-after 'Stop after this time (90m, 2h); the same command goes on from there'
            cand --max-transfer 'Stop before more file bytes than this cross the network'
            cand --ticket-file 'Read the ticket from FILE, `-` for stdin [or RESILIENT_TICKET]'
            cand --contimeout 'How long a usable connection may take, 0 for no limit'
            cand --retry-for 'Keep probing a silent path for this long, or `forever`'
            cand --identity 'This node''s key [default: identity.key in the configuration folder, made on first use]'
            cand --json 'Events as lines of JSON, on stdout or to FILE'
            cand --progress 'Show progress: auto, always or never [default: auto, on a terminal]'
            cand --color 'Colours: auto, always or never'
            cand --log-file 'Append every message to FILE, one line each with its time'
            cand --metrics-file 'Keep counters in FILE in the form of node_exporter''s textfile collector'
            cand --config 'Read FILE instead of this user''s config.toml'
            cand -r 'Send directories whole (always done)'
            cand -p 'Preserve times and modes (always done)'
            cand -4 'Use IPv4 only'
            cand -6 'Use IPv6 only'
            cand -v 'Show files, summary and rates; -vv: decisions, too'
            cand --verbose 'Show files, summary and rates; -vv: decisions, too'
            cand -q 'Show errors only'
            cand --quiet 'Show errors only'
            cand --stats 'Print a table of counters at the end'
            cand --no-config 'Read no configuration file'
            cand --show-config 'Print each setting, its value and where it comes from, and do nothing else'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'resilient;recv'= {
            cand --listen 'Wait on this UDP port, 0 for any [default: 27183 on all addresses, any if it is taken]'
            cand --ticket-life 'How long the ticket can be used'
            cand --retry-for 'Keep probing a silent path for this long, or `forever`'
            cand --identity 'This node''s key [default: identity.key in the configuration folder, made on first use]'
            cand --json 'Events as lines of JSON, on stdout or to FILE'
            cand --progress 'Show progress: auto, always or never [default: auto, on a terminal]'
            cand --color 'Colours: auto, always or never'
            cand --log-file 'Append every message to FILE, one line each with its time'
            cand --metrics-file 'Keep counters in FILE in the form of node_exporter''s textfile collector'
            cand --config 'Read FILE instead of this user''s config.toml'
            cand -4 'Use IPv4 only'
            cand -6 'Use IPv6 only'
            cand -v 'Show files, summary and rates; -vv: decisions, too'
            cand --verbose 'Show files, summary and rates; -vv: decisions, too'
            cand -q 'Show errors only'
            cand --quiet 'Show errors only'
            cand --stats 'Print a table of counters at the end'
            cand --no-config 'Read no configuration file'
            cand --show-config 'Print each setting, its value and where it comes from, and do nothing else'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'resilient;key'= {
            cand --identity 'This node''s key [default: identity.key in the configuration folder, made on first use]'
            cand --json 'Events as lines of JSON, on stdout or to FILE'
            cand --progress 'Show progress: auto, always or never [default: auto, on a terminal]'
            cand --color 'Colours: auto, always or never'
            cand --log-file 'Append every message to FILE, one line each with its time'
            cand --metrics-file 'Keep counters in FILE in the form of node_exporter''s textfile collector'
            cand --config 'Read FILE instead of this user''s config.toml'
            cand -v 'Show files, summary and rates; -vv: decisions, too'
            cand --verbose 'Show files, summary and rates; -vv: decisions, too'
            cand -q 'Show errors only'
            cand --quiet 'Show errors only'
            cand --stats 'Print a table of counters at the end'
            cand --no-config 'Read no configuration file'
            cand --show-config 'Print each setting, its value and where it comes from, and do nothing else'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand show 'Print the node id, its spoken form and the file of the key'
        }
        &'resilient;key;show'= {
            cand --identity 'This node''s key [default: identity.key in the configuration folder, made on first use]'
            cand --json 'Events as lines of JSON, on stdout or to FILE'
            cand --progress 'Show progress: auto, always or never [default: auto, on a terminal]'
            cand --color 'Colours: auto, always or never'
            cand --log-file 'Append every message to FILE, one line each with its time'
            cand --metrics-file 'Keep counters in FILE in the form of node_exporter''s textfile collector'
            cand --config 'Read FILE instead of this user''s config.toml'
            cand -v 'Show files, summary and rates; -vv: decisions, too'
            cand --verbose 'Show files, summary and rates; -vv: decisions, too'
            cand -q 'Show errors only'
            cand --quiet 'Show errors only'
            cand --stats 'Print a table of counters at the end'
            cand --no-config 'Read no configuration file'
            cand --show-config 'Print each setting, its value and where it comes from, and do nothing else'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
    ]
    $completions[$command]
}
