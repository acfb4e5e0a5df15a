
using namespace System.Management.Automation
using namespace System.Management.Automation.Language

Register-ArgumentCompleter -Native -CommandName 'resilient' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    $commandElements = $commandAst.CommandElements
    $command = @(
        'resilient'
        for ($i = 1; $i -lt $commandElements.Count; $i++) {
            $element = $commandElements[$i]
            if ($element -isnot [StringConstantExpressionAst] -or
                $element.StringConstantType -ne [StringConstantType]::BareWord -or
                $element.Value.StartsWith('-') -or
                $element.Value -eq $wordToComplete) {
                break
        }
        $element.Value
    }) -join ';'

    $completions = @(switch ($command) {
        'resilient' {
            [CompletionResult]::new('--identity', '--identity', [CompletionResultType]::ParameterName, 'This node''s key [default: identity.key in the configuration folder, made on first use]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Events as lines of JSON, on stdout or to FILE')
            [CompletionResult]::new('--progress', '--progress', [CompletionResultType]::ParameterName, 'Show progress: auto, always or never [default: auto, on a terminal]')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colours: auto, always or never')
            [CompletionResult]::new('--log-file', '--log-file', [CompletionResultType]::ParameterName, 'Append every message to FILE, one line each with its time')
            [CompletionResult]::new('--metrics-file', '--metrics-file', [CompletionResultType]::ParameterName, 'Keep counters in FILE in the form of node_exporter''s textfile collector')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read FILE instead of this user''s config.toml')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Show files, summary and rates; -vv: decisions, too')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Show files, summary and rates; -vv: decisions, too')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show errors only')
            [CompletionResult]::new('--stats', '--stats', [CompletionResultType]::ParameterName, 'Print a table of counters at the end')
            [CompletionResult]::new('--no-config', '--no-config', [CompletionResultType]::ParameterName, 'Read no configuration file')
            [CompletionResult]::new('--show-config', '--show-config', [CompletionResultType]::ParameterName, 'Print each setting, its value and where it comes from, and do nothing else')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('send', 'send', [CompletionResultType]::ParameterValue, 'Send files and directories to a waiting `recv`')
            [CompletionResult]::new('recv', 'recv', [CompletionResultType]::ParameterValue, 'Print a ticket and wait for one send')
            [CompletionResult]::new('key', 'key', [CompletionResultType]::ParameterValue, 'Show the identity of this node')
            break
        }
        'resilient;send' {
            [CompletionResult]::new('--name', '--name', [CompletionResultType]::ParameterName, 'Name at the receiver of what comes in on stdin (`-`)')
            [CompletionResult]::new('--stop-after', '--stop-after', [CompletionResultType]::ParameterName, 'Stop after this time (90m, 2h); the same command goes on from there')
            [CompletionResult]::new('--max-transfer', '--max-transfer', [CompletionResultType]::ParameterName, 'Stop before more file bytes than this cross the network')
            [CompletionResult]::new('--ticket-file', '--ticket-file', [CompletionResultType]::ParameterName, 'Read the ticket from FILE, `-` for stdin [or RESILIENT_TICKET]')
            [CompletionResult]::new('--contimeout', '--contimeout', [CompletionResultType]::ParameterName, 'How long a usable connection may take, 0 for no limit')
            [CompletionResult]::new('--retry-for', '--retry-for', [CompletionResultType]::ParameterName, 'Keep probing a silent path for this long, or `forever`')
            [CompletionResult]::new('--identity', '--identity', [CompletionResultType]::ParameterName, 'This node''s key [default: identity.key in the configuration folder, made on first use]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Events as lines of JSON, on stdout or to FILE')
            [CompletionResult]::new('--progress', '--progress', [CompletionResultType]::ParameterName, 'Show progress: auto, always or never [default: auto, on a terminal]')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colours: auto, always or never')
            [CompletionResult]::new('--log-file', '--log-file', [CompletionResultType]::ParameterName, 'Append every message to FILE, one line each with its time')
            [CompletionResult]::new('--metrics-file', '--metrics-file', [CompletionResultType]::ParameterName, 'Keep counters in FILE in the form of node_exporter''s textfile collector')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read FILE instead of this user''s config.toml')
            [CompletionResult]::new('-r', '-r', [CompletionResultType]::ParameterName, 'Send directories whole (always done)')
            [CompletionResult]::new('-p', '-p', [CompletionResultType]::ParameterName, 'Preserve times and modes (always done)')
            [CompletionResult]::new('-4', '-4', [CompletionResultType]::ParameterName, 'Use IPv4 only')
            [CompletionResult]::new('-6', '-6', [CompletionResultType]::ParameterName, 'Use IPv6 only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Show files, summary and rates; -vv: decisions, too')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Show files, summary and rates; -vv: decisions, too')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show errors only')
            [CompletionResult]::new('--stats', '--stats', [CompletionResultType]::ParameterName, 'Print a table of counters at the end')
            [CompletionResult]::new('--no-config', '--no-config', [CompletionResultType]::ParameterName, 'Read no configuration file')
            [CompletionResult]::new('--show-config', '--show-config', [CompletionResultType]::ParameterName, 'Print each setting, its value and where it comes from, and do nothing else')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'resilient;recv' {
            [CompletionResult]::new('--listen', '--listen', [CompletionResultType]::ParameterName, 'Wait on this UDP port, 0 for any [default: 27183 on all addresses, any if it is taken]')
            [CompletionResult]::new('--ticket-life', '--ticket-life', [CompletionResultType]::ParameterName, 'How long the ticket can be used')
            [CompletionResult]::new('--retry-for', '--retry-for', [CompletionResultType]::ParameterName, 'Keep probing a silent path for this long, or `forever`')
            [CompletionResult]::new('--identity', '--identity', [CompletionResultType]::ParameterName, 'This node''s key [default: identity.key in the configuration folder, made on first use]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Events as lines of JSON, on stdout or to FILE')
            [CompletionResult]::new('--progress', '--progress', [CompletionResultType]::ParameterName, 'Show progress: auto, always or never [default: auto, on a terminal]')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colours: auto, always or never')
            [CompletionResult]::new('--log-file', '--log-file', [CompletionResultType]::ParameterName, 'Append every message to FILE, one line each with its time')
            [CompletionResult]::new('--metrics-file', '--metrics-file', [CompletionResultType]::ParameterName, 'Keep counters in FILE in the form of node_exporter''s textfile collector')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read FILE instead of this user''s config.toml')
            [CompletionResult]::new('-4', '-4', [CompletionResultType]::ParameterName, 'Use IPv4 only')
            [CompletionResult]::new('-6', '-6', [CompletionResultType]::ParameterName, 'Use IPv6 only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Show files, summary and rates; -vv: decisions, too')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Show files, summary and rates; -vv: decisions, too')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show errors only')
            [CompletionResult]::new('--stats', '--stats', [CompletionResultType]::ParameterName, 'Print a table of counters at the end')
            [CompletionResult]::new('--no-config', '--no-config', [CompletionResultType]::ParameterName, 'Read no configuration file')
            [CompletionResult]::new('--show-config', '--show-config', [CompletionResultType]::ParameterName, 'Print each setting, its value and where it comes from, and do nothing else')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'resilient;key' {
            [CompletionResult]::new('--identity', '--identity', [CompletionResultType]::ParameterName, 'This node''s key [default: identity.key in the configuration folder, made on first use]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Events as lines of JSON, on stdout or to FILE')
            [CompletionResult]::new('--progress', '--progress', [CompletionResultType]::ParameterName, 'Show progress: auto, always or never [default: auto, on a terminal]')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colours: auto, always or never')
            [CompletionResult]::new('--log-file', '--log-file', [CompletionResultType]::ParameterName, 'Append every message to FILE, one line each with its time')
            [CompletionResult]::new('--metrics-file', '--metrics-file', [CompletionResultType]::ParameterName, 'Keep counters in FILE in the form of node_exporter''s textfile collector')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read FILE instead of this user''s config.toml')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Show files, summary and rates; -vv: decisions, too')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Show files, summary and rates; -vv: decisions, too')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show errors only')
            [CompletionResult]::new('--stats', '--stats', [CompletionResultType]::ParameterName, 'Print a table of counters at the end')
            [CompletionResult]::new('--no-config', '--no-config', [CompletionResultType]::ParameterName, 'Read no configuration file')
            [CompletionResult]::new('--show-config', '--show-config', [CompletionResultType]::ParameterName, 'Print each setting, its value and where it comes from, and do nothing else')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Print the node id, its spoken form and the file of the key')
            break
        }
        'resilient;key;show' {
            [CompletionResult]::new('--identity', '--identity', [CompletionResultType]::ParameterName, 'This node''s key [default: identity.key in the configuration folder, made on first use]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Events as lines of JSON, on stdout or to FILE')
            [CompletionResult]::new('--progress', '--progress', [CompletionResultType]::ParameterName, 'Show progress: auto, always or never [default: auto, on a terminal]')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colours: auto, always or never')
            [CompletionResult]::new('--log-file', '--log-file', [CompletionResultType]::ParameterName, 'Append every message to FILE, one line each with its time')
            [CompletionResult]::new('--metrics-file', '--metrics-file', [CompletionResultType]::ParameterName, 'Keep counters in FILE in the form of node_exporter''s textfile collector')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read FILE instead of this user''s config.toml')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Show files, summary and rates; -vv: decisions, too')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Show files, summary and rates; -vv: decisions, too')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Show errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Show errors only')
            [CompletionResult]::new('--stats', '--stats', [CompletionResultType]::ParameterName, 'Print a table of counters at the end')
            [CompletionResult]::new('--no-config', '--no-config', [CompletionResultType]::ParameterName, 'Read no configuration file')
            [CompletionResult]::new('--show-config', '--show-config', [CompletionResultType]::ParameterName, 'Print each setting, its value and where it comes from, and do nothing else')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
    })

    $completions.Where{ $_.CompletionText -like "$wordToComplete*" } |
        Sort-Object -Property ListItemText
}
