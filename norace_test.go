//go:build !race

package ittybit_test

const raceEnabled = false
