package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func BenchmarkVerify(b *testing.B) { benchmarkGroups(b, verifyGroups) }

func BenchmarkVerifyAndParse(b *testing.B) { benchmarkGroups(b, parseGroups) }

func BenchmarkVerifyAndParseCommon(b *testing.B) { benchmarkGroups(b, parseCommonGroups) }

func BenchmarkParse(b *testing.B) {
	benchmarkGroups(b, func() ([]group, error) { return scanGroups(), nil })
}

func BenchmarkHandler(b *testing.B) { benchmarkGroups(b, handlerGroups) }

func BenchmarkGet(b *testing.B) {
	groups, stop, err := getGroups()
	require.NoError(b, err)
	defer stop()
	benchmarkGroups(b, func() ([]group, error) { return groups, nil })
}

func BenchmarkDeduplicatorNew(b *testing.B) {
	fresh, _, err := deduplicatorGroups(10_000, 100_000)
	benchmarkGroups(b, func() ([]group, error) { return fresh, err })
}

func BenchmarkDeduplicatorSeen(b *testing.B) {
	_, seen, err := deduplicatorGroups(10_000, 100_000)
	benchmarkGroups(b, func() ([]group, error) { return seen, err })
}

// benchmarkGroups runs the contenders that the command compares.
func benchmarkGroups(b *testing.B, groups func() ([]group, error)) {
	all, err := groups()
	require.NoError(b, err)
	for _, g := range all {
		for _, c := range g.contenders {
			b.Run(g.name+"/"+c.name, func(b *testing.B) {
				b.SetBytes(int64(g.bytes))
				b.ReportAllocs()
				for b.Loop() {
					if err := c.run(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkLoopback(b *testing.B) {
	for _, s := range scenarios() {
		b.Run(s.name, func(b *testing.B) {
			targets, err := s.targets()
			defer func() {
				for _, t := range targets {
					t.stop()
				}
			}()
			require.NoError(b, err)
			for _, t := range targets {
				b.Run(t.endpoint.name, func(b *testing.B) { benchmarkLoad(b, s, t) })
			}
		})
	}
}

func benchmarkLoad(b *testing.B, s scenario, t *loadTarget) {
	b.SetBytes(int64(s.size))
	b.RunParallel(func(pb *testing.PB) {
		c, err := s.dial(t.server.address)
		if err != nil {
			b.Error(err)
			return
		}
		defer c.close()
		for pb.Next() {
			if err := c.post(t.pool.next()); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
