package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v85"
)

func TestPayloads_areAsLongAsTheySay(t *testing.T) {
	for _, size := range sizes() {
		assert.Len(t, string(commonPayload(size.bytes, stripe.APIVersion)), size.bytes, "%s, common", size.name)
		for _, p := range peers() {
			assert.Len(t, string(p.payload(size.bytes)), size.bytes, "%s, %s", size.name, p.name)
		}
	}
}

// Whoever is compared must really check what it is given.
func TestPeers_takeWhatIsSignedAndRefuseAFlippedByte(t *testing.T) {
	for _, size := range sizes()[:3] {
		for _, p := range peers() {
			for name, tt := range map[string]struct {
				body    []byte
				prepare func([]byte) (func([]byte) error, error)
			}{
				"verify":                  {taskPayload(size.bytes), p.verify},
				"verify and parse":        {p.payload(size.bytes), p.parse},
				"verify and parse common": {commonPayload(size.bytes, stripe.APIVersion), p.parseCommon},
			} {
				t.Run(strings.Join([]string{p.name, size.name, name}, "/"), func(t *testing.T) {
					check, err := tt.prepare(tt.body)
					require.NoError(t, err)
					require.NoError(t, check(tt.body))
					for _, at := range []int{0, len(tt.body) / 2, len(tt.body) - 1} {
						flipped := append([]byte(nil), tt.body...)
						flipped[at] ^= 1
						assert.Error(t, check(flipped), "byte %d", at)
					}
				})
			}
		}
	}
}

// A plain struct is the floor, and stripe-go and openai-go are those that parse what they verify.
func TestAllocations_areNoMoreThanThePeers(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector adds allocations")
	}
	count := func(groups []group, err error, size, name string) float64 {
		require.NoError(t, err)
		for _, g := range groups {
			for _, c := range g.contenders {
				if g.name == size && c.name == name {
					return testing.AllocsPerRun(20, func() {
						if err := c.run(); err != nil {
							t.Error(err)
						}
					})
				}
			}
		}
		t.Fatalf("no contender %s, %s", size, name)
		return 0
	}
	verify, verifyErr := verifyGroups()
	parse, parseErr := parseGroups()
	common, commonErr := parseCommonGroups()
	for _, size := range sizes()[:3] {
		assert.Zero(t, count(verify, verifyErr, size.name, ourName), "Verify, %s", size.name)
		for _, name := range []string{floorName, stripeName, openAIName} {
			assert.LessOrEqual(t, count(parse, parseErr, size.name, ourName), count(parse, parseErr, size.name, name), "parse, %s, %s", size.name, name)
			assert.LessOrEqual(t, count(common, commonErr, size.name, ourName), count(common, commonErr, size.name, name), "parse common, %s, %s", size.name, name)
		}
	}
}
