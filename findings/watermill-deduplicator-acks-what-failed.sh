#!/usr/bin/env bash
# Software: github.com/ThreeDotsLabs/watermill v1.5.1, middleware.Deduplicator, with its gochannel Pub/Sub.
# Expected: a message whose handler returned an error is redelivered, and handled then: a duplicate is a message that was
#   handled already. Retry, which calls the handler again, works with it in either order.
# Seen: the key is remembered before the handler is called, and stays when it fails. The redelivery is taken for a duplicate,
#   and acknowledged without a call. The same happens to the second attempt of a Retry that was added before Deduplicator.
#   Only a Retry behind it repeats the call, and what fails there to the end is acknowledged by the next delivery.
# Why it matters: the middleware is added to have each event handled once. One whose handler fails once, because a database
#   is busy for a second, is acknowledged and never handled, and no error is logged at the redelivery. Keep the key in the
#   transaction of the handler's writes, or write a middleware that removes it after an error.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
export GOWORK=off GOFLAGS=-mod=mod
go mod init example.test/finding >/dev/null 2>&1
go get github.com/ThreeDotsLabs/watermill@v1.5.1 2>/dev/null
cat >main.go <<'GO'
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"
)

func main() {
	without := deliver()
	nack := deliver(once())
	retry := deliver(middleware.Retry{MaxRetries: 3}.Middleware, once())
	inner := deliver(once(), middleware.Retry{MaxRetries: 3}.Middleware)
	fmt.Printf("a handler that fails once\nwithout Deduplicator:      %s\nDeduplicator:              %s\nRetry around Deduplicator: %s\nDeduplicator around Retry: %s\n", without, nack, retry, inner)
	const handled, lost = "called 2 times, succeeded 1 times, acknowledged: true", "called 1 times, succeeded 0 times, acknowledged: true"
	if without != handled || nack != lost || retry != lost || inner != handled {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}

// once gives a Deduplicator's middleware whose key is the event's id.
func once() message.HandlerMiddleware {
	d := &middleware.Deduplicator{KeyFactory: middleware.NewMessageHasherFromMetadataField("event_id"), Timeout: time.Second}
	return d.Middleware
}

// deliver publishes one message, whose handler fails the first time, and says how often it was called and what came of it.
func deliver(middlewares ...message.HandlerMiddleware) string {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	pubsub := gochannel.NewGoChannel(gochannel.Config{BlockPublishUntilSubscriberAck: true}, watermill.NopLogger{})
	router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
	check(err)
	router.AddMiddleware(middlewares...)
	var calls, succeeded int
	router.AddConsumerHandler("h", "events", pubsub, func(m *message.Message) error {
		if calls++; calls == 1 {
			return errors.New("the database is busy")
		}
		succeeded++
		return nil
	})
	go router.Run(ctx)
	<-router.Running()
	m := message.NewMessage(watermill.NewUUID(), []byte(`{"id":"event_1"}`))
	m.Metadata.Set("event_id", "event_1")
	check(pubsub.Publish("events", m)) // returns when the message is acknowledged
	acked := ctx.Err() == nil
	check(router.Close())
	return fmt.Sprintf("called %d times, succeeded %d times, acknowledged: %v", calls, succeeded, acked)
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
GO
go get . 2>/dev/null
echo "watermill $(go list -m -f '{{.Version}}' github.com/ThreeDotsLabs/watermill)"
go run .
