// Command plots draws what go test -bench printed, and prints its medians as a table:
//
//	go run ./benchmarks/plots -o docs/plots durable.txt peers.txt
//
// A benchmark that is named Name/by=candidate/at=8 and reports events/s and p99-ms goes into
// name.svg: throughput and latency by concurrency. One that is named Name/size=300B/peer=candidate
// goes there as its time over that of the first candidate. Runs of one name are reduced to their
// median. The drawings have no background, and colors that can be read on white and on black.
package main

import (
	"bufio"
	"cmp"
	"flag"
	"fmt"
	"image/color"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

func main() {
	folder := flag.String("o", ".", "folder for the drawings")
	flag.Parse()
	if err := run(*folder, flag.Args(), os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "plots: %v\n", err)
		os.Exit(1)
	}
}

func run(folder string, files []string, stdout io.Writer) error {
	var all results
	for _, name := range files {
		text, err := os.ReadFile(name) //nolint:gosec // named by the user
		if err != nil {
			return err
		}
		if err := all.read(string(text)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if len(all.charts) == 0 {
		return fmt.Errorf("no benchmark to draw in %q", files)
	}
	for _, c := range all.charts {
		if err := c.save(filepath.Join(folder, strings.ToLower(c.name)+".svg")); err != nil {
			return err
		}
		c.print(stdout)
	}
	return nil
}

// results are the benchmarks of all files, in the order in which they ran.
type results struct{ charts []*chart }

// chart has a candidate's values by unit and case: a concurrency, or a size.
type chart struct {
	name       string
	cases      []string
	candidates []string
	values     map[key][]float64
}

type key struct{ candidate, of, unit string }

var benchmark = regexp.MustCompile(`^Benchmark(\w+)/(?:by=([^/\s]+)/at=(\d+)|size=(\w+)/peer=([^/\s]+?))(?:-\d+)?\s+\d+\s+(.*)`)

func (r *results) read(text string) error {
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		m := benchmark.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		c := r.chart(m[1])
		candidate, of := cmp.Or(m[2], m[5]), cmp.Or(m[3], m[4])
		c.candidates, c.cases = add(c.candidates, candidate), add(c.cases, of)
		fields := strings.Fields(m[6])
		for i := 0; i+1 < len(fields); i += 2 {
			v, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return fmt.Errorf("%q: %w", lines.Text(), err)
			}
			k := key{candidate, of, fields[i+1]}
			c.values[k] = append(c.values[k], v)
		}
	}
	return lines.Err()
}

func (r *results) chart(name string) *chart {
	for _, c := range r.charts {
		if c.name == name {
			return c
		}
	}
	c := &chart{name: name, values: map[key][]float64{}}
	r.charts = append(r.charts, c)
	return c
}

func add(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}

