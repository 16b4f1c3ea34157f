#!/bin/sh
# file_broker PROGRAM: what is in the folder can be read, and nothing else; Python gets it, too.
set -eu
. "$(dirname "$0")/testing.sh"

mkdir "$scratch/folder"
echo "a secret" >"$scratch/folder/secret"
seq 20000 >"$scratch/folder/long"
echo "outside" >"$scratch/outside"

start_server "$1" serve "$scratch/socket" "$scratch/folder"
expect "a file" "a secret" "$(timeout 20 "$1" cat "$scratch/socket" secret)"
timeout 20 "$1" cat "$scratch/socket" long >"$scratch/copy"
cmp "$scratch/copy" "$scratch/folder/long" || fail "the copy differs"
for name in missing ../outside .; do
    if timeout 20 "$1" cat "$scratch/socket" "$name" 2>"$scratch/why"; then
        fail "it gave $name"
    fi
    expect "what is said of $name" "no such file: $name" "$(cat "$scratch/why")"
done

seen=$(timeout 20 python3 - "$scratch/socket" <<'END'
import os, socket, sys

s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b"secret\nmissing\n")
answer, fds = b"", []
while answer.count(b"\n") < 2:
    data, more, _, _ = socket.recv_fds(s, 100, 4)
    answer += data
    fds += more
print(answer.decode().split("\n")[:2], [os.read(fd, 100).decode().strip() for fd in fds])
END
)
expect "what Python got" "['ok', 'no such file'] ['a secret']" "$seen"

kill -TERM "$pid"
code=0
wait "$job" || code=$?
expect "the code" 0 "$code"
