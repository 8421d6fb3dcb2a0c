// Command pairs runs two builds, or two commands, in turns, so that whatever else the machine does
// hits both, and prints the ratio of each benchmark within the pairs.
//
//	go run ./benchmarks/pairs e534ef9 .                  # a commit and the working tree, 21 pairs
//	go run ./benchmarks/pairs -n 9 -bench Verify v0.1.0 HEAD
//	go run ./benchmarks/pairs -run 'command a' 'command b'
//
// A build is a commit or the folder of a tree; the benchmarks are those of benchmarks/hotpath, as
// they are now. A command prints what go test -bench prints.
package main

import (
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
	"regexp"
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
	n := flags.Int("n", 21, "number of pairs")
	bench := flags.String("bench", ".", "benchmarks to run, as for go test")
	benchtime := flags.String("benchtime", "200ms", "time of each benchmark, as for go test")
	folder := flags.String("o", "", "folder for what the two print, for benchstat: a.txt and b.txt")
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
		sides[i] = side{command: []string{"sh", "-c", arg}, nanos: map[string][]float64{}}
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
	for i := 0; *folder != "" && i < len(sides); i++ {
		if err := os.WriteFile(filepath.Join(*folder, []string{"a.txt", "b.txt"}[i]), sides[i].printed.Bytes(), 0o600); err != nil {
			return err
		}
	}
	return printRatios(stdout, &sides)
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
	printed bytes.Buffer
	nanos   map[string][]float64 // of an operation, by benchmark, one value a pair
}

// BenchmarkVerify/300B-2  1000  281.5 ns/op …
var result = regexp.MustCompile(`(?m)^(Benchmark\S*)\s+\S+\s+(\S+) ns/op`)

// measure runs the side once.
func (s *side) measure(ctx context.Context) error {
	out, err := output(ctx, ".", s.command[0], s.command[1:]...)
	if err != nil {
		return err
	}
	s.printed.WriteString(out + "\n")
	for _, m := range result.FindAllStringSubmatch(out, -1) {
		nanos, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			return err
		}
		s.nanos[m[1]] = append(s.nanos[m[1]], nanos)
	}
	if len(s.nanos) == 0 {
		return fmt.Errorf("%s printed no benchmark:\n%s", s.command, out)
	}
	return nil
}

// printRatios prints, for each benchmark, the median and the quartiles of the second side's time
// over the first one's in the same pair.
func printRatios(w io.Writer, sides *[2]side) error {
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
		last := len(ratios) - 1
		_, _ = fmt.Fprintf(w, "%-32s %.3f (%.3f to %.3f)\n", name, (ratios[last/2]+ratios[(last+1)/2])/2, ratios[last/4], ratios[last*3/4])
	}
	return nil
}
