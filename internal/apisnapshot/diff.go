package main

import (
	"fmt"
	"io"
	"strings"
)

// changes is how one API differs from another.
type changes struct {
	removed, added []string
	changed        []change
}

// change is what was said of one thing before, and what is said now.
type change struct{ before, after string }

func (c changes) none() bool {
	return len(c.removed) == 0 && len(c.added) == 0 && len(c.changed) == 0
}

// compare gives how the lines of before differ from those of after.
func compare(before, after []string) changes {
	then, now := bySubject(before), bySubject(after)
	var c changes
	for _, line := range before {
		switch other, found := now[subject(line)]; {
		case !found:
			c.removed = append(c.removed, line)
		case other != line:
			c.changed = append(c.changed, change{line, other})
		}
	}
	for _, line := range after {
		if _, found := then[subject(line)]; !found {
			c.added = append(c.added, line)
		}
	}
	return c
}

func bySubject(lines []string) map[string]string {
	found := make(map[string]string, len(lines))
	for _, line := range lines {
		found[subject(line)] = line
	}
	return found
}

// subject is the part of a line that names what the rest of it describes: its first two
// words, as in "method Client.Close" for "method (*Client).Close() error".
func subject(line string) string {
	word, rest, _ := strings.Cut(line, " ")
	if word == "implements" {
		return line
	}
	receiver, method, found := strings.Cut(strings.TrimPrefix(rest, "("), ").")
	if strings.HasPrefix(rest, "(") && found {
		rest = strings.TrimPrefix(receiver, "*") + "." + method
	}
	if end := strings.IndexAny(rest, " (["); end >= 0 {
		rest = rest[:end]
	}
	return word + " " + rest
}

// print writes the changes of a file for people.
func (c changes) print(w io.Writer, file string) {
	_, _ = fmt.Fprintf(w, "%s: %d removed, %d changed, %d added\n", file, len(c.removed), len(c.changed), len(c.added))
	for _, line := range c.removed {
		_, _ = fmt.Fprintf(w, "  removed  %s\n", line)
	}
	for _, change := range c.changed {
		_, _ = fmt.Fprintf(w, "  changed  %s\n       to  %s\n", change.before, change.after)
	}
	for _, line := range c.added {
		_, _ = fmt.Fprintf(w, "  added    %s\n", line)
	}
}
