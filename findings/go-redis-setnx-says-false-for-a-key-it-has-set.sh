#!/usr/bin/env bash
# Software: github.com/redis/go-redis/v9 v9.23.0 with its default options, beside github.com/redis/rueidis v1.0.79;
#   redis-server of the machine's packages, seen with 7.0.15.
# Expected: a command that was sent and whose reply is lost (the connection breaks, or ReadTimeout passes) gives an error, as
#   far as it is one that must not run twice; rueidis does so, and repeats only what reads.
# Seen: go-redis sends every command again, up to three times (MaxRetries). SetNX has set the key by the first one, finds it
#   by the second, and returns false and no error, which is what it returns for a key of somebody else.
# Source: redis/go-redis issue 2985, closed as stale.
# Why it matters: SetNX with an expiry is the common way to handle each webhook once. false means "a duplicate, answer 200":
#   the event that was claimed by nobody but us is acknowledged and never handled. Set MaxRetries to -1, or set a value of
#   one's own and read it back (SetArgs with Get), and answer 5xx on errors.
set -euo pipefail
work=$(mktemp -d); server=
trap '[[ -z $server ]] || kill "$server" 2>/dev/null; rm -rf "$work"' EXIT; cd "$work"
port=$((20000 + RANDOM % 12000))
redis-server --bind 127.0.0.1 --port "$port" --save '' --dir "$work" >/dev/null &
server=$!
for _ in $(seq 100); do (: >"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.1; done
export GOWORK=off GOFLAGS=-mod=mod
go mod init example.test/finding >/dev/null 2>&1
go get github.com/redis/go-redis/v9@v9.23.0 github.com/redis/rueidis@v1.0.79 2>/dev/null
cat >main.go <<'GO'
package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"
)

var ctx = context.Background()

func main() {
	direct := redis.NewClient(&redis.Options{Addr: os.Args[1]})
	var sent atomic.Int32
	address := losing(os.Args[1], &sent)

	set, err := redis.NewClient(&redis.Options{Addr: address}).SetNX(ctx, "event_1", "me", time.Minute).Result()
	goRedis := fmt.Sprintf("%v, error %v, sent %d times, in Redis: %q", set, err, sent.Load(), direct.Get(ctx, "event_1").Val())

	sent.Store(0)
	direct.Del(ctx, "event_1")
	set, err = redis.NewClient(&redis.Options{Addr: address, MaxRetries: -1}).SetNX(ctx, "event_1", "me", time.Minute).Result()
	never := fmt.Sprintf("%v, error %v, sent %d times", set, err, sent.Load())

	sent.Store(0)
	direct.Del(ctx, "event_1")
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{address}})
	if err != nil {
		panic(err)
	}
	err = client.Do(ctx, client.B().Set().Key("event_1").Value("me").Nx().Ex(time.Minute).Build()).Error()
	other := fmt.Sprintf("error %v, sent %d times", err, sent.Load())

	fmt.Printf("go-redis:                %s\ngo-redis, MaxRetries -1: %s\nrueidis:                 %s\n", goRedis, never, other)
	if goRedis != `false, error <nil>, sent 2 times, in Redis: "me"` || never != "false, error EOF, sent 1 times" || other != "error EOF, sent 1 times" {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}

// losing passes bytes on to and from Redis; the reply to the first command with a key of an event is lost with its connection.
func losing(redisAddress string, sent *atomic.Int32) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", redisAddress)
			if err != nil {
				panic(err)
			}
			var loses atomic.Bool
			go func() {
				defer server.Close()
				buffer := make([]byte, 4096)
				for {
					n, err := client.Read(buffer)
					if bytes.Contains(buffer[:n], []byte("event_1")) && sent.Add(1) == 1 {
						loses.Store(true)
					}
					if _, failed := server.Write(buffer[:n]); failed != nil || err != nil {
						return
					}
				}
			}()
			go func() {
				defer client.Close()
				buffer := make([]byte, 4096)
				for {
					n, err := server.Read(buffer)
					if err != nil || loses.Load() {
						return
					}
					if _, err := client.Write(buffer[:n]); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}
GO
go get . 2>/dev/null
echo "go-redis $(go list -m -f '{{.Version}}' github.com/redis/go-redis/v9), rueidis $(go list -m -f '{{.Version}}' github.com/redis/rueidis), $(redis-server --version | cut -d' ' -f1-3)"
go run . "127.0.0.1:$port"
