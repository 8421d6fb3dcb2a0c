#!/usr/bin/env bash
# Software: github.com/vmihailenco/taskq/v3 v3.2.9, package redisq; redis-server of the machine's packages, seen with 7.0.15.
# Expected: Queue.Add of a message with a Name, the library's way of adding each message once, gives an error if Redis can't
#   be reached or the context has ended, as it does for a message without a name.
# Seen: it gives no error. Whether the name is known is asked by SETNX, and an error of that counts as "known": the message
#   is not added, Add returns nil, and Message.Err says that a message with such a name exists already.
# Why it matters: a receiver of webhooks adds the event under its id, and answers 200 if Add gives no error, or if
#   Message.Err is ErrDuplicate. Each event that comes while Redis is restarted, or whose context ends during a slow
#   command, is acknowledged, and is in no queue. Hand a Storage to QueueOptions that panics on errors, or set the names
#   with a Redis client, whose error can be seen, and add messages without names.
set -euo pipefail
work=$(mktemp -d); server=
trap '[[ -z $server ]] || kill "$server" 2>/dev/null; rm -rf "$work"' EXIT; cd "$work"
port=$((20000 + RANDOM % 12000))
redis-server --bind 127.0.0.1 --port "$port" --save '' --dir "$work" >/dev/null &
server=$!
for _ in $(seq 100); do (: >"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.1; done
export GOWORK=off GOFLAGS=-mod=mod
go mod init example.test/finding >/dev/null 2>&1
go get github.com/vmihailenco/taskq/v3@v3.2.9 github.com/go-redis/redis/v8@v8.11.5 2>/dev/null
cat >main.go <<'GO'
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/go-redis/redis/v8"
	"github.com/vmihailenco/taskq/v3"
	"github.com/vmihailenco/taskq/v3/redisq"
)

var (
	ctx  = context.Background()
	task = taskq.RegisterTask(&taskq.TaskOptions{Name: "event", Handler: func(string) error { return nil }})
)

func main() {
	reachable := redis.NewClient(&redis.Options{Addr: os.Args[1]})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	closed := l.Addr().String()
	l.Close()
	unreachable := redis.NewClient(&redis.Options{Addr: closed, MaxRetries: -1, DialTimeout: time.Second})

	up := redisq.NewFactory().RegisterQueue(&taskq.QueueOptions{Name: "events", Redis: reachable})
	down := redisq.NewFactory().RegisterQueue(&taskq.QueueOptions{Name: "others", Redis: unreachable})
	ended, cancel := context.WithCancel(ctx)
	cancel()
	fresh, repeat := add(ctx, up, "event_1"), add(ctx, up, "event_1")
	gone, refused, unnamed := add(ended, up, "event_2"), add(ctx, down, "event_3"), add(ctx, down, "")
	n, err := up.Len()
	check(err)
	fmt.Printf("a new name:                     %s\nits repeat:                     %s\na new name, the context ended:  %s\n", fresh, repeat, gone)
	fmt.Printf("a new name, Redis is away:      %s\nwithout a name, Redis is away:  %s\nmessages in the queue: %d\n", refused, unnamed, n)
	const duplicate = "Add: true, duplicate: true"
	if fresh != "Add: true, duplicate: false" || repeat != duplicate || gone != duplicate || refused != duplicate ||
		unnamed != "Add: false, duplicate: false" || n != 1 {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}

// add adds a message, and says whether Add gave no error, and whether the message is called a duplicate.
func add(ctx context.Context, q taskq.Queue, id string) string {
	m := task.WithArgs(ctx, id)
	m.Name = id
	err := q.Add(m)
	return fmt.Sprintf("Add: %v, duplicate: %v", err == nil, errors.Is(m.Err, taskq.ErrDuplicate))
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
GO
go get . 2>/dev/null
echo "taskq $(go list -m -f '{{.Version}}' github.com/vmihailenco/taskq/v3), $(redis-server --version | cut -d' ' -f1-3)"
go run . "127.0.0.1:$port" 2>"$work/log" || { cat "$work/log"; exit 1; }
