//go:build race

package ittybit_test

// raceEnabled: under the race detector sync.Pool drops some of what it is given, so
// that allocations can't be counted.
const raceEnabled = true
