#!/usr/bin/env bash
# Software: github.com/maypok86/otter/v2 v2.4.0 and github.com/Yiling-J/theine-go v0.6.3, beside
#   github.com/hashicorp/golang-lru/v2 v2.0.7.
# Expected: a cache of 10,000 entries, into which each event's id is put once, has more or less the last 10,000 ids.
#   SetIfAbsent of an id of the last minute finds it.
# Seen: once the cache is full, it has the last hundred. Both decide by frequency (W-TinyLFU): an id that was seen once is
#   not worth more than the old ids that were seen once, so that the new one is dropped when it leaves the entrance, which
#   is 1% of the size. The rest of the cache is filled with old ids that nobody asks for. A plain LRU has all of them.
# Why it matters: the ids of events are the one load that such a cache is not for, and its size and expiry promise
#   otherwise. A test with fewer events than the size passes; in production the sender's repeat, which comes a minute
#   later, is handled as new. Use an LRU, or a map with an expiry, where "was seen" must hold.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
export GOWORK=off GOFLAGS=-mod=mod
go mod init example.test/finding >/dev/null 2>&1
go get github.com/maypok86/otter/v2@v2.4.0 github.com/Yiling-J/theine-go@v0.6.3 github.com/hashicorp/golang-lru/v2@v2.0.7 2>/dev/null
cat >main.go <<'GO'
package main

import (
	"fmt"
	"os"
	"time"

	"github.com/Yiling-J/theine-go"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/maypok86/otter/v2"
)

const size, events = 10_000, 50_000

func main() {
	o := otter.Must(&otter.Options[string, bool]{MaximumSize: size, ExpiryCalculator: otter.ExpiryCreating[string, bool](time.Hour)})
	otterKnows := run("otter", func(id string) { o.SetIfAbsent(id, true) }, o.CleanUp, func(id string) bool {
		_, known := o.GetEntryQuietly(id)
		return known
	})
	t, err := theine.NewBuilder[string, bool](size).Build()
	check(err)
	defer t.Close()
	held := map[string]bool{}
	theineKnows := run("theine", func(id string) { t.SetWithTTL(id, true, 1, time.Hour) }, t.Wait, func(id string) bool {
		if len(held) == 0 {
			t.Range(func(id string, _ bool) bool { held[id] = true; return true })
		}
		return held[id]
	})
	l, err := lru.New[string, bool](size)
	check(err)
	lruKnows := run("golang-lru", func(id string) { l.ContainsOrAdd(id, true) }, func() {}, l.Contains)
	if otterKnows > 0.1 || theineKnows > 0.1 || lruKnows < 1 {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}

// run puts the ids of all events into a cache, and gives which part of those from 200 to 9,999 events ago it knows then.
func run(name string, put func(string), wait func(), knows func(string) bool) float64 {
	for i := range events {
		put(fmt.Sprintf("event_%d", i))
		if i%50 == 0 {
			wait() // until the cache has done what it does in the background
		}
	}
	wait()
	known := func(from, to int) (n int) {
		for back := from; back < to; back++ {
			if knows(fmt.Sprintf("event_%d", events-1-back)) {
				n++
			}
		}
		return n
	}
	recent, older := known(0, 50), known(200, size)
	fmt.Printf("%-10s knows %d of the last 50 ids, and %d of the %d before the last 200\n", name, recent, older, size-200)
	if recent < 45 {
		return 0.5 // neither of what was seen
	}
	return float64(older) / (size - 200)
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
GO
go get . 2>/dev/null
echo "otter $(go list -m -f '{{.Version}}' github.com/maypok86/otter/v2), theine $(go list -m -f '{{.Version}}' github.com/Yiling-J/theine-go), golang-lru $(go list -m -f '{{.Version}}' github.com/hashicorp/golang-lru/v2)"
go run .
