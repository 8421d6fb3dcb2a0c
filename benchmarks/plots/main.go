// Command plots draws what go test -bench printed, and prints its medians as tables:
//
//	go run ./benchmarks/plots docs/plots durable.txt peers.txt
//
// What is named Name/by=candidate/at=8, and reports events/s and p99-ms, is drawn into name.svg by
// concurrency, and Name/size=300B/peer=candidate as its time over that of the first candidate. The
// drawings have no background, and colors that can be read on white and on black.
package main

import (
	"cmp"
	"errors"
	"fmt"
	"image/color"
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
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "plots: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return errors.New("want a folder for the drawings, and files that go test -bench printed")
	}
	var text strings.Builder
	for _, name := range args[1:] {
		content, err := os.ReadFile(name) //nolint:gosec // named by the user
		if err != nil {
			return err
		}
		text.Write(content)
	}
	charts := read(text.String())
	if len(charts) == 0 {
		return fmt.Errorf("no benchmark to draw in %q", args[1:])
	}
	for _, c := range charts {
		fmt.Print(c.table())
		if err := c.save(filepath.Join(args[0], strings.ToLower(c.name)+".svg")); err != nil {
			return err
		}
	}
	return nil
}

// chart has the values of one benchmark by candidate, case (a concurrency or a size) and unit.
type chart struct {
	name              string
	candidates, cases []string
	values            map[[3]string][]float64
}

var benchmark = regexp.MustCompile(`(?m)^Benchmark(\w+)/(?:by=(\S+)/at=(\d+)|size=(\w+)/peer=(\S+?))(?:-\d+)?\s+\d+\s+(.*)`)

// read gives the charts, in the order in which they ran.
func read(text string) (charts []*chart) {
	for _, m := range benchmark.FindAllStringSubmatch(text, -1) {
		i := slices.IndexFunc(charts, func(c *chart) bool { return c.name == m[1] })
		if i < 0 {
			i = len(charts)
			charts = append(charts, &chart{name: m[1], values: map[[3]string][]float64{}})
		}
		c, candidate, of := charts[i], m[2]+m[5], m[3]+m[4]
		if !slices.Contains(c.candidates, candidate) {
			c.candidates = append(c.candidates, candidate)
		}
		if !slices.Contains(c.cases, of) {
			c.cases = append(c.cases, of)
		}
		for fields := strings.Fields(m[6]); len(fields) > 1; fields = fields[2:] {
			if v, err := strconv.ParseFloat(fields[0], 64); err == nil {
				key := [3]string{candidate, of, fields[1]}
				c.values[key] = append(c.values[key], v)
			}
		}
	}
	return charts
}

// median gives NaN where nothing was measured.
func (c *chart) median(candidate, of, unit string) float64 {
	v := slices.Sorted(slices.Values(c.values[[3]string{candidate, of, unit}]))
	if len(v) == 0 {
		return math.NaN()
	}
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// ratio is that to the first candidate.
func (c *chart) ratio(candidate, of, unit string) float64 {
	return c.median(candidate, of, unit) / c.median(c.candidates[0], of, unit)
}

func (c *chart) has(unit string) bool {
	return !math.IsNaN(c.median(c.candidates[0], c.cases[0], unit))
}

// table gives the medians, and their ratio to the first candidate's, as Markdown.
func (c *chart) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n| %s | %s |\n|---|%s\n", c.name, strings.Join(c.cases, " | "), strings.Repeat("---|", len(c.cases)))
	unit, format := "ns/op", "%.3g ns"
	if c.has("events/s") {
		unit, format = "events/s", "%.0f/s"
	}
	for _, candidate := range c.candidates {
		fmt.Fprintf(&b, "| %s |", candidate)
		for _, of := range c.cases {
			fmt.Fprintf(&b, " "+format+" (%.2f)", c.median(candidate, of, unit), c.ratio(candidate, of, unit))
			if c.has("p99-ms") {
				fmt.Fprintf(&b, ", %.1f ms", c.median(candidate, of, "p99-ms"))
			}
			b.WriteString(" |")
		}
		b.WriteByte('\n')
	}
	return b.String()
}

