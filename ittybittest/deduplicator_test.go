package ittybittest_test

import (
	"testing"
	"time"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
)

func TestDeduplicator_memory(t *testing.T) {
	for name, newStore := range map[string]func(*testing.T) ittybit.Deduplicator{
		"the zero one": func(*testing.T) ittybit.Deduplicator { return new(ittybit.MemoryDeduplicator) },
		"a small one":  func(*testing.T) ittybit.Deduplicator { return ittybit.NewMemoryDeduplicator(10, time.Hour) },
		"a large one":  func(*testing.T) ittybit.Deduplicator { return ittybit.NewMemoryDeduplicator(100_000, time.Hour) },
	} {
		t.Run(name, func(t *testing.T) { ittybittest.TestDeduplicator(t, newStore) })
	}
}
