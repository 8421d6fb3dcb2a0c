package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// report collects what was measured, as Markdown.
type report struct {
	plan    plan
	body    strings.Builder
	targets []target
}

// target is what is to be reached, and what was.
type target struct {
	name, goal, measured string
	reached              bool
}

func (r *report) printf(format string, args ...any) { _, _ = fmt.Fprintf(&r.body, format, args...) }

// target notes whether a target was reached in this run.
func (r *report) target(name, goal string, reached bool, format string, args ...any) {
	r.targets = append(r.targets, target{name, goal, fmt.Sprintf(format, args...), reached})
}

// table prints rows of cells, the first row as the heading.
func (r *report) table(rows [][]string) {
	for i, row := range rows {
		r.printf("| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			r.printf("|%s\n", strings.Repeat(" --- |", len(row)))
		}
	}
	r.printf("\n")
}

// ratios prints the times of all contenders of the groups, a row each and a column for each
// group, over the floor's; and the allocations of one run in the first and the last group.
func (r *report) ratios(comparisons []*comparison) {
	heading := []string{"time, × the floor's"}
	for _, c := range comparisons {
		heading = append(heading, c.group.name)
	}
	first, last := comparisons[0], comparisons[len(comparisons)-1]
	heading = append(heading, "allocations, "+first.group.name)
	if last != first {
		heading = append(heading, "allocations, "+last.group.name)
	}
	rows := [][]string{heading}
	for _, contender := range first.group.contenders {
		row := []string{contender.name}
		for _, c := range comparisons {
			if contender.name == c.floor() {
				row = append(row, fmt.Sprintf("1 (= %s)", duration(spreadOf(c.nanos[contender.name]).median)))
				continue
			}
			row = append(row, c.ratio(contender.name, c.floor()).String())
		}
		row = append(row, first.allocs[contender.name].String())
		if last != first {
			row = append(row, last.allocs[contender.name].String())
		}
		rows = append(rows, row)
	}
	r.table(rows)
}

// String gives the median and the quartiles of a ratio.
func (s spread) String() string {
	digits := 2
	if s.median >= 10 {
		digits = 1
	}
	return fmt.Sprintf("%.*f (%.*f–%.*f)", digits, s.median, digits, s.low, digits, s.high)
}

// String gives the allocations, and how many bytes they are.
func (a allocations) String() string {
	return fmt.Sprintf("%.0f, %s", a.count, byteSize(a.bytes))
}

func byteSize(bytes float64) string {
	switch {
	case bytes >= 1<<20:
		return fmt.Sprintf("%.1f MiB", bytes/(1<<20))
	case bytes >= 1<<10:
		return fmt.Sprintf("%.1f KiB", bytes/(1<<10))
	default:
		return fmt.Sprintf("%.0f B", bytes)
	}
}

// duration prints nanoseconds with three digits.
func duration(nanos float64) string {
	switch {
	case nanos >= 1e9:
		return fmt.Sprintf("%.3g s", nanos/1e9)
	case nanos >= 1e6:
		return fmt.Sprintf("%.3g ms", nanos/1e6)
	case nanos >= 1e3:
		return fmt.Sprintf("%.3g µs", nanos/1e3)
	default:
		return fmt.Sprintf("%.3g ns", nanos)
	}
}

// write prints the whole report.
func (r *report) write(w io.Writer, took time.Duration) error {
	var b strings.Builder
	_, _ = fmt.Fprintf(&b, "%s, %s/%s, %s, %d cores (GOMAXPROCS %d). %s; %d rounds, %.0f s in all.\n\n",
		time.Now().UTC().Format(time.DateOnly), runtime.GOOS, runtime.GOARCH, processor(), runtime.NumCPU(), runtime.GOMAXPROCS(0),
		runtime.Version(), r.plan.rounds, took.Seconds())
	_, _ = fmt.Fprintf(&b, "Peers: %s.\n\n", strings.Join(peerVersions(), ", "))
	if len(r.targets) > 0 {
		_, _ = fmt.Fprintf(&b, "### Targets\n\n| | target | measured | reached |\n| --- | --- | --- | --- |\n")
		for _, t := range r.targets {
			reached := "yes"
			if !t.reached {
				reached = "**no**"
			}
			_, _ = fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", t.name, t.goal, t.measured, reached)
		}
		_, _ = fmt.Fprintf(&b, "\n")
	}
	_, err := io.WriteString(w, b.String()+strings.TrimRight(r.body.String(), "\n")+"\n")
	return err
}

// peerVersions are the versions that this program was built with.
func peerVersions() []string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	var versions []string
	for _, module := range info.Deps {
		for _, peer := range peerModules() {
			if name := strings.TrimPrefix(module.Path, "github.com/"); strings.HasPrefix(name, peer) {
				versions = append(versions, name+" "+module.Version)
			}
		}
	}
	return versions
}

// peerModules are how the peers' modules begin, on GitHub.
func peerModules() []string {
	return []string{"stripe/stripe-go/", "standard-webhooks/standard-webhooks/", "svix/svix-webhooks", "google/go-github/", "openai/openai-go/"}
}
