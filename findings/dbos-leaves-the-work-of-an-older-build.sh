#!/usr/bin/env bash
# Software: github.com/dbos-inc/dbos-transact-golang v1.8.0 with its driver for SQLite, configured as its README says.
# Expected: a workflow that was under way when the process ended goes on when the program is started again, from its last
#   completed step, as the README says; also when the program was built anew, if its workflows are the same ones.
# Seen: the application's version, unless it is given, is the hash of the executable. A new build does not go on with what
#   the old one left: it stays PENDING. Nothing is logged at start-up, not even at level INFO, and RunWorkflow under the same
#   id, which is what the sender's repeat comes to, gives a handle and no error, and runs nothing. The old executable, started
#   again, completes it.
# Why it matters: a deployment is the time at which processes are ended. The events that were acknowledged, and under way
#   then, are left lying from one release to the next, and so are their repeats. Set Config.ApplicationVersion (or
#   DBOS__APPVERSION), and change it only when the steps of a workflow change; then look for PENDING ones of older versions.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
export GOWORK=off GOFLAGS=-mod=mod
go mod init example.test/finding >/dev/null 2>&1
go get github.com/dbos-inc/dbos-transact-golang@v1.8.0 2>/dev/null
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
	_ "github.com/dbos-inc/dbos-transact-golang/dbos/driver/sqlite"
)

var build = "first" // set by the linker

// handle is the workflow of an event.
func handle(ctx dbos.Context, event string) (string, error) {
	return dbos.RunAsStep(ctx, func(context.Context) (string, error) {
		if os.Args[1] == "accept" {
			select {} // under way when the process is ended
		}
		return event, nil
	})
}

func main() {
	log, err := os.OpenFile(os.Args[2], os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	check(err)
	ctx, err := dbos.NewContext(context.Background(), dbos.Config{
		DatabaseURL: "sqlite:events.db", AppName: "receiver", ApplicationVersion: os.Getenv("VERSION"),
		Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	check(err)
	dbos.RegisterWorkflow(ctx, handle)
	check(dbos.Launch(ctx))
	if os.Args[1] == "accept" {
		_, err := dbos.RunWorkflow(ctx, handle, "event_1", dbos.WithWorkflowID("event_1"))
		check(err)
		time.Sleep(time.Second)
		return
	}
	before := state(ctx)
	handle, err := dbos.RunWorkflow(ctx, handle, "event_1", dbos.WithWorkflowID("event_1")) // the sender's repeat
	fmt.Printf("%s; its repeat: handle %v, error %v, then %s\n", before, handle != nil, err, state(ctx))
}

// state gives the state of the one workflow, after as much time as it needs, or five seconds.
func state(ctx dbos.Context) string {
	for i := 0; ; i++ {
		workflows, err := dbos.ListWorkflows(ctx)
		check(err)
		if i == 25 || workflows[0].Status == dbos.WorkflowStatusSuccess {
			return string(workflows[0].Status)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
GO
go get . 2>/dev/null
go build -o first . && go build -ldflags '-X main.build=second' -o second .
echo "dbos $(go list -m -f '{{.Version}}' github.com/dbos-inc/dbos-transact-golang)"
./first accept first.log
new=$(./second work second.log)
old=$(./first work first.log)
rm events.db*
VERSION=1 ./first accept named.log
named=$(VERSION=1 ./second work named.log)
printf 'a new build:                 %s\nthe old build, once more:    %s\na new build, version given:  %s\n' "$new" "$old" "$named"
warned=$(grep -ciE 'pending|recover|older|WARN|ERROR' second.log || true)
echo "lines about it in the log of the new build: $warned"
[[ $new == "PENDING; its repeat: handle true, error <nil>, then PENDING" && $warned == 0 &&
	$old == "SUCCESS; its repeat: handle true, error <nil>, then SUCCESS" && $named == "$old" ]] || { echo CHANGED; exit 1; }
