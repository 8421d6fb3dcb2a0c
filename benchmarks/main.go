// Command benchmarks measures ittybit-go beside other webhook libraries, and beside the
// least that anybody has to do, in one run on the same bytes, and prints the result as
// Markdown:
//
//	go run ./benchmarks
//	go run ./benchmarks -section parse -rounds 101
//
// What is measured, and how to read it, is in docs/performance.md.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/pprof"
	"strings"
	"time"
)

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// section is a part of the report.
type section struct {
	name string
	run  func(r *report) error
}

func sections() []section {
	return []section{
		{"verify", measureVerify},
		{"parse", measureParse},
		{"handler", measureHandler},
		{"loopback", measureLoopback},
		{"client", measureClient},
		{"list", measureList},
		{"memory", measureMemory},
		{"deduplicator", measureDeduplicator},
	}
}

func run(args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("benchmarks", flag.ContinueOnError)
	flags.SetOutput(stderr)
	var names []string
	for _, s := range sections() {
		names = append(names, s.name)
	}
	only := flags.String("section", "", "run this section only: "+strings.Join(names, ", "))
	rounds := flags.Int("rounds", 41, "how often each contender has its turn")
	profile := flags.String("cpuprofile", "", "write a processor profile to this file")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *rounds < 1 {
		return fmt.Errorf("rounds: %d is not 1 or more", *rounds)
	}
	if *profile != "" {
		stop, err := startProfile(*profile)
		if err != nil {
			return err
		}
		defer stop()
	}
	start := time.Now()
	r := &report{plan: plan{rounds: *rounds, slice: 5 * time.Millisecond, budget: 2 * time.Second}}
	found := false
	for _, s := range sections() {
		if *only != "" && *only != s.name {
			continue
		}
		found = true
		_, _ = fmt.Fprintf(stderr, "%4.0f s  %s\n", time.Since(start).Seconds(), s.name)
		if err := s.run(r); err != nil {
			return fmt.Errorf("section %s: %w", s.name, err)
		}
	}
	if !found {
		return fmt.Errorf("section %q: there are %s", *only, strings.Join(names, ", "))
	}
	return r.write(stdout, time.Since(start))
}

// startProfile writes a processor profile until it is stopped.
func startProfile(name string) (stop func(), err error) {
	file, err := os.Create(name) //nolint:gosec // named by whoever runs the command
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		_ = file.Close()
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		_ = file.Close() // a profile that was cut is seen when it is read
	}, nil
}
