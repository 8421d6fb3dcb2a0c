package main

import (
	"archive/zip"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// workspace writes files into a folder of its own.
func workspace(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func releasable() map[string]string {
	return map[string]string{
		"go.work":       "go 1.26.0\n\nuse (\n\t.\n\t./nested\n)\n\nreplace example.com/kit v1.2.0 => ./\n",
		"go.mod":        "module example.com/kit\n\ngo 1.26.0\n",
		"go.sum":        "",
		"ittybit.go":    "// Package kit is a fixture.\npackage kit\n\nconst (\n\tVersion = \"1.2.0\"\n)\n",
		"README.md":     "```go\nkit.Version\n```\n",
		"nested/go.mod": "module example.com/kit/nested\n\ngo 1.26.0\n\nrequire example.com/kit v1.2.0\n",
		"nested/go.sum": "",
		"nested/nested.go": "// Package nested is a fixture.\npackage nested\n\nimport \"example.com/kit\"\n\n" +
			"// Version is that of kit.\nconst Version = kit.Version\n",
		"nested/README.md": "```go\npackage main\n\nimport \"example.com/kit/nested\"\n\nfunc main() { println(nested.Version) }\n```\n",
	}
}

func TestRun_getsAndBuildsEveryModule(t *testing.T) {
	var out strings.Builder
	if err := run(workspace(t, releasable()), &out); err != nil {
		t.Fatal(err)
	}
	want := "example.com/kit@v1.2.0: built 1 packages and 0 programs of README.md\n" +
		"example.com/kit/nested@v1.2.0: built 1 packages and 1 programs of README.md\n"
	if got := out.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRun_refusesWhatCannotBeReleased(t *testing.T) {
	nested := func(lines string) map[string]string {
		return map[string]string{"nested/go.mod": "module example.com/kit/nested\n\n" + lines}
	}
	for name, tt := range map[string]struct {
		files map[string]string
		want  string
	}{
		"a replace directive": {
			nested("go 1.26.0\n\nrequire example.com/kit v1.2.0\n\nreplace example.com/kit => ../\n"), "a replace directive"},
		"the version before": {nested("go 1.26.0\n\nrequire example.com/kit v1.1.0\n"), "requires example.com/kit v1.1.0, and not v1.2.0"},
		"another Go":         {nested("go 1.25.0\n\nrequire example.com/kit v1.2.0\n"), "go 1.25.0, and not 1.26.0"},
		"a sum of ours":      {map[string]string{"nested/go.sum": "example.com/kit v1.2.0/go.mod h1:AAAA=\n"}, "a sum of example.com/kit"},
		"no version":         {map[string]string{"ittybit.go": "package kit\n"}, "no constant Version"},
		"an unused requirement": {
			map[string]string{"nested/nested.go": "// Package nested is a fixture.\npackage nested\n", "nested/README.md": ""}, "mod tidy"},
		"a README that does not compile": {
			map[string]string{"nested/README.md": "```go\npackage main\n\nfunc main() { missing() }\n```\n"}, "undefined: missing"},
	} {
		t.Run(name, func(t *testing.T) {
			files := releasable()
			for file, content := range tt.files {
				files[file] = content
			}
			err := run(workspace(t, files), &strings.Builder{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error that contains %q", err, tt.want)
			}
		})
	}
}

func TestPublish_leavesNestedModulesOut(t *testing.T) {
	root := workspace(t, releasable())
	modules, err := load(root)
	if err != nil {
		t.Fatal(err)
	}
	proxy := t.TempDir()
	if err := modules[0].publish(proxy, "v1.2.0"); err != nil {
		t.Fatal(err)
	}
	archive, err := zip.OpenReader(filepath.Join(proxy, "example.com", "kit", "@v", "v1.2.0.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = archive.Close() }()
	var names []string
	for _, file := range archive.File {
		names = append(names, strings.TrimPrefix(file.Name, "example.com/kit@v1.2.0/"))
	}
	slices.Sort(names)
	if got, want := fmt.Sprint(names), "[README.md go.mod go.sum go.work ittybit.go]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
