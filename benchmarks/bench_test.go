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