// median gives NaN where nothing was measured.
func (c *chart) median(candidate, of, unit string) float64 {
	v := slices.Sorted(slices.Values(c.values[key{candidate, of, unit}]))
	if len(v) == 0 {
		return math.NaN()
	}
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// concurrent reports whether the cases are concurrencies.
func (c *chart) concurrent() bool {
	return !math.IsNaN(c.median(c.candidates[0], c.cases[0], "events/s"))
}

// print writes the medians as Markdown, those of throughput with their ratio to the first
// candidate's.
func (c *chart) print(w io.Writer) {
	_, _ = fmt.Fprintf(w, "\n| %s | %s |\n|---|%s\n", c.name, strings.Join(c.cases, " | "), strings.Repeat("---|", len(c.cases)))
	for _, candidate := range c.candidates {
		cells := make([]string, len(c.cases))
		for i, of := range c.cases {
			first, events := c.median(c.candidates[0], of, "events/s"), c.median(candidate, of, "events/s")
			cells[i] = fmt.Sprintf("%.0f/s (%.2f), p99 %.2g ms", events, events/first, c.median(candidate, of, "p99-ms"))
			if !c.concurrent() {
				ns := c.median(candidate, of, "ns/op")
				cells[i] = fmt.Sprintf("%.0f ns (%.2f)", ns, ns/c.median(c.candidates[0], of, "ns/op"))
			}
		}
		_, _ = fmt.Fprintf(w, "| %s | %s |\n", candidate, strings.Join(cells, " | "))
	}
}

// panel is one of the drawings that stand side by side in a chart.
type panel struct {
	title string
	log   bool // the scale of the values
	value func(candidate, of string) float64
}

func (c *chart) panels() []panel {
	metric := func(unit string) func(string, string) float64 {
		return func(candidate, of string) float64 { return c.median(candidate, of, unit) }
	}
	if !c.concurrent() {
		return []panel{{"time, over that of the baseline", true, func(candidate, of string) float64 {
			return c.median(candidate, of, "ns/op") / c.median(c.candidates[0], of, "ns/op")
		}}}
	}
	all := []panel{{"events a second", false, metric("events/s")}}
	if !math.IsNaN(c.median(c.candidates[0], c.cases[0], "p99-ms")) {
		all = append(all, panel{"99th percentile of the latency, ms", true, metric("p99-ms")})
	}
	return all
}

const (
	width  = 13 * vg.Centimeter // of a panel
	height = 9 * vg.Centimeter
)

var (
	gray    = color.NRGBA{R: 0x7d, G: 0x86, B: 0x90, A: 0xff}
	palette = []color.Color{
		gray, color.NRGBA{R: 0x2f, G: 0x81, B: 0xf7, A: 0xff}, color.NRGBA{R: 0xd9, G: 0x7a, B: 0x1f, A: 0xff},
		color.NRGBA{R: 0x2d, G: 0xa4, B: 0x4e, A: 0xff}, color.NRGBA{R: 0xb5, G: 0x5f, B: 0xd9, A: 0xff},
		color.NRGBA{R: 0xd1, G: 0x4d, B: 0x5f, A: 0xff}, color.NRGBA{R: 0x1f, G: 0x9e, B: 0x9e, A: 0xff},
	}
	shapes = []draw.GlyphDrawer{draw.CircleGlyph{}, draw.BoxGlyph{}, draw.PyramidGlyph{}, draw.CrossGlyph{}, draw.PlusGlyph{}, draw.RingGlyph{}, draw.TriangleGlyph{}}
)

func (c *chart) save(file string) error {
	panels := c.panels()
	canvas := vgsvg.New(width*vg.Length(len(panels)), height)
	for i, panel := range panels {
		p, err := c.draw(panel)
		if err != nil {
			return err
		}
		area := draw.New(canvas)
		area.Min.X, area.Max.X = width*vg.Length(i), width*vg.Length(i+1)
		p.Draw(area)
	}
	out, err := os.Create(file) //nolint:gosec // named by the user
	if err != nil {
		return err
	}
	_, err = canvas.WriteTo(out)
	return cmp.Or(err, out.Close())
}

func (c *chart) draw(of panel) (*plot.Plot, error) {
	p := plot.New()
	p.BackgroundColor = color.Transparent
	p.Title.Text, p.Title.TextStyle.Color, p.Legend.TextStyle.Color = of.title, gray, gray
	p.Title.Padding = vg.Millimeter
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Color, axis.Label.TextStyle.Color, axis.Tick.Color, axis.Tick.Label.Color = gray, gray, gray, gray
	}
	p.X.Label.Text = "at a time"
	if !c.concurrent() {
		p.X.Label.Text = "payload"
	}
	ticks := make(plot.ConstantTicks, len(c.cases))
	for i, name := range c.cases {
		ticks[i] = plot.Tick{Value: float64(i), Label: name}
	}
	p.X.Tick.Marker, p.X.Min, p.X.Max = ticks, 0, float64(len(c.cases)-1)
	p.Legend.Top, p.Legend.Left = true, true
	for i, candidate := range c.candidates {
		points := make(plotter.XYs, 0, len(c.cases))
		for at, name := range c.cases {
			if v := of.value(candidate, name); !math.IsNaN(v) {
				points = append(points, plotter.XY{X: float64(at), Y: v})
			}
		}
		line, marks, err := plotter.NewLinePoints(points)
		if err != nil {
			return nil, fmt.Errorf("%s, %s: %w", c.name, candidate, err)
		}
		line.Color, line.Width = palette[i%len(palette)], vg.Points(1.5)
		marks.Color, marks.Shape, marks.Radius = line.Color, shapes[i%len(shapes)], vg.Points(3)
		p.Add(line, marks)
		p.Legend.Add(candidate, line, marks)
	}
	p.Y.Min = 0
	return p, nil
}
