# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_resilient_global_optspecs
    string join \n identity= v/verbose q/quiet json= progress= stats color= log-file= metrics-file= config= no-config show-config h/help V/version
end

function __fish_resilient_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_resilient_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_resilient_using_subcommand
    set -l cmd (__fish_resilient_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c resilient -n "__fish_resilient_needs_command" -l identity -d 'This node\'s key [default: identity.key in the configuration folder, made on first use]' -r -F
complete -c resilient -n "__fish_resilient_needs_command" -l json -d 'Events as lines of JSON, on stdout or to FILE' -r -F
complete -c resilient -n "__fish_resilient_needs_command" -l progress -d 'Show progress: auto, always or never [default: auto, on a terminal]' -r -f -a "auto\t'Where it fits'
always\t'In any case'
never\t'Not at all'"
complete -c resilient -n "__fish_resilient_needs_command" -l color -d 'Colours: auto, always or never' -r -f -a "auto\t'Where it fits'
always\t'In any case'
never\t'Not at all'"
complete -c resilient -n "__fish_resilient_needs_command" -l log-file -d 'Append every message to FILE, one line each with its time' -r -F
complete -c resilient -n "__fish_resilient_needs_command" -l metrics-file -d 'Keep counters in FILE in the form of node_exporter\'s textfile collector' -r -F
complete -c resilient -n "__fish_resilient_needs_command" -l config -d 'Read FILE instead of this user\'s config.toml' -r -F
complete -c resilient -n "__fish_resilient_needs_command" -s v -l verbose -d 'Show files, summary and rates; -vv: decisions, too'
complete -c resilient -n "__fish_resilient_needs_command" -s q -l quiet -d 'Show errors only'
complete -c resilient -n "__fish_resilient_needs_command" -l stats -d 'Print a table of counters at the end'
complete -c resilient -n "__fish_resilient_needs_command" -l no-config -d 'Read no configuration file'
complete -c resilient -n "__fish_resilient_needs_command" -l show-config -d 'Print each setting, its value and where it comes from, and do nothing else'
complete -c resilient -n "__fish_resilient_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c resilient -n "__fish_resilient_needs_command" -s V -l version -d 'Print version'
complete -c resilient -n "__fish_resilient_needs_command" -f -a "send" -d 'Send files and directories to a waiting `recv`'
complete -c resilient -n "__fish_resilient_needs_command" -f -a "recv" -d 'Print a ticket and wait for one send'
complete -c resilient -n "__fish_resilient_needs_command" -f -a "key" -d 'Show the identity of this node'
complete -c resilient -n "__fish_resilient_using_subcommand send" -l name -d 'Name at the receiver of what comes in on stdin (`-`)' -r
complete -c resilient -n "__fish_resilient_using_subcommand send" -l stop-after -d 'Stop after this time (90m, 2h); the same command goes on from there' -r
complete -c resilient -n "__fish_resilient_using_subcommand send" -l max-transfer -d 'Stop before more file bytes than this cross the network' -r
complete -c resilient -n "__fish_resilient_using_subcommand send" -l ticket-file -d 'Read the ticket from FILE, `-` for stdin [or RESILIENT_TICKET]' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand send" -l contimeout -d 'How long a usable connection may take, 0 for no limit' -r
complete -c resilient -n "__fish_resilient_using_subcommand send" -l retry-for -d 'Keep probing a silent path for this long, or `forever`' -r
complete -c resilient -n "__fish_resilient_using_subcommand send" -l identity -d 'This node\'s key [default: identity.key in the configuration folder, made on first use]' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand send" -l json -d 'Events as lines of JSON, on stdout or to FILE' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand send" -l progress -d 'Show progress: auto, always or never [default: auto, on a terminal]' -r -f -a "auto\t'Where it fits'
always\t'In any case'
never\t'Not at all'"
complete -c resilient -n "__fish_resilient_using_subcommand send" -l color -d 'Colours: auto, always or never' -r -f -a "auto\t'Where it fits'
always\t'In any case'
never\t'Not at all'"
complete -c resilient -n "__fish_resilient_using_subcommand send" -l log-file -d 'Append every message to FILE, one line each with its time' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand send" -l metrics-file -d 'Keep counters in FILE in the form of node_exporter\'s textfile collector' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand send" -l config -d 'Read FILE instead of this user\'s config.toml' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand send" -s r -d 'Send directories whole (always done)'
complete -c resilient -n "__fish_resilient_using_subcommand send" -s p -d 'Preserve times and modes (always done)'
complete -c resilient -n "__fish_resilient_using_subcommand send" -s 4 -d 'Use IPv4 only'
complete -c resilient -n "__fish_resilient_using_subcommand send" -s 6 -d 'Use IPv6 only'
complete -c resilient -n "__fish_resilient_using_subcommand send" -s v -l verbose -d 'Show files, summary and rates; -vv: decisions, too'
complete -c resilient -n "__fish_resilient_using_subcommand send" -s q -l quiet -d 'Show errors only'
complete -c resilient -n "__fish_resilient_using_subcommand send" -l stats -d 'Print a table of counters at the end'
complete -c resilient -n "__fish_resilient_using_subcommand send" -l no-config -d 'Read no configuration file'
complete -c resilient -n "__fish_resilient_using_subcommand send" -l show-config -d 'Print each setting, its value and where it comes from, and do nothing else'
complete -c resilient -n "__fish_resilient_using_subcommand send" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l listen -d 'Wait on this UDP port, 0 for any [default: 27183 on all addresses, any if it is taken]' -r
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l ticket-life -d 'How long the ticket can be used' -r
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l retry-for -d 'Keep probing a silent path for this long, or `forever`' -r
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l identity -d 'This node\'s key [default: identity.key in the configuration folder, made on first use]' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l json -d 'Events as lines of JSON, on stdout or to FILE' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l progress -d 'Show progress: auto, always or never [default: auto, on a terminal]' -r -f -a "auto\t'Where it fits'
always\t'In any case'
never\t'Not at all'"
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l color -d 'Colours: auto, always or never' -r -f -a "auto\t'Where it fits'
always\t'In any case'
never\t'Not at all'"
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l log-file -d 'Append every message to FILE, one line each with its time' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l metrics-file -d 'Keep counters in FILE in the form of node_exporter\'s textfile collector' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l config -d 'Read FILE instead of this user\'s config.toml' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand recv" -s 4 -d 'Use IPv4 only'
complete -c resilient -n "__fish_resilient_using_subcommand recv" -s 6 -d 'Use IPv6 only'
complete -c resilient -n "__fish_resilient_using_subcommand recv" -s v -l verbose -d 'Show files, summary and rates; -vv: decisions, too'
complete -c resilient -n "__fish_resilient_using_subcommand recv" -s q -l quiet -d 'Show errors only'
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l stats -d 'Print a table of counters at the end'
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l no-config -d 'Read no configuration file'
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l show-config -d 'Print each setting, its value and where it comes from, and do nothing else'
complete -c resilient -n "__fish_resilient_using_subcommand recv" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c resilient -n "__fish_resilient_using_subcommand key; and not __fish_seen_subcommand_from show" -l identity -d 'This node\'s key [default: identity.key in the configuration folder, made on first use]' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand key; and not __fish_seen_subcommand_from show" -l json -d 'Events as lines of JSON, on stdout or to FILE' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand key; and not __fish_seen_subcommand_from show" -l progress -d 'Show progress: auto, always or never [default: auto, on a terminal]' -r -f -a "auto\t'Where it fits'
always\t'In any case'
never\t'Not at all'"
complete -c resilient -n "__fish_resilient_using_subcommand key; and not __fish_seen_subcommand_from show" -l color -d 'Colours: auto, always or never' -r -f -a "auto\t'Where it fits'
always\t'In any case'
never\t'Not at all'"
complete -c resilient -n "__fish_resilient_using_subcommand key; and not __fish_seen_subcommand_from show" -l log-file -d 'Append every message to FILE, one line each with its time' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand key; and not __fish_seen_subcommand_from show" -l metrics-file -d 'Keep counters in FILE in the form of node_exporter\'s textfile collector' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand key; and not __fish_seen_subcommand_from show" -l config -d 'Read FILE instead of this user\'s config.toml' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand key; and not __fish_seen_subcommand_from show" -s v -l verbose -d 'Show files, summary and rates; -vv: decisions, too'
complete -c resilient -n "__fish_resilient_using_subcommand key; and not __fish_seen_subcommand_from show" -s q -l quiet -d 'Show errors only'
complete -c resilient -n "__fish_resilient_using_subcommand key; and not __fish_seen_subcommand_from show" -l stats -d 'Print a table of counters at the end'
complete -c resilient -n "__fish_resilient_using_subcommand key; and not __fish_seen_subcommand_from show" -l no-config -d 'Read no configuration file'
complete -c resilient -n "__fish_resilient_using_subcommand key; and not __fish_seen_subcommand_from show" -l show-config -d 'Print each setting, its value and where it comes from, and do nothing else'
complete -c resilient -n "__fish_resilient_using_subcommand key; and not __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c resilient -n "__fish_resilient_using_subcommand key; and not __fish_seen_subcommand_from show" -f -a "show" -d 'Print the node id, its spoken form and the file of the key'
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from show" -l identity -d 'This node\'s key [default: identity.key in the configuration folder, made on first use]' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from show" -l json -d 'Events as lines of JSON, on stdout or to FILE' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from show" -l progress -d 'Show progress: auto, always or never [default: auto, on a terminal]' -r -f -a "auto\t'Where it fits'
always\t'In any case'
never\t'Not at all'"
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from show" -l color -d 'Colours: auto, always or never' -r -f -a "auto\t'Where it fits'
always\t'In any case'
never\t'Not at all'"
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from show" -l log-file -d 'Append every message to FILE, one line each with its time' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from show" -l metrics-file -d 'Keep counters in FILE in the form of node_exporter\'s textfile collector' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from show" -l config -d 'Read FILE instead of this user\'s config.toml' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from show" -s v -l verbose -d 'Show files, summary and rates; -vv: decisions, too'
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Show errors only'
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from show" -l stats -d 'Print a table of counters at the end'
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from show" -l no-config -d 'Read no configuration file'
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from show" -l show-config -d 'Print each setting, its value and where it comes from, and do nothing else'
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