var (
	gray    = color.NRGBA{R: 0x7d, G: 0x86, B: 0x90, A: 0xff}
	palette = []color.NRGBA{
		gray, {R: 0x2f, G: 0x81, B: 0xf7, A: 0xff}, {R: 0xd9, G: 0x7a, B: 0x1f, A: 0xff}, {R: 0x2d, G: 0xa4, B: 0x4e, A: 0xff},
		{R: 0xb5, G: 0x5f, B: 0xd9, A: 0xff}, {R: 0xd1, G: 0x4d, B: 0x5f, A: 0xff}, {R: 0x1f, G: 0x9e, B: 0x9e, A: 0xff},
	}
	shapes = []draw.GlyphDrawer{
		draw.CircleGlyph{}, draw.BoxGlyph{}, draw.PyramidGlyph{}, draw.CrossGlyph{}, draw.PlusGlyph{}, draw.RingGlyph{}, draw.TriangleGlyph{},
	}
)

// save draws one or two plots side by side.
func (c *chart) save(file string) error {
	const width, height = 13 * vg.Centimeter, 9 * vg.Centimeter
	var plots []*plot.Plot
	add := func(title string, value func(candidate, of, unit string) float64, unit string) error {
		p, err := c.draw(func(candidate, of string) float64 { return value(candidate, of, unit) })
		p.Title.Text = title
		plots = append(plots, p)
		return err
	}
	var err error
	switch {
	case c.has("p99-ms"):
		err = errors.Join(add("events a second", c.median, "events/s"), add("99th percentile of the latency, ms", c.median, "p99-ms"))
	case c.has("events/s"):
		err = add("events a second", c.median, "events/s")
	default:
		err = add("time, over that of the "+c.candidates[0], c.ratio, "ns/op")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	canvas := vgsvg.New(width*vg.Length(len(plots)), height)
	for i, p := range plots {
		area := draw.New(canvas)
		area.Min.X, area.Max.X = width*vg.Length(i), width*vg.Length(i+1)
		p.Draw(draw.Crop(area, 2*vg.Millimeter, -4*vg.Millimeter, 0, -2*vg.Millimeter))
	}
	out, err := os.Create(file) //nolint:gosec // named by the user
	if err != nil {
		return err
	}
	_, err = canvas.WriteTo(out)
	return cmp.Or(err, out.Close())
}

func (c *chart) draw(value func(candidate, of string) float64) (*plot.Plot, error) {
	p := plot.New()
	p.BackgroundColor = color.Transparent
	p.Title.TextStyle.Color, p.Legend.TextStyle.Color, p.Title.Padding = gray, gray, 2*vg.Millimeter
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Color, axis.Label.TextStyle.Color, axis.Tick.Color, axis.Tick.Label.Color = gray, gray, gray, gray
	}
	p.X.Label.Text = map[bool]string{true: "at a time", false: "payload"}[c.has("events/s")]
	var ticks plot.ConstantTicks
	for i, name := range c.cases {
		ticks = append(ticks, plot.Tick{Value: float64(i), Label: name})
	}
	p.X.Tick.Marker, p.Legend.Top, p.Legend.Left = ticks, true, true
	for i, candidate := range c.candidates {
		var points plotter.XYs
		for at, name := range c.cases {
			points = append(points, plotter.XY{X: float64(at), Y: value(candidate, name)})
		}
		line, marks, err := plotter.NewLinePoints(points)
		if err != nil {
			return p, fmt.Errorf("%s: %w", candidate, err)
		}
		line.Color, line.Width = palette[i%len(palette)], vg.Points(1.5)
		marks.Color, marks.Shape, marks.Radius = line.Color, shapes[i%len(shapes)], vg.Points(3)
		p.Add(line, marks)
		p.Legend.Add(candidate, line, marks)
	}
	p.Legend.Padding = vg.Millimeter
	p.Y.Min, p.Y.Max = 0, p.Y.Max*(1+0.09*float64(len(c.candidates))) // above the lines, room for the legend
	return p, nil
}
