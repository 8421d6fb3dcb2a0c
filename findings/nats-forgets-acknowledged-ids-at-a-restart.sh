#!/usr/bin/env bash
# Software: github.com/nats-io/nats-server/v2 v2.15.3 with nats.go v1.55.0, JetStream with file storage.
# Expected: a stream remembers the Nats-Msg-Id of a message for its duplicate window, here an hour, on the disk like the
#   stream itself, whether or not the message has been consumed meanwhile.
# Seen: the ids are kept in memory, and are read from the messages that are still stored when the server starts. In a work
#   queue, which drops what is acknowledged, an id is a duplicate until the server is restarted, and new afterwards, in the
#   same hour. In a stream that keeps its messages it stays a duplicate.
# Source: nats-io/nats-server issue 3272, open.
# Why it matters: who publishes each webhook under its event's id, and lets the window drop the sender's repeats, handles
#   every event of the last hour that is delivered again a second time after an upgrade of the server. Keep the stream by
#   limits (age) with a durable consumer, or the keys in the database.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
export GOWORK=off GOFLAGS=-mod=mod
go mod init example.test/finding >/dev/null 2>&1
go get github.com/nats-io/nats-server/v2@v2.15.3 github.com/nats-io/nats.go@v1.55.0 2>/dev/null
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var (
	ctx  = context.Background()
	conn *nats.Conn
	js   jetstream.JetStream
)

func main() {
	s := start()
	for name, retention := range map[string]jetstream.RetentionPolicy{"queue": jetstream.WorkQueuePolicy, "kept": jetstream.LimitsPolicy} {
		_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: name, Subjects: []string{name}, Retention: retention, Duplicates: time.Hour})
		check(err)
	}
	queue, kept := publish("queue"), publish("kept")
	acknowledge("queue")
	acknowledge("kept")
	queue, kept = queue+", "+publish("queue"), kept+", "+publish("kept")
	conn.Close()
	s.Shutdown()
	s.WaitForShutdown()
	s = start()
	defer s.Shutdown()
	queue, kept = queue+", "+publish("queue"), kept+", "+publish("kept")
	fmt.Printf("                first, acknowledged and again, after a restart\nwork queue:     %s\nkept by limits: %s\n", queue, kept)
	if queue != "stored, duplicate, stored" || kept != "stored, duplicate, duplicate" {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}

func start() *server.Server {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: "store", NoLog: true, NoSigs: true})
	check(err)
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		panic("the server does not start")
	}
	conn, err = nats.Connect(s.ClientURL())
	check(err)
	js, err = jetstream.New(conn)
	check(err)
	return s
}

// publish publishes a message with the same id each time.
func publish(subject string) string {
	ack, err := js.Publish(ctx, subject, []byte("{}"), jetstream.WithMsgID("event_1"))
	check(err)
	if ack.Duplicate {
		return "duplicate"
	}
	return "stored"
}

func acknowledge(stream string) {
	consumer, err := js.CreateConsumer(ctx, stream, jetstream.ConsumerConfig{Durable: "handler", AckPolicy: jetstream.AckExplicitPolicy})
	check(err)
	msg, err := consumer.Next()
	check(err)
	check(msg.DoubleAck(ctx))
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
GO
go get . 2>/dev/null
echo "nats-server $(go list -m -f '{{.Version}}' github.com/nats-io/nats-server/v2)"
go run .
