#!/usr/bin/env bash
# Software: mariadb-server of the machine's packages, seen with 10.11.19 (Debian 12).
# Expected: information_schema.INNODB_TRX shows the transactions of now, or of at most a tenth of a second ago.
# Seen: it is refreshed only if it was not read for the last tenth of a second. A program that polls it more often sees
#   the first picture for as long as it polls: a transaction that has long ended is still there, one that has begun is not.
# Why it matters: a test or a health check that waits for "nobody waits for a lock any more" by polling never ends, or ends
#   wrongly. Poll each 0.12 s or more slowly, or read processlist.
set -euo pipefail
work=$(mktemp -d)
server=
trap '[[ -z $server ]] || kill -9 "$server"; rm -rf "$work"' EXIT
export PATH=$PATH:/usr/sbin
as=()
if ((EUID == 0)); then
	chown mysql "$work"
	as=(--user=mysql)
fi
mariadb-install-db --no-defaults "${as[@]}" --datadir="$work/data" --auth-root-authentication-method=normal --skip-test-db >"$work/install.log" 2>&1
mariadbd --no-defaults "${as[@]}" --datadir="$work/data" --skip-networking --socket="$work/socket" --pid-file="$work/pid" \
	--innodb-buffer-pool-size=64M >"$work/log" 2>&1 &
server=$!
client=(mariadb --no-defaults --socket="$work/socket" -uroot --batch --skip-column-names)
for _ in $(seq 300); do "${client[@]}" -e 'SELECT 1' >/dev/null 2>&1 && break; sleep 0.1; done
"${client[@]}" -e 'SELECT version(); CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY) ENGINE=InnoDB'

# One session counts the transactions 150 times, once each so many seconds, while another one holds one for a second.
polled() {
	local statements='' i
	for ((i = 0; i < $2; i++)); do statements+="SELECT count(*) FROM information_schema.INNODB_TRX; DO SLEEP($1);"; done
	"${client[@]}" -e "START TRANSACTION; INSERT INTO d.t VALUES (1); DO SLEEP(1); ROLLBACK" &
	sleep 0.4
	"${client[@]}" -e "$statements" | uniq -c | awk '{ printf "%s times %s  ", $1, $2 } END { print "" }'
	wait $!
}
often=$(polled 0.02 150)
rarely=$(polled 0.2 15)
printf 'read each 0.02 s for 3 s: %s\nread each 0.2 s for 3 s:  %s\n' "$often" "$rarely"
[[ $often == '150 times 1  ' ]] || { echo 'polled often, it is not as it was seen'; exit 1; }
[[ $rarely == *' times 1  '*' times 0  ' ]] || { echo 'polled rarely, it is not as it was seen'; exit 1; }
