// Timing looks for a difference in the time that WebhookVerifier.Verify takes, which hangs on where
// a signature is wrong: who can measure such a difference can find a signature byte by byte.
//
//	go run ./internal/attack/timing
//
// For each pair of classes of headers it measures single calls in random order, crops the slow
// ones, which belong to the machine and not to the code, and compares the means by Welch's t
// test, as dudect does. A |t| above 10 is a leak; one below 4.5 is none that so many
// measurements can show. Two pairs are controls, without which the others would say nothing: a
// pair of the same class must show nothing, and a comparison that ends at the first wrong byte
// must be found out. It exits with 1 where a control fails or there is a leak.
package main

import (
	"flag"
	"fmt"
	"io"
	"math"
	"os"
)

// The limits of |t|, as dudect has them.
const (
	nothing = 4.5
	leaking = 10
)

func main() {
	measurements := flag.Int("n", 1_000_000, "measurements of each class")
	seed := flag.Uint64("seed", 1, "of the random order")
	flag.Parse()
	if *measurements < 1000 {
		_, _ = fmt.Fprintln(os.Stderr, "timing: -n: fewer than 1,000 measurements show nothing")
		os.Exit(2)
	}
	sound, err := run(os.Stdout, *measurements, *seed)
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "timing:", err)
	}
	if err != nil || !sound {
		os.Exit(1)
	}
}

// run measures all pairs and prints a table of them. It reports whether all is as it should be.
func run(out io.Writer, measurements int, seed uint64) (sound bool, err error) {
	probes, err := allProbes()
	if err != nil {
		return false, err
	}
	_, _ = fmt.Fprintf(out, "| %d calls of each class | median | A − B | greatest \\|t\\| | |\n|---|---|---|---|---|\n", measurements)
	sound = true
	for _, p := range probes {
		a, b := p.measure(measurements, seed)
		r := compare(a, b)
		verdict, good := p.judge(r)
		sound = sound && good
		_, _ = fmt.Fprintf(out, "| %s | %.0f ns | %+.2f ns | %.1f | %s |\n", p.name, r.median, r.difference, r.t, verdict)
	}
	return sound, nil
}

// judge says what the result means, and whether it is what it should be.
func (p *probe) judge(r result) (verdict string, good bool) {
	switch found := math.Abs(r.t); {
	case p.leaks && found > leaking:
		return "found, as it should be", true
	case p.leaks:
		return "NOT FOUND: the probe is blind", false
	case found > leaking:
		return "A LEAK", false
	case found > nothing:
		return "unclear: measure again, with more", false
	default:
		return "nothing", true
	}
}
