# shellcheck shell=bash disable=SC2154 # dir, tcp, link: scripts/compare
# Part of scripts/compare: two network namespaces joined by a bad link. A namespace has no name; it is known by the process that holds
# it, and ends with the last process in it.

near_address=10.77.1.2 far_address=10.77.2.2

# Runs a command in the network namespace of process $1.
inside() {
    local holder=$1
    shift
    nsenter --net --target "$holder" -- "$@"
}

# Starts a process in a network namespace of its own, and waits until it has that. Its id is then in $held.
hold() {
    unshare --net -- "$@" &
    held=$!
    while [ "/proc/$held/ns/net" -ef "/proc/$BASHPID/ns/net" ]; do sleep 0.01; done
}

# Waits for the first line of file $1, which process $2 is about to write.
first_line() {
    until [ -s "$1" ]; do
        kill -0 "$2" 2>/dev/null || { cat "$dir"/*.err >&2 && fail "a process ended before it was ready"; }
        sleep 0.02
    done
    head -n 1 "$1"
}

# The congestion control that TCP has in a new namespace when $1 is asked for: asking has the kernel load it, if it may and can.
tcp_of_namespace() {
    # shellcheck disable=SC2016 # for the inner shell
    unshare --net sh -c 'cd /proc/sys/net/ipv4; echo "$1" >tcp_congestion_control; cat tcp_congestion_control' - "$1" 2>/dev/null
}

# The kernel's part of namespace $1, before its device is up.
prepare() {
    # shellcheck disable=SC2016 # for the inner shell
    inside "$1" sh -c '
        ip link set lo up
        # Neighbours that IPv6 looks for would take a part of the link.
        for file in /proc/sys/net/ipv6/conf/*/disable_ipv6; do [ ! -e "$file" ] || echo 1 >"$file"; done
        echo "$1" >/proc/sys/net/ipv4/tcp_congestion_control' - "$tcp"
}

# Reads the properties of link $1 into loss, burst_ms, delay_ms, jitter_ms, rate_mbit, queue_ms.
properties() {
    local word
    for word in $("$lossy_link" --profile "$1" --describe); do
        word=${word/-/_}
        declare -g "${word?}"
    done
}

# The project's own link: what is routed into one TUN device comes out of the other.
user_link() {
    # Before all else that runs here where we may say so: no link waits for a processor.
    hold nice -n -10 "$lossy_link" --tun near,far --profile "$1" --seed "$2" >"$dir/link.out" 2>"$dir/link.err"
    between=$held
    first_line "$dir/link.out" "$between" >/dev/null
    inside "$between" ip link set near netns "$near"
    inside "$between" ip link set far netns "$far"
    inside "$near" sh -c "ip address add $near_address/32 dev near && ip link set near up && ip route add default dev near"
    inside "$far" sh -c "ip address add $far_address/32 dev far && ip link set far up && ip route add default dev far"
}

kernel_has_netem() {
    unshare --net sh -c 'tc qdisc add dev lo root netem delay 1ms && tc qdisc replace dev lo root tbf rate 1mbit burst 1600 limit 9000' \
        2>/dev/null
}

# The kernel's: two pairs of devices and a namespace that routes between them. Each host's own device has the rate and the queue, by tbf,
# which also divides what the host hands over as one piece; loss and delay follow, by netem, in the middle. As one netem they would be
# the wrong way round: what it loses takes no time on the link.
kernel_link() {
    hold sleep infinity
    between=$held
    local side host device rate
    # tbf counts the 14 bytes of Ethernet before each packet too.
    rate=$(awk -v r="$rate_mbit" 'BEGIN { printf "%d", r * 1e6 * 1514 / 1500 }')
    for side in 1 2; do
        if [ $side = 1 ]; then host=$near device=near; else host=$far device=far; fi
        inside "$between" ip link add "end$side" type veth peer name "$device" netns "$host"
        inside "$between" ip address add "10.77.$side.1/24" dev "end$side"
        inside "$between" ip link set "end$side" up
        inside "$host" ip address add "10.77.$side.2/24" dev "$device"
        inside "$host" ip link set "$device" up
        inside "$host" ip route add default via "10.77.$side.1"
        inside "$host" tc qdisc add dev "$device" root tbf rate "${rate}bit" burst 1600 \
            limit "$(awk -v r="$rate_mbit" -v q="$queue_ms" 'BEGIN { printf "%d", r * 1e6 / 8 * q / 1e3 }')"
        # shellcheck disable=SC2046 # words of tc
        inside "$between" tc qdisc add dev "end$side" root netem limit 100000 $(netem)
    done
    inside "$between" sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
}

# Loss and delay in netem's words. Its bursts are counted in packets: as many as full ones take the time at the rate.
netem() {
    awk -v loss="$loss" -v burst="$burst_ms" -v delay="$delay_ms" -v jitter="$jitter_ms" -v rate="$rate_mbit" 'BEGIN {
        printf "delay %gms", delay + jitter / 2
        if (jitter > 0) printf " %gms", jitter / 2
        back = burst > 0 ? 1500 * 8 / (burst * rate * 1e3) : 1
        if (burst > 0) printf " loss gemodel %g%% %g%%", 100 * back * loss / (1 - loss), 100 * back
        else printf " loss random %g%%", 100 * loss
    }'
}

# All processes in the network namespace of process $1, if that is another than ours.
inhabitants() {
    local process
    [ ! "/proc/$1/ns/net" -ef "/proc/$BASHPID/ns/net" ] || return 0
    for process in /proc/[0-9]*; do
        [ ! "$process/ns/net" -ef "/proc/$1/ns/net" ] || echo "${process#/proc/}"
    done
}

# Ends everything in the namespaces of this run; they end with it.
down() {
    trap '' HUP TERM
    trap - EXIT
    local holder process
    for holder in ${near:-} ${far:-} ${between:-}; do
        for process in $(inhabitants "$holder"); do
            [ "$process" = "$holder" ] || kill -KILL "$process" 2>/dev/null || true
        done
    done
    # Those that hold them are our children, as is one that was begun a moment ago and has not got its name yet.
    for process in $(jobs -p); do kill -KILL "$process" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$dir"
}
