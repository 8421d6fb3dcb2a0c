package main

import (
	"encoding/json"

	"github.com/stripe/stripe-go/v85"
)

// verifyGroups check the signature of the same bytes, each in its own scheme.
func verifyGroups() ([]group, error) {
	return groupsOf(func(p peer, size int) ([]byte, func([]byte) (func([]byte) error, error)) {
		return taskPayload(size), p.verify
	})
}

// parseGroups verify and parse a payload of the form that each library is made for: as many
// bytes, with the same task inside.
func parseGroups() ([]group, error) {
	return groupsOf(func(p peer, size int) ([]byte, func([]byte) (func([]byte) error, error)) {
		return p.payload(size), p.parse
	})
}

// parseCommonGroups verify and parse the same bytes.
func parseCommonGroups() ([]group, error) {
	return groupsOf(func(p peer, size int) ([]byte, func([]byte) (func([]byte) error, error)) {
		return commonPayload(size, stripe.APIVersion), p.parseCommon
	})
}

// groupsOf makes a group for each size, of all peers, with what take gives for a peer.
func groupsOf(take func(p peer, size int) ([]byte, func([]byte) (func([]byte) error, error))) ([]group, error) {
	var groups []group
	for _, size := range sizes() {
		g := group{name: size.name, bytes: size.bytes}
		for _, p := range peers() {
			body, prepare := take(p, size.bytes)
			check, err := prepare(body)
			if err != nil {
				return nil, err
			}
			g.contenders = append(g.contenders, contender{p.name, func() error { return check(body) }})
		}
		groups = append(groups, g)
	}
	return groups, nil
}

// Contenders of scanGroups.
const (
	unmarshalName  = "json.Unmarshal"
	parseEventName = "ParseEvent"
	validName      = "json.Valid"
)

// scanGroups parse without verifying, beside what one scan of the payload takes.
func scanGroups() []group {
	var groups []group
	for _, size := range sizes() {
		body := taskPayload(size.bytes)
		groups = append(groups, group{name: size.name, bytes: size.bytes, contenders: []contender{
			{unmarshalName, func() error { return plainTask(body) }},
			{parseEventName, func() error { return ourTask(body) }},
			{validName, func() error {
				if !json.Valid(body) {
					return errUnexpected
				}
				return nil
			}},
		}})
	}
	return groups
}

// compareAll compares the contenders of each group.
func compareAll(p plan, groups []group, err error) ([]*comparison, error) {
	if err != nil {
		return nil, err
	}
	comparisons := make([]*comparison, len(groups))
	for i, g := range groups {
		if comparisons[i], err = compare(p, g); err != nil {
			return nil, err
		}
	}
	return comparisons, nil
}

func measureVerify(r *report) error {
	groups, err := verifyGroups()
	all, err := compareAll(r.plan, groups, err)
	if err != nil {
		return err
	}
	r.printf("### Verify\n\n")
	r.ratios(all)
	small, large := all[0], all[2]
	ratio := small.ratio(ourName, floorName)
	r.target("Verify, 300 B", "≤ 1.5 × the reused HMAC", ratio.median <= 1.5, "%v", ratio)
	r.target("Verify, 300 B", "no allocation", small.allocs[ourName].count < 1, "%.0f", small.allocs[ourName].count)
	ratio = large.ratio(ourName, floorName)
	r.target("Verify, 64 KB", "≤ 1.03 × the reused HMAC", ratio.median <= 1.03, "%v", ratio)
	return nil
}

func measureParse(r *report) error {
	groups, err := parseGroups()
	own, err := compareAll(r.plan, groups, err)
	if err != nil {
		return err
	}
	r.printf("### Verify and parse, each its own form of payload\n\n")
	r.ratios(own)
	groups, err = parseCommonGroups()
	common, err := compareAll(r.plan, groups, err)
	if err != nil {
		return err
	}
	r.printf("### Verify and parse, the same bytes\n\n")
	r.ratios(common)
	scans, err := compareAll(r.plan, scanGroups(), nil)
	if err != nil {
		return err
	}
	r.printf("### Parse alone, a task\n\n")
	r.ratios(scans)

	ratio := own[0].ratio(stripeName, ourName)
	r.target("Verify and parse, 300 B, each its own form", "≥ 3 × as fast as stripe-go", ratio.median >= 3, "%v", ratio)
	ratio = common[0].ratio(stripeName, ourName)
	r.target("Verify and parse, 300 B, the same bytes", "≥ 3 × as fast as stripe-go", ratio.median >= 3, "%v", ratio)
	ratio = own[0].ratio(ourName, floorName)
	r.target("Verify and parse, 300 B", "≤ 1.3 × (reused HMAC + json.Unmarshal)", ratio.median <= 1.3, "%v", ratio)
	count := own[0].allocs[ourName].count
	r.target("Verify and parse, 300 B", "≤ 15 allocations", count <= 15, "%.0f (floor: %.0f)", count, own[0].allocs[floorName].count)
	more := extraScans(scans[2])
	r.target("Parse, 64 KB", "scanned no more often than by json.Unmarshal", more.median < 0.5, "%+.2f scans (%+.2f to %+.2f)", more.median, more.low, more.high)
	return nil
}

// extraScans gives how much longer ParseEvent takes than json.Unmarshal, in scans of the
// payload: in what json.Valid takes.
func extraScans(c *comparison) spread {
	scans := make([]float64, len(c.nanos[parseEventName]))
	for i, nanos := range c.nanos[parseEventName] {
		scans[i] = (nanos - c.nanos[unmarshalName][i]) / c.nanos[validName][i]
	}
	return spreadOf(scans)
}
