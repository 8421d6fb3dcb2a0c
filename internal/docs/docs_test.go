// Package docs has the tests of the Markdown files: their Go code compiles, and their links lead
// somewhere.
package docs

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const root = "../.."

// markdown reads all Markdown files, by their path from the root.
func markdown(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && path != root) {
			return fs.SkipDir
		}
		if filepath.Ext(path) == ".md" {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			files[strings.TrimPrefix(filepath.ToSlash(path), root+"/")] = string(data)
		}
		return nil
	}))
	require.Contains(t, files, "README.md")
	return files
}

// A block of Go code is a whole file, or a part of one: declarations, or statements. What a part
// uses and does not declare, such as imageURL, a comment <!-- go … --> above it declares, for all
// blocks that follow in that file.
var goCode = regexp.MustCompile("(?ms)^<!-- go\n(.*?)^-->$|^ *```go\n(.*?)^ *```$")

// imports are those that a part gets where it uses their name.
var imports = map[string]string{
	"context": "context", "errors": "errors", "fmt": "fmt", "hash": "hash", "http": "net/http", "httptest": "net/http/httptest",
	"io": "io", "log": "log", "os": "os", "slog": "log/slog", "sql": "database/sql", "strings": "strings", "synctest": "testing/synctest",
	"testing": "testing", "time": "time", "lambda": "github.com/aws/aws-lambda-go/lambda",
	"pgx": "github.com/jackc/pgx/v5", "pgxpool": "github.com/jackc/pgx/v5/pgxpool", "require": "github.com/stretchr/testify/require",
	"river": "github.com/riverqueue/river", "riverpgxv5": "github.com/riverqueue/river/riverdriver/riverpgxv5",
	"ittybit": "github.com/ittybit/ittybit-go", "ittybittest": "github.com/ittybit/ittybit-go/ittybittest",
	"sqlinbox": "github.com/ittybit/ittybit-go/sqlinbox", "pgxinbox": "github.com/ittybit/ittybit-go/sqlinbox/pgxinbox",
	"riverevents": "github.com/ittybit/ittybit-go/riverevents",
}

// file makes a whole file of a block.
func file(preamble, code string) string {
	if strings.HasPrefix(code, "package ") {
		return code
	}
	// Statements go into a function, and what declares at the top level stays there.
	var statements, declarations strings.Builder
	to := &statements
	for line := range strings.Lines(code) {
		if strings.HasPrefix(line, "func ") || strings.HasPrefix(line, "type ") {
			to = &declarations
		}
		to.WriteString(line)
		if to == &declarations && strings.HasPrefix(line, "}") {
			to = &statements
		}
	}
	body := preamble + declarations.String() + "\nfunc _() error {\n" + statements.String() + "\nreturn nil\n}\n"
	var source strings.Builder
	source.WriteString("package docs\n")
	for name, path := range imports {
		if regexp.MustCompile(`\b` + name + `\.[A-Z]`).MatchString(body) {
			fmt.Fprintf(&source, "import %q\n", path)
		}
	}
	return source.String() + body
}

func TestGoCode_compiles(t *testing.T) {
	dir := t.TempDir()
	work, err := os.ReadFile(filepath.Join(root, "go.work"))
	require.NoError(t, err)
	absolute, err := filepath.Abs(root)
	require.NoError(t, err)
	// A workspace with a module of the blocks beside those that are there.
	text := regexp.MustCompile(`(?m)(^\t|=> )(\./?)`).ReplaceAllString(string(work), "${1}"+absolute+"/")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.work"), []byte(text+"\nuse ./blocks\n"), 0o600))
	sum, err := os.ReadFile(filepath.Join(root, "go.work.sum"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.work.sum"), sum, 0o600))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "blocks"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "blocks", "go.mod"), []byte("module example.com/docs\n\ngo 1.26.0\n"), 0o600))

	places := map[string]string{}
	for name, content := range markdown(t) {
		preamble := ""
		for _, at := range goCode.FindAllStringSubmatchIndex(content, -1) {
			if at[2] >= 0 {
				preamble += content[at[2]:at[3]]
				continue
			}
			block := fmt.Sprintf("block%d", len(places))
			places[block] = fmt.Sprintf("%s:%d", name, 1+strings.Count(content[:at[0]], "\n"))
			require.NoError(t, os.Mkdir(filepath.Join(dir, "blocks", block), 0o700))
			source := file(preamble, content[at[4]:at[5]])
			require.NoError(t, os.WriteFile(filepath.Join(dir, "blocks", block, "main.go"), []byte(source), 0o600))
		}
	}
	require.NotEmpty(t, places)
	cmd := exec.CommandContext(t.Context(), "go", "build", "-gcflags=-e", "-o", os.DevNull, "./...")
	cmd.Dir = filepath.Join(dir, "blocks")
	cmd.Env = append(os.Environ(), "GOWORK="+filepath.Join(dir, "go.work"))
	out, err := cmd.CombinedOutput()
	// In a part, what is declared to be shown need not be used.
	var wrong []string
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "declared and not used") || strings.HasPrefix(line, "#") {
			continue
		}
		for block, place := range places {
			line = strings.ReplaceAll(line, block+"/main.go", place+": "+block)
		}
		wrong = append(wrong, line)
	}
	assert.Empty(t, strings.Join(wrong, ""), "%v", err)
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.*)$`)
	fenced  = regexp.MustCompile("(?ms)^ *```.*?^ *```$")
)

// anchor is what GitHub makes of a heading.
func anchor(heading string) string {
	heading = strings.ToLower(strings.NewReplacer("`", "", "*", "").Replace(heading))
	heading = regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(heading, "")
	return strings.ReplaceAll(heading, " ", "-")
}

func TestLinks_leadSomewhere(t *testing.T) {
	files := markdown(t)
	anchors := map[string][]string{}
	for name, content := range files {
		for _, found := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(content, ""), -1) {
			anchors[name] = append(anchors[name], anchor(found[1]))
		}
	}
	checked := 0
	for name, content := range files {
		for _, found := range link.FindAllStringSubmatch(fenced.ReplaceAllString(content, ""), -1) {
			target, fragment, _ := strings.Cut(found[1], "#")
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			checked++
			path := name
			if target != "" {
				path = filepath.ToSlash(filepath.Join(filepath.Dir(name), target))
				_, err := os.Stat(filepath.Join(root, path))
				assert.NoError(t, err, "%s: %s", name, found[1])
			}
			if fragment != "" {
				assert.True(t, slices.Contains(anchors[path], fragment), "%s: %s", name, found[1])
			}
		}
	}
	assert.Positive(t, checked)
}

// Lines of text end at column 120. Tables, links and code may be longer.
func TestLines_endAtColumn120(t *testing.T) {
	for name, content := range markdown(t) {
		for line := range strings.Lines(fenced.ReplaceAllString(content, "")) {
			line = strings.TrimRight(line, "\n")
			if len([]rune(line)) > 120 && !strings.HasPrefix(strings.TrimSpace(line), "|") && !strings.Contains(line, "](") {
				assert.Fail(t, "a line is too long", "%s: %s", name, line)
			}
		}
	}
}
