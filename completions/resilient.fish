# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_resilient_global_optspecs
    string join \n identity= v/verbose q/quiet json= progress= P stats color= log-file= metrics-file= config= no-config state-dir= show-config h/help V/version
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
complete -c resilient -n "__fish_resilient_needs_command" -l state-dir -d 'Remember transfers and tickets there [default: ~/.local/state/resilient]' -r -F
complete -c resilient -n "__fish_resilient_needs_command" -s v -l verbose -d 'Show files, summary and rates; -vv: decisions, too'
complete -c resilient -n "__fish_resilient_needs_command" -s q -l quiet -d 'Show errors only'
complete -c resilient -n "__fish_resilient_needs_command" -s P -d 'The same as --progress; unfinished files are kept in any case'
complete -c resilient -n "__fish_resilient_needs_command" -l stats -d 'Print a table of counters at the end'
complete -c resilient -n "__fish_resilient_needs_command" -l no-config -d 'Read no configuration file'
complete -c resilient -n "__fish_resilient_needs_command" -l show-config -d 'Print each setting, its value and where it comes from, and do nothing else'
complete -c resilient -n "__fish_resilient_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c resilient -n "__fish_resilient_needs_command" -s V -l version -d 'Print version'
complete -c resilient -n "__fish_resilient_needs_command" -f -a "send" -d 'Send files and directories to a waiting `recv`'
complete -c resilient -n "__fish_resilient_needs_command" -f -a "recv" -d 'Print a ticket and wait for one send'
complete -c resilient -n "__fish_resilient_needs_command" -f -a "resume" -d 'Go on with what broke off, or list what did'
complete -c resilient -n "__fish_resilient_needs_command" -f -a "sig" -d 'Sign a file: sums of its blocks, for `delta`'
complete -c resilient -n "__fish_resilient_needs_command" -f -a "delta" -d 'Say what makes a file of one that was signed'
complete -c resilient -n "__fish_resilient_needs_command" -f -a "patch" -d 'Make a file of an old one and a delta'
complete -c resilient -n "__fish_resilient_needs_command" -f -a "key" -d 'Identities: this node\'s, whom it dials, who may come in'
complete -c resilient -n "__fish_resilient_using_subcommand send" -l name -d 'Name at the receiver of what comes in on stdin (`-`)' -r
complete -c resilient -n "__fish_resilient_using_subcommand send" -l exclude -d 'Leave out what matches; the first match decides' -r -f
complete -c resilient -n "__fish_resilient_using_subcommand send" -l include -d 'Send what matches' -r -f
complete -c resilient -n "__fish_resilient_using_subcommand send" -s f -l filter -d 'A filter rule of rsync: \'- *.o\', \'merge FILE\'' -r -f
complete -c resilient -n "__fish_resilient_using_subcommand send" -l exclude-from -d 'Leave out what patterns in FILE match' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand send" -l include-from -d 'Send what patterns in FILE match' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand send" -l files-from -d 'Send only the paths in FILE, `-` for stdin' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand send" -l stop-after -d 'Stop after this time (90m, 2h); the same command goes on from there' -r
complete -c resilient -n "__fish_resilient_using_subcommand send" -l max-transfer -d 'Stop before more file bytes than this cross the network' -r
complete -c resilient -n "__fish_resilient_using_subcommand send" -l ticket-file -d 'Read the ticket from FILE, `-` for stdin [or RESILIENT_TICKET]' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand send" -l contimeout -d 'How long a usable connection may take, 0 for no limit' -r
complete -c resilient -n "__fish_resilient_using_subcommand send" -l listen -d 'With --offer: wait on this UDP port, 0 for any' -r
complete -c resilient -n "__fish_resilient_using_subcommand send" -l ticket-life -d 'How long a ticket can be used [default: 1h]' -r
complete -c resilient -n "__fish_resilient_using_subcommand send" -l wait-for -d 'How long to wait for the other side to come' -r
complete -c resilient -n "__fish_resilient_using_subcommand send" -l peer-key -d 'Accept only this node: its id, or a file that begins with it' -r
complete -c resilient -n "__fish_resilient_using_subcommand send" -l ca -d 'Check the peer\'s certificate and name by these authorities (PEM), or the system\'s' -r
complete -c resilient -n "__fish_resilient_using_subcommand send" -l cert -d 'Present this certificate (PEM, with its chain) instead of this node\'s key' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand send" -l cert-key -d 'The key of that certificate (PEM)' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand send" -l port -d 'Dial from this local UDP port, or the first free one of a range' -r
complete -c resilient -n "__fish_resilient_using_subcommand send" -l timeout -d 'After so long without a word try another connection as well, 0 for never [default: 60]' -r
complete -c resilient -n "__fish_resilient_using_subcommand send" -l retry-for -d 'Keep trying for this long to go on after the other side fell silent or broke off, or `forever`' -r
complete -c resilient -n "__fish_resilient_using_subcommand send" -l lock-wait -d 'Wait for this long while another run is at the same [default: 0]' -r
complete -c resilient -n "__fish_resilient_using_subcommand send" -l bwlimit -d 'Go no faster than RATE (KiB/s, or with a unit)' -r
complete -c resilient -n "__fish_resilient_using_subcommand send" -l link -d 'Reckon from the first packet on with a slow link of RATE (9.6kbit, 300B)' -r
complete -c resilient -n "__fish_resilient_using_subcommand send" -s z -l compress -d 'Compress: auto, none, lz4 or zstd[:LEVEL] [default: auto]' -r
complete -c resilient -n "__fish_resilient_using_subcommand send" -l max-chunk-rate -d 'Send at most N chunks a second, 0 for no limit' -r
complete -c resilient -n "__fish_resilient_using_subcommand send" -l parity -d 'Parity ahead of loss: auto, table, N on 50 data shards, or N% of all [default: auto]' -r
complete -c resilient -n "__fish_resilient_using_subcommand send" -l priority -d 'Class at the receiver and between files: critical, high or normal' -r
complete -c resilient -n "__fish_resilient_using_subcommand send" -l priority-for -d 'Class of the files that PATTERN fits; the first that does counts' -r
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
complete -c resilient -n "__fish_resilient_using_subcommand send" -l state-dir -d 'Remember transfers and tickets there [default: ~/.local/state/resilient]' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand send" -s r -d 'Send directories whole (always done)'
complete -c resilient -n "__fish_resilient_using_subcommand send" -s p -d 'Preserve times and modes (always done)'
complete -c resilient -n "__fish_resilient_using_subcommand send" -s 0 -l from0 -d 'Entries of all these files end with NUL'
complete -c resilient -n "__fish_resilient_using_subcommand send" -s n -l dry-run -d 'List what would be sent, and send nothing'
complete -c resilient -n "__fish_resilient_using_subcommand send" -l offer -d 'Print a ticket and wait for one `recv TICKET` instead of dialling'
complete -c resilient -n "__fish_resilient_using_subcommand send" -l qr -d 'Show the ticket as a QR code on stderr, too'
complete -c resilient -n "__fish_resilient_using_subcommand send" -l accept-new -d 'Trust an unknown node on first use, and remember its key'
complete -c resilient -n "__fish_resilient_using_subcommand send" -l insecure -d 'Encrypt without checking who answers, this time'
complete -c resilient -n "__fish_resilient_using_subcommand send" -s 4 -d 'Use IPv4 only'
complete -c resilient -n "__fish_resilient_using_subcommand send" -s 6 -d 'Use IPv6 only'
complete -c resilient -n "__fish_resilient_using_subcommand send" -l no-session -d 'Remember nothing of the transfer: what breaks off for good begins anew'
complete -c resilient -n "__fish_resilient_using_subcommand send" -l skip-if-locked -d 'While another run is at the same, do nothing, and call that a success'
complete -c resilient -n "__fish_resilient_using_subcommand send" -l no-compress -d 'Do not compress'
complete -c resilient -n "__fish_resilient_using_subcommand send" -s v -l verbose -d 'Show files, summary and rates; -vv: decisions, too'
complete -c resilient -n "__fish_resilient_using_subcommand send" -s q -l quiet -d 'Show errors only'
complete -c resilient -n "__fish_resilient_using_subcommand send" -s P -d 'The same as --progress; unfinished files are kept in any case'
complete -c resilient -n "__fish_resilient_using_subcommand send" -l stats -d 'Print a table of counters at the end'
complete -c resilient -n "__fish_resilient_using_subcommand send" -l no-config -d 'Read no configuration file'
complete -c resilient -n "__fish_resilient_using_subcommand send" -l show-config -d 'Print each setting, its value and where it comes from, and do nothing else'
complete -c resilient -n "__fish_resilient_using_subcommand send" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l max-size -d 'Refuse a transfer of more bytes' -r
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l max-files -d 'Refuse a transfer of more files' -r
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l accept -d 'Take only files that match; repeat for more' -r
complete -c resilient -n "__fish_resilient_using_subcommand recv" -s o -l output -d 'Write the one file that comes to FILE, `-` for stdout' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l partial-dir -d 'Keep unfinished files there: a name below DIR or an absolute path [default: .resilient-partial]' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l stop-after -d 'Stop after this time (90m, 2h); the same command goes on from there' -r
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l max-transfer -d 'Stop before more file bytes than this cross the network' -r
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l bwlimit -d 'Go no faster than RATE (KiB/s, or with a unit)' -r
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l link -d 'Reckon from the first packet on with a slow link of RATE (9.6kbit, 300B)' -r
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l count -d 'Receive N transfers, several at a time, each with a ticket of its own' -r
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l ticket-life -d 'How long a ticket can be used [default: 1h]' -r
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l wait-for -d 'How long to wait for the other side to come' -r
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l ticket-file -d 'Write the ticket to FILE, too, readable by this user only' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l contimeout -d 'How long a usable connection to a `send --offer` may take or, waiting, the first word of a peer that has connected; 0 for no limit' -r
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l listen -d 'Wait on this UDP port, 0 for any [default: 27183 on all addresses, any if it is taken]' -r
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l peer-key -d 'Accept only this node: its id, or a file that begins with it' -r
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l ca -d 'Check the peer\'s certificate and name by these authorities (PEM), or the system\'s' -r
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l cert -d 'Present this certificate (PEM, with its chain) instead of this node\'s key' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l cert-key -d 'The key of that certificate (PEM)' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l port -d 'Dial from this local UDP port, or the first free one of a range' -r
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l timeout -d 'After so long without a word try another connection as well, 0 for never [default: 60]' -r
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l retry-for -d 'Keep trying for this long to go on after the other side fell silent or broke off, or `forever`' -r
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l lock-wait -d 'Wait for this long while another run is at the same [default: 0]' -r
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
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l state-dir -d 'Remember transfers and tickets there [default: ~/.local/state/resilient]' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand recv" -s f -l force -d 'Replace files and links that exist and are different'
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l skip-existing -d 'Leave what exists as it is'
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l rename -d 'Write `name (1)` where another `name` exists'
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l fsync -d 'Make sure that files are on the disk before they count as done (default)'
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l no-fsync -d 'Leave that to the system: faster, and a crash may cost what was received last'
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l once -d 'Receive one transfer (the default)'
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l keep -d 'Stay; only authorised keys are let in (`resilient key allow`)'
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l ticket -d 'With --keep: print tickets as well, a new one whenever one is used'
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l qr -d 'Show the ticket as a QR code on stderr, too'
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l accept-new -d 'Trust an unknown node on first use, and remember its key'
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l insecure -d 'Encrypt without checking who answers, this time'
complete -c resilient -n "__fish_resilient_using_subcommand recv" -s 4 -d 'Use IPv4 only'
complete -c resilient -n "__fish_resilient_using_subcommand recv" -s 6 -d 'Use IPv6 only'
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l no-session -d 'Remember nothing of the transfer: what breaks off for good begins anew'
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l skip-if-locked -d 'While another run is at the same, do nothing, and call that a success'
complete -c resilient -n "__fish_resilient_using_subcommand recv" -s v -l verbose -d 'Show files, summary and rates; -vv: decisions, too'
complete -c resilient -n "__fish_resilient_using_subcommand recv" -s q -l quiet -d 'Show errors only'
complete -c resilient -n "__fish_resilient_using_subcommand recv" -s P -d 'The same as --progress; unfinished files are kept in any case'
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l stats -d 'Print a table of counters at the end'
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l no-config -d 'Read no configuration file'
complete -c resilient -n "__fish_resilient_using_subcommand recv" -l show-config -d 'Print each setting, its value and where it comes from, and do nothing else'
complete -c resilient -n "__fish_resilient_using_subcommand recv" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c resilient -n "__fish_resilient_using_subcommand resume" -l older-than -d 'Only what was not touched for this long (with --all, --list, --forget)' -r
complete -c resilient -n "__fish_resilient_using_subcommand resume" -l stop-after -d 'Stop after this time (90m, 2h); the same command goes on from there' -r
complete -c resilient -n "__fish_resilient_using_subcommand resume" -l max-transfer -d 'Stop before more file bytes than this cross the network' -r
complete -c resilient -n "__fish_resilient_using_subcommand resume" -l bwlimit -d 'Go no faster than RATE (KiB/s, or with a unit)' -r
complete -c resilient -n "__fish_resilient_using_subcommand resume" -l link -d 'Reckon from the first packet on with a slow link of RATE (9.6kbit, 300B)' -r
complete -c resilient -n "__fish_resilient_using_subcommand resume" -l contimeout -d 'How long a usable connection may take, 0 for no limit [default: as typed then]' -r
complete -c resilient -n "__fish_resilient_using_subcommand resume" -l timeout -d 'After so long without a word try another connection as well, 0 for never [default: as typed then]' -r
complete -c resilient -n "__fish_resilient_using_subcommand resume" -l retry-for -d 'Keep trying for this long to go on after the other side fell silent or broke off [default: as typed then]' -r
complete -c resilient -n "__fish_resilient_using_subcommand resume" -l lock-wait -d 'Wait for this long while another run is at the same [default: 0]' -r
complete -c resilient -n "__fish_resilient_using_subcommand resume" -l identity -d 'This node\'s key [default: identity.key in the configuration folder, made on first use]' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand resume" -l json -d 'Events as lines of JSON, on stdout or to FILE' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand resume" -l progress -d 'Show progress: auto, always or never [default: auto, on a terminal]' -r -f -a "auto\t'Where it fits'
always\t'In any case'
never\t'Not at all'"
complete -c resilient -n "__fish_resilient_using_subcommand resume" -l color -d 'Colours: auto, always or never' -r -f -a "auto\t'Where it fits'
always\t'In any case'
never\t'Not at all'"
complete -c resilient -n "__fish_resilient_using_subcommand resume" -l log-file -d 'Append every message to FILE, one line each with its time' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand resume" -l metrics-file -d 'Keep counters in FILE in the form of node_exporter\'s textfile collector' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand resume" -l config -d 'Read FILE instead of this user\'s config.toml' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand resume" -l state-dir -d 'Remember transfers and tickets there [default: ~/.local/state/resilient]' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand resume" -l all -d 'Go on with everything that does not wait for somebody to come'
complete -c resilient -n "__fish_resilient_using_subcommand resume" -l list -d 'Show what broke off; with -v also what is complete'
complete -c resilient -n "__fish_resilient_using_subcommand resume" -l forget -d 'Give up what was begun, and take away its unfinished files'
complete -c resilient -n "__fish_resilient_using_subcommand resume" -l skip-if-locked -d 'While another run is at the same, do nothing, and call that a success'
complete -c resilient -n "__fish_resilient_using_subcommand resume" -s v -l verbose -d 'Show files, summary and rates; -vv: decisions, too'
complete -c resilient -n "__fish_resilient_using_subcommand resume" -s q -l quiet -d 'Show errors only'
complete -c resilient -n "__fish_resilient_using_subcommand resume" -s P -d 'The same as --progress; unfinished files are kept in any case'
complete -c resilient -n "__fish_resilient_using_subcommand resume" -l stats -d 'Print a table of counters at the end'
complete -c resilient -n "__fish_resilient_using_subcommand resume" -l no-config -d 'Read no configuration file'
complete -c resilient -n "__fish_resilient_using_subcommand resume" -l show-config -d 'Print each setting, its value and where it comes from, and do nothing else'
complete -c resilient -n "__fish_resilient_using_subcommand resume" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c resilient -n "__fish_resilient_using_subcommand sig" -s b -l block-size -d 'Bytes of a block [default: √length / 4, a power of two from 1K on; 4K of a stream]' -r
complete -c resilient -n "__fish_resilient_using_subcommand sig" -s S -l sum-size -d 'Bytes of a block\'s strong sum [default: what makes a false match improbable]' -r
complete -c resilient -n "__fish_resilient_using_subcommand sig" -l format -d 'resilient, or rdiff for a signature that rdiff reads' -r -f -a "resilient\t'Our own'
rdiff\t'librsync\'s'"
complete -c resilient -n "__fish_resilient_using_subcommand sig" -s R -l rollsum -d 'With --format rdiff: its weak sum, rabinkarp or (for before 2.2) rollsum [default: rabinkarp]' -r -f -a "rabinkarp\t''
rollsum\t''"
complete -c resilient -n "__fish_resilient_using_subcommand sig" -l salt -d '`random`, or 32 hexadecimal digits, to mix into the sums [default: the same for the same file]' -r
complete -c resilient -n "__fish_resilient_using_subcommand sig" -l identity -d 'This node\'s key [default: identity.key in the configuration folder, made on first use]' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand sig" -l json -d 'Events as lines of JSON, on stdout or to FILE' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand sig" -l progress -d 'Show progress: auto, always or never [default: auto, on a terminal]' -r -f -a "auto\t'Where it fits'
always\t'In any case'
never\t'Not at all'"
complete -c resilient -n "__fish_resilient_using_subcommand sig" -l color -d 'Colours: auto, always or never' -r -f -a "auto\t'Where it fits'
always\t'In any case'
never\t'Not at all'"
complete -c resilient -n "__fish_resilient_using_subcommand sig" -l log-file -d 'Append every message to FILE, one line each with its time' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand sig" -l metrics-file -d 'Keep counters in FILE in the form of node_exporter\'s textfile collector' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand sig" -l config -d 'Read FILE instead of this user\'s config.toml' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand sig" -l state-dir -d 'Remember transfers and tickets there [default: ~/.local/state/resilient]' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand sig" -s f -l force -d 'Overwrite SIGNATURE'
complete -c resilient -n "__fish_resilient_using_subcommand sig" -s s -d 'The same as --stats'
complete -c resilient -n "__fish_resilient_using_subcommand sig" -s v -l verbose -d 'Show files, summary and rates; -vv: decisions, too'
complete -c resilient -n "__fish_resilient_using_subcommand sig" -s q -l quiet -d 'Show errors only'
complete -c resilient -n "__fish_resilient_using_subcommand sig" -s P -d 'The same as --progress; unfinished files are kept in any case'
complete -c resilient -n "__fish_resilient_using_subcommand sig" -l stats -d 'Print a table of counters at the end'
complete -c resilient -n "__fish_resilient_using_subcommand sig" -l no-config -d 'Read no configuration file'
complete -c resilient -n "__fish_resilient_using_subcommand sig" -l show-config -d 'Print each setting, its value and where it comes from, and do nothing else'
complete -c resilient -n "__fish_resilient_using_subcommand sig" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c resilient -n "__fish_resilient_using_subcommand delta" -s z -l compress -d 'Compress what is new: zstd[:LEVEL], auto (zstd:1, the default) or none' -r
complete -c resilient -n "__fish_resilient_using_subcommand delta" -l format -d 'resilient, or rdiff for a delta that rdiff applies [default: as the signature]' -r -f -a "resilient\t'Our own'
rdiff\t'librsync\'s'"
complete -c resilient -n "__fish_resilient_using_subcommand delta" -l identity -d 'This node\'s key [default: identity.key in the configuration folder, made on first use]' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand delta" -l json -d 'Events as lines of JSON, on stdout or to FILE' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand delta" -l progress -d 'Show progress: auto, always or never [default: auto, on a terminal]' -r -f -a "auto\t'Where it fits'
always\t'In any case'
never\t'Not at all'"
complete -c resilient -n "__fish_resilient_using_subcommand delta" -l color -d 'Colours: auto, always or never' -r -f -a "auto\t'Where it fits'
always\t'In any case'
never\t'Not at all'"
complete -c resilient -n "__fish_resilient_using_subcommand delta" -l log-file -d 'Append every message to FILE, one line each with its time' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand delta" -l metrics-file -d 'Keep counters in FILE in the form of node_exporter\'s textfile collector' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand delta" -l config -d 'Read FILE instead of this user\'s config.toml' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand delta" -l state-dir -d 'Remember transfers and tickets there [default: ~/.local/state/resilient]' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand delta" -l no-compress -d 'Do not compress'
complete -c resilient -n "__fish_resilient_using_subcommand delta" -s f -l force -d 'Overwrite DELTA'
complete -c resilient -n "__fish_resilient_using_subcommand delta" -s s -d 'The same as --stats'
complete -c resilient -n "__fish_resilient_using_subcommand delta" -s v -l verbose -d 'Show files, summary and rates; -vv: decisions, too'
complete -c resilient -n "__fish_resilient_using_subcommand delta" -s q -l quiet -d 'Show errors only'
complete -c resilient -n "__fish_resilient_using_subcommand delta" -s P -d 'The same as --progress; unfinished files are kept in any case'
complete -c resilient -n "__fish_resilient_using_subcommand delta" -l stats -d 'Print a table of counters at the end'
complete -c resilient -n "__fish_resilient_using_subcommand delta" -l no-config -d 'Read no configuration file'
complete -c resilient -n "__fish_resilient_using_subcommand delta" -l show-config -d 'Print each setting, its value and where it comes from, and do nothing else'
complete -c resilient -n "__fish_resilient_using_subcommand delta" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c resilient -n "__fish_resilient_using_subcommand patch" -l max-output -d 'Make no more than SIZE bytes' -r
complete -c resilient -n "__fish_resilient_using_subcommand patch" -l format -d 'Take no delta that is not in this form, resilient or rdiff [default: either]' -r -f -a "resilient\t'Our own'
rdiff\t'librsync\'s'"
complete -c resilient -n "__fish_resilient_using_subcommand patch" -l identity -d 'This node\'s key [default: identity.key in the configuration folder, made on first use]' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand patch" -l json -d 'Events as lines of JSON, on stdout or to FILE' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand patch" -l progress -d 'Show progress: auto, always or never [default: auto, on a terminal]' -r -f -a "auto\t'Where it fits'
always\t'In any case'
never\t'Not at all'"
complete -c resilient -n "__fish_resilient_using_subcommand patch" -l color -d 'Colours: auto, always or never' -r -f -a "auto\t'Where it fits'
always\t'In any case'
never\t'Not at all'"
complete -c resilient -n "__fish_resilient_using_subcommand patch" -l log-file -d 'Append every message to FILE, one line each with its time' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand patch" -l metrics-file -d 'Keep counters in FILE in the form of node_exporter\'s textfile collector' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand patch" -l config -d 'Read FILE instead of this user\'s config.toml' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand patch" -l state-dir -d 'Remember transfers and tickets there [default: ~/.local/state/resilient]' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand patch" -l stream -d 'Write to stdout at once, before all of it is verified; a wrong result is found at its end, with exit status 40'
complete -c resilient -n "__fish_resilient_using_subcommand patch" -s f -l force -d 'Overwrite OUTPUT'
complete -c resilient -n "__fish_resilient_using_subcommand patch" -s s -d 'The same as --stats'
complete -c resilient -n "__fish_resilient_using_subcommand patch" -s v -l verbose -d 'Show files, summary and rates; -vv: decisions, too'
complete -c resilient -n "__fish_resilient_using_subcommand patch" -s q -l quiet -d 'Show errors only'
complete -c resilient -n "__fish_resilient_using_subcommand patch" -s P -d 'The same as --progress; unfinished files are kept in any case'
complete -c resilient -n "__fish_resilient_using_subcommand patch" -l stats -d 'Print a table of counters at the end'
complete -c resilient -n "__fish_resilient_using_subcommand patch" -l no-config -d 'Read no configuration file'
complete -c resilient -n "__fish_resilient_using_subcommand patch" -l show-config -d 'Print each setting, its value and where it comes from, and do nothing else'
complete -c resilient -n "__fish_resilient_using_subcommand patch" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c resilient -n "__fish_resilient_using_subcommand key; and not __fish_seen_subcommand_from show list trust allow forget" -l identity -d 'This node\'s key [default: identity.key in the configuration folder, made on first use]' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand key; and not __fish_seen_subcommand_from show list trust allow forget" -l json -d 'Events as lines of JSON, on stdout or to FILE' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand key; and not __fish_seen_subcommand_from show list trust allow forget" -l progress -d 'Show progress: auto, always or never [default: auto, on a terminal]' -r -f -a "auto\t'Where it fits'
always\t'In any case'
never\t'Not at all'"
complete -c resilient -n "__fish_resilient_using_subcommand key; and not __fish_seen_subcommand_from show list trust allow forget" -l color -d 'Colours: auto, always or never' -r -f -a "auto\t'Where it fits'
always\t'In any case'
never\t'Not at all'"
complete -c resilient -n "__fish_resilient_using_subcommand key; and not __fish_seen_subcommand_from show list trust allow forget" -l log-file -d 'Append every message to FILE, one line each with its time' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand key; and not __fish_seen_subcommand_from show list trust allow forget" -l metrics-file -d 'Keep counters in FILE in the form of node_exporter\'s textfile collector' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand key; and not __fish_seen_subcommand_from show list trust allow forget" -l config -d 'Read FILE instead of this user\'s config.toml' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand key; and not __fish_seen_subcommand_from show list trust allow forget" -l state-dir -d 'Remember transfers and tickets there [default: ~/.local/state/resilient]' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand key; and not __fish_seen_subcommand_from show list trust allow forget" -s v -l verbose -d 'Show files, summary and rates; -vv: decisions, too'
complete -c resilient -n "__fish_resilient_using_subcommand key; and not __fish_seen_subcommand_from show list trust allow forget" -s q -l quiet -d 'Show errors only'
complete -c resilient -n "__fish_resilient_using_subcommand key; and not __fish_seen_subcommand_from show list trust allow forget" -s P -d 'The same as --progress; unfinished files are kept in any case'
complete -c resilient -n "__fish_resilient_using_subcommand key; and not __fish_seen_subcommand_from show list trust allow forget" -l stats -d 'Print a table of counters at the end'
complete -c resilient -n "__fish_resilient_using_subcommand key; and not __fish_seen_subcommand_from show list trust allow forget" -l no-config -d 'Read no configuration file'
complete -c resilient -n "__fish_resilient_using_subcommand key; and not __fish_seen_subcommand_from show list trust allow forget" -l show-config -d 'Print each setting, its value and where it comes from, and do nothing else'
complete -c resilient -n "__fish_resilient_using_subcommand key; and not __fish_seen_subcommand_from show list trust allow forget" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c resilient -n "__fish_resilient_using_subcommand key; and not __fish_seen_subcommand_from show list trust allow forget" -f -a "show" -d 'Print the node id, its spoken form and the file of the key'
complete -c resilient -n "__fish_resilient_using_subcommand key; and not __fish_seen_subcommand_from show list trust allow forget" -f -a "list" -d 'Print whom this node dials (known) and who may come in (allowed)'
complete -c resilient -n "__fish_resilient_using_subcommand key; and not __fish_seen_subcommand_from show list trust allow forget" -f -a "trust" -d 'Remember the key of a node that this one dials'
complete -c resilient -n "__fish_resilient_using_subcommand key; and not __fish_seen_subcommand_from show list trust allow forget" -f -a "allow" -d 'Let a node come in'
complete -c resilient -n "__fish_resilient_using_subcommand key; and not __fish_seen_subcommand_from show list trust allow forget" -f -a "forget" -d 'Undo trust and allow'
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
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from show" -l state-dir -d 'Remember transfers and tickets there [default: ~/.local/state/resilient]' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from show" -s v -l verbose -d 'Show files, summary and rates; -vv: decisions, too'
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Show errors only'
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from show" -s P -d 'The same as --progress; unfinished files are kept in any case'
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from show" -l stats -d 'Print a table of counters at the end'
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from show" -l no-config -d 'Read no configuration file'
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from show" -l show-config -d 'Print each setting, its value and where it comes from, and do nothing else'
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from list" -l identity -d 'This node\'s key [default: identity.key in the configuration folder, made on first use]' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from list" -l json -d 'Events as lines of JSON, on stdout or to FILE' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from list" -l progress -d 'Show progress: auto, always or never [default: auto, on a terminal]' -r -f -a "auto\t'Where it fits'
always\t'In any case'
never\t'Not at all'"
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from list" -l color -d 'Colours: auto, always or never' -r -f -a "auto\t'Where it fits'
always\t'In any case'
never\t'Not at all'"
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from list" -l log-file -d 'Append every message to FILE, one line each with its time' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from list" -l metrics-file -d 'Keep counters in FILE in the form of node_exporter\'s textfile collector' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from list" -l config -d 'Read FILE instead of this user\'s config.toml' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from list" -l state-dir -d 'Remember transfers and tickets there [default: ~/.local/state/resilient]' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Show files, summary and rates; -vv: decisions, too'
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Show errors only'
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from list" -s P -d 'The same as --progress; unfinished files are kept in any case'
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from list" -l stats -d 'Print a table of counters at the end'
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from list" -l no-config -d 'Read no configuration file'
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from list" -l show-config -d 'Print each setting, its value and where it comes from, and do nothing else'
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from trust" -l identity -d 'This node\'s key [default: identity.key in the configuration folder, made on first use]' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from trust" -l json -d 'Events as lines of JSON, on stdout or to FILE' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from trust" -l progress -d 'Show progress: auto, always or never [default: auto, on a terminal]' -r -f -a "auto\t'Where it fits'
always\t'In any case'
never\t'Not at all'"
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from trust" -l color -d 'Colours: auto, always or never' -r -f -a "auto\t'Where it fits'
always\t'In any case'
never\t'Not at all'"
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from trust" -l log-file -d 'Append every message to FILE, one line each with its time' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from trust" -l metrics-file -d 'Keep counters in FILE in the form of node_exporter\'s textfile collector' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from trust" -l config -d 'Read FILE instead of this user\'s config.toml' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from trust" -l state-dir -d 'Remember transfers and tickets there [default: ~/.local/state/resilient]' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from trust" -s v -l verbose -d 'Show files, summary and rates; -vv: decisions, too'
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from trust" -s q -l quiet -d 'Show errors only'
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from trust" -s P -d 'The same as --progress; unfinished files are kept in any case'
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from trust" -l stats -d 'Print a table of counters at the end'
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from trust" -l no-config -d 'Read no configuration file'
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from trust" -l show-config -d 'Print each setting, its value and where it comes from, and do nothing else'
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from trust" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from allow" -l perm -d 'What for: recv, relay, admin' -r
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from allow" -l dir -d 'Where its files go [default: where recv was told]' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from allow" -l quota -d 'Most bytes of one transfer' -r
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from allow" -l expire -d 'The last day on which it is let in (UTC)' -r
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from allow" -l identity -d 'This node\'s key [default: identity.key in the configuration folder, made on first use]' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from allow" -l json -d 'Events as lines of JSON, on stdout or to FILE' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from allow" -l progress -d 'Show progress: auto, always or never [default: auto, on a terminal]' -r -f -a "auto\t'Where it fits'
always\t'In any case'
never\t'Not at all'"
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from allow" -l color -d 'Colours: auto, always or never' -r -f -a "auto\t'Where it fits'
always\t'In any case'
never\t'Not at all'"
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from allow" -l log-file -d 'Append every message to FILE, one line each with its time' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from allow" -l metrics-file -d 'Keep counters in FILE in the form of node_exporter\'s textfile collector' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from allow" -l config -d 'Read FILE instead of this user\'s config.toml' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from allow" -l state-dir -d 'Remember transfers and tickets there [default: ~/.local/state/resilient]' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from allow" -s v -l verbose -d 'Show files, summary and rates; -vv: decisions, too'
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from allow" -s q -l quiet -d 'Show errors only'
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from allow" -s P -d 'The same as --progress; unfinished files are kept in any case'
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from allow" -l stats -d 'Print a table of counters at the end'
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from allow" -l no-config -d 'Read no configuration file'
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from allow" -l show-config -d 'Print each setting, its value and where it comes from, and do nothing else'
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from allow" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from forget" -l identity -d 'This node\'s key [default: identity.key in the configuration folder, made on first use]' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from forget" -l json -d 'Events as lines of JSON, on stdout or to FILE' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from forget" -l progress -d 'Show progress: auto, always or never [default: auto, on a terminal]' -r -f -a "auto\t'Where it fits'
always\t'In any case'
never\t'Not at all'"
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from forget" -l color -d 'Colours: auto, always or never' -r -f -a "auto\t'Where it fits'
always\t'In any case'
never\t'Not at all'"
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from forget" -l log-file -d 'Append every message to FILE, one line each with its time' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from forget" -l metrics-file -d 'Keep counters in FILE in the form of node_exporter\'s textfile collector' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from forget" -l config -d 'Read FILE instead of this user\'s config.toml' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from forget" -l state-dir -d 'Remember transfers and tickets there [default: ~/.local/state/resilient]' -r -F
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from forget" -s v -l verbose -d 'Show files, summary and rates; -vv: decisions, too'
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from forget" -s q -l quiet -d 'Show errors only'
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from forget" -s P -d 'The same as --progress; unfinished files are kept in any case'
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from forget" -l stats -d 'Print a table of counters at the end'
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from forget" -l no-config -d 'Read no configuration file'
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from forget" -l show-config -d 'Print each setting, its value and where it comes from, and do nothing else'
complete -c resilient -n "__fish_resilient_using_subcommand key; and __fish_seen_subcommand_from forget" -s h -l help -d 'Print help (see more with \'--help\')'
