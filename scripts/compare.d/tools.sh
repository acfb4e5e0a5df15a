# shellcheck shell=bash disable=SC2034,SC2154 # command, from: scripts/compare
# Part of scripts/compare: the tools. start_TOOL FILE starts what the tool needs and says in `command` what is timed, in the namespace of
# process $from: the file of $near shall be in $dir/to, which is that of $far.

# The version that is there, or why it is left out (status 1).
have() {
    case $1 in
    resilient) "$resilient" --version ;;
    scp) needs ssh scp sshd ssh-keygen && lets_in && ssh -V 2>&1 | sed 's/[ ,].*//' ;;
    rsync) needs rsync ssh sshd ssh-keygen && lets_in && rsync --version | awk 'NR == 1 { print $1, $3 }' ;;
    aria2) needs aria2c nginx && aria2c --version | awk 'NR == 1 { print $1, $3 }' ;;
    uftp) needs uftp uftpd && echo UFTP ;;
    qcp) needs qcp ssh sshd ssh-keygen && lets_in && qcp --version | awk 'NR == 1 { sub(/\+.*/, ""); print }' ;;
    norm) needs normCast && echo normCast ;;
    esac
}

# How the tool is called in the table.
label() {
    case $1 in
    scp | rsync) echo "$1 (ssh, TCP $tcp)" ;;
    aria2) echo "aria2 (16 × HTTP, TCP $tcp)" ;;
    uftp | norm) echo "$1 (told the rate)" ;;
    qcp) echo "qcp (ssh, told rate and RTT)" ;;
    *) echo "$1" ;;
    esac
}

needs() {
    local program
    for program; do
        command -v "$program" >/dev/null || { echo "$program is not installed" && return 1; }
    done
}

start_resilient() {
    cp -r "$work/home.near" "$work/home.far" "$dir"
    inside "$far" env RESILIENT_HOME="$dir/home.far" "$resilient" recv --no-config --listen "$far_address:27183" "$dir/to" \
        >"$dir/recv.out" 2>"$dir/recv.err" &
    command=(env RESILIENT_HOME="$dir/home.near" "$resilient" send --no-config -q "$1" "$(first_line "$dir/recv.out" $!)")
}

# An ssh server of our own, with keys of our own.
serve_ssh() {
    inside "$far" "${as_user[@]}" "$(command -v sshd)" -D -e -f "$work/ssh/sshd_config" 2>"$dir/sshd.err" &
    until grep -q 'Server listening' "$dir/sshd.err" 2>/dev/null; do
        kill -0 $! 2>/dev/null || { cat "$dir/sshd.err" >&2 && fail "sshd has ended"; }
        sleep 0.02
    done
}

start_scp() {
    serve_ssh
    command=("${as_user[@]}" scp -q -F "$work/ssh/config" "$1" "far:$dir/to/")
}

start_rsync() {
    serve_ssh
    command=("${as_user[@]}" rsync -e "ssh -F $work/ssh/config" "$1" "far:$dir/to/")
}

start_qcp() {
    serve_ssh
    local rate
    rate=$(awk -v r="$rate_mbit" 'BEGIN { printf "%dk", r * 125 }')
    command=("${as_user[@]}" qcp --quiet -S -F -S "$work/ssh/config" --tx "$rate" --rx "$rate" --rtt $((2 * delay_ms)) --congestion bbr
        "$1" "$far_address:$dir/to/")
}

start_aria2() {
    cat >"$dir/nginx.conf" <<END
daemon off;
master_process off;
pid $dir/nginx.pid;
error_log $dir/nginx.err;
events {}
http {
    access_log off;
    client_body_temp_path $dir/nginx.tmp;
    proxy_temp_path $dir/nginx.tmp;
    fastcgi_temp_path $dir/nginx.tmp;
    uwsgi_temp_path $dir/nginx.tmp;
    scgi_temp_path $dir/nginx.tmp;
    server {
        listen $near_address:8080;
        root $(dirname "$1");
    }
}
END
    inside "$near" "${as_user[@]}" nginx -p "$dir" -c "$dir/nginx.conf" 2>"$dir/nginx.err" &
    until [ -s "$dir/nginx.pid" ]; do
        kill -0 $! 2>/dev/null || { cat "$dir/nginx.err" >&2 && fail "nginx has ended"; }
        sleep 0.02
    done
    from=$far
    command=(aria2c -q --no-conf -x 16 -s 16 -k 1M --file-allocation=none --max-tries=0 --retry-wait=1 -d "$dir/to"
        "http://$near_address:8080/$(basename "$1")")
}

start_uftp() {
    inside "$far" uftpd -d -q -t -I far -D "$dir/to" >"$dir/uftpd.out" 2>&1 &
    # It says nothing when it is ready.
    sleep 0.5
    # With -H it knows whom to wait for (the address in hexadecimal digits); an open group is announced for ten seconds.
    command=(uftp -R "$(awk -v r="$rate_mbit" 'BEGIN { printf "%d", r * 950 }')" -I near -M "$far_address" -H 0x0A4D0202 "$1")
}

start_norm() {
    local rate
    rate=$(awk -v r="$rate_mbit" 'BEGIN { printf "%d", r * 950000 }')
    inside "$far" normCast recv "$dir/to" id 2 addr "$near_address/6003" interface far >"$dir/norm.out" 2>&1 &
    sleep 0.3
    command=(normCast send "$1" id 1 addr "$far_address/6003" ack 2 rate "$rate" interface near)
}

# Keys, and settings for both ends of ssh that read nothing of the user's and nothing of the system's.
prepare_ssh() {
    mkdir "$work/ssh"
    ssh-keygen -q -t ed25519 -N '' -C '' -f "$work/ssh/host"
    ssh-keygen -q -t ed25519 -N '' -C '' -f "$work/ssh/user"
    cp "$work/ssh/user.pub" "$work/ssh/authorized"
    echo "far $(cat "$work/ssh/host.pub")" >"$work/ssh/known"
    cat >"$work/ssh/sshd_config" <<END
Port 2222
HostKey $work/ssh/host
AuthorizedKeysFile $work/ssh/authorized
PidFile none
StrictModes no
UsePAM no
UseDNS no
PermitRootLogin yes
PermitUserRC no
PasswordAuthentication no
KbdInteractiveAuthentication no
LoginGraceTime 0
Subsystem sftp internal-sftp
END
    cat >"$work/ssh/config" <<END
Host far $far_address
    HostName $far_address
    HostKeyAlias far
    Port 2222
    User $user
    IdentityFile $work/ssh/user
    IdentitiesOnly yes
    UserKnownHostsFile $work/ssh/known
    GlobalKnownHostsFile none
    StrictHostKeyChecking yes
    BatchMode yes
END
}

# Whether an ssh server of ours lets us in, tried once on a loopback of its own; else why not.
lets_in() {
    if [ ! -d "$work/ssh" ]; then
        prepare_ssh
        local dir=$work near='' between='' held far
        hold sleep infinity
        far=$held
        inside "$far" ip link set lo up
        inside "$far" ip address add "$far_address/32" dev lo
        (serve_ssh) 2>"$work/ssh/said" && inside "$far" "${as_user[@]}" ssh -F "$work/ssh/config" far true 2>>"$work/ssh/said" && touch "$work/ssh/good"
        for held in $(inhabitants "$far"); do kill -KILL "$held" 2>/dev/null || true; done
        wait "$far" 2>/dev/null || true
    fi
    [ -e "$work/ssh/good" ] || { echo "an ssh server of our own lets nobody in: $(tail -n 1 "$work/ssh/said")" && return 1; }
}
