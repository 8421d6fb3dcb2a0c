// Command pairs runs two builds, or two commands, in turns, so that whatever else the machine does
// hits both, and prints the ratio of each benchmark within the pairs, and what benchstat says.
//
//	go run ./benchmarks/pairs e534ef9 .                  # a commit and the working tree, 20 pairs
//	go run ./benchmarks/pairs -n 10 -bench Verify v0.1.0 HEAD
//	go run ./benchmarks/pairs -run 'command a' 'command b'
//
// A build is a commit or the folder of a tree; the benchmarks are those of benchmarks/hotpath, as
// they are now. A command prints what go test -bench prints.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintf(os.Stderr, "pairs: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("pairs", flag.ContinueOnError)
	flags.SetOutput(stderr)
	n := flags.Int("n", 20, "number of pairs")
	bench := flags.String("bench", ".", "benchmarks to run, as for go test")
	benchtime := flags.String("benchtime", "200ms", "time of each benchmark, as for go test")
	commands := flags.Bool("run", false, "the arguments are commands for sh, and not builds")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 2 || *n < 1 {
		return fmt.Errorf("want two arguments and at least one pair; got %q and %d", flags.Args(), *n)
	}
	work, err := os.MkdirTemp("", "ittybit-pairs-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work) //nolint:errcheck // a folder for temporary files
	var sides [2]side
	for i, arg := range flags.Args() {
		sides[i] = side{file: filepath.Join(work, []string{"a.txt", "b.txt"}[i]), command: []string{"sh", "-c", arg}}
		if !*commands {
			binary := filepath.Join(work, fmt.Sprintf("hotpath%d.test", i))
			if err := build(ctx, work, arg, binary); err != nil {
				return fmt.Errorf("%s: %w", arg, err)
			}
			sides[i].command = []string{binary, "-test.bench=" + *bench, "-test.benchtime=" + *benchtime, "-test.run=^$"}
		}
	}
	for pair := range *n {
		_, _ = fmt.Fprintf(stderr, "pair %d of %d\n", pair+1, *n)
		for i := range sides {
			// Neither is always the first.
			if err := sides[(i+pair)%2].measure(ctx); err != nil {
				return err
			}
		}
	}
	if err := printRatios(stdout, sides); err != nil {
		return err
	}
	return benchstat(ctx, stdout, sides)
}

// build compiles the benchmarks of hotpath against a commit, or the tree in a folder.
func build(ctx context.Context, work, what, binary string) error {
	root, err := output(ctx, ".", "git", "rev-parse", "--show-toplevel")
	if err != nil {
		return err
	}
	tree := what
	if info, err := os.Stat(what); err != nil || !info.IsDir() {
		tree = binary + ".tree"
		if _, err := output(ctx, root, "git", "worktree", "add", "--detach", tree, what); err != nil {
			return err
		}
		defer output(context.WithoutCancel(ctx), root, "git", "worktree", "remove", "--force", tree) //nolint:errcheck // git prunes it later
	}
	if tree, err = filepath.Abs(tree); err != nil {
		return err
	}
	// The file is laid over the tree, into the root module, and so depends on nothing else of it.
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {
		filepath.Join(tree, "internal", "hotpath", "hotpath_test.go"): filepath.Join(root, "benchmarks", "hotpath", "hotpath_test.go"),
	}})
	if err != nil {
		return err
	}
	name := filepath.Join(work, "overlay.json")
	if err := os.WriteFile(name, overlay, 0o600); err != nil {
		return err
	}
	_, err = output(ctx, tree, "env", "GOWORK=off", "go", "test", "-c", "-vet=off", "-overlay", name, "-o", binary, "./internal/hotpath")
	return err
}

// output runs a command and gives what it prints.
func output(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // this is what the program is for
	var stderr bytes.Buffer
	cmd.Dir, cmd.Stderr = dir, &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(args, " "), err, out, stderr.Bytes())
	}
	return strings.TrimSpace(string(out)), nil
}

// side is one of the two.
type side struct {
	command []string
	file    string               // all that it printed, for benchstat
	nanos   map[string][]float64 // of an operation, by benchmark, one value a pair
}

// measure runs the side once.
func (s *side) measure(ctx context.Context) error {
	out, err := output(ctx, ".", s.command[0], s.command[1:]...)
	if err != nil {
		return err
	}
	if s.nanos == nil {
		s.nanos = map[string][]float64{}
	}
	scanner := bufio.NewScanner(strings.NewReader(out))
	for scanner.Scan() {
		fields := strings.Fields(scanner.Text()) // BenchmarkVerify/300B-2  1000  281.5 ns/op …
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") || fields[3] != "ns/op" {
			continue
		}
		nanos, err := strconv.ParseFloat(fields[2], 64)
		if err != nil {
			return err
		}
		s.nanos[fields[0]] = append(s.nanos[fields[0]], nanos)
	}
	if len(s.nanos) == 0 {
		return fmt.Errorf("%s printed no benchmark:\n%s", s.command, out)
	}
	file, err := os.OpenFile(s.file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(out + "\n")
	return errors.Join(err, file.Close())
}

// printRatios prints, for each benchmark, the median and the quartiles of the second side's time
// over the first one's in the same pair.
func printRatios(w io.Writer, sides [2]side) error {
	var names []string
	for name, first := range sides[0].nanos {
		if len(first) == len(sides[1].nanos[name]) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return errors.New("the two have no benchmark in common")
	}
	slices.Sort(names)
	for _, name := range names {
		ratios := make([]float64, len(sides[0].nanos[name]))
		for i, before := range sides[0].nanos[name] {
			ratios[i] = sides[1].nanos[name][i] / before
		}
		slices.Sort(ratios)
		_, _ = fmt.Fprintf(w, "%-32s %.3f (%.3f to %.3f)\n", name, quantile(ratios, 0.5), quantile(ratios, 0.25), quantile(ratios, 0.75))
	}
	return nil
}

// quantile takes the value at q, from 0 to 1, of sorted values, or one between two of them.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	below := int(at)
	above := min(below+1, len(sorted)-1)
	return sorted[below] + (at-float64(below))*(sorted[above]-sorted[below])
}

// benchstat prints whether the differences are significant.
func benchstat(ctx context.Context, w io.Writer, sides [2]side) error {
	root, err := output(ctx, ".", "git", "rev-parse", "--show-toplevel")
	if err != nil {
		return err
	}
	out, err := output(ctx, filepath.Join(root, ".ci"), "go", "tool", "benchstat", "first="+sides[0].file, "second="+sides[1].file)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "\n%s\n", out)
	return err
}
