package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// apisnapshot runs the command.
func apisnapshot(t *testing.T, root string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	status = command(t.Context(), root, args, &out, &errs)
	return status, out.String(), errs.String()
}

func TestCommand(t *testing.T) {
	root := writeModule(t, map[string]string{
		"go.work":               "go 1.25.0\n\nuse (\n\t.\n\t./nested\n\t./program\n)\n",
		"go.mod":                "module example.com/api\n\ngo 1.25.0\n",
		"api.go":                "package api\n\ntype Client struct{ Name string }\n\nfunc (*Client) Close() error { return nil }\n",
		"sub/sub.go":            "package sub\n\nimport \"example.com/api\"\n\nfunc New() *api.Client { return nil }\n",
		"internal/own/own.go":   "package own\n\nconst Hidden = 1\n",
		"empty/empty.go":        "package empty\n\nconst hidden = 1\n",
		"tests/only_test.go":    "package tests\n\nconst Hidden = 1\n",
		"nested/go.mod":         "module example.com/api/nested\n\ngo 1.25.0\n",
		"nested/deep/deeper.go": "package deep\n\nconst Depth = 2\n",
		// A command may depend on whatever it likes, here on something that is not even there.
		"program/go.mod":     "module example.com/api/program\n\ngo 1.25.0\n\nrequire example.com/absent v1.0.0\n",
		"program/program.go": "package main\n\nimport \"example.com/absent\"\n\nfunc main() { absent.Run() }\n",
		"api/README.md":      "Not a snapshot.\n",
	})
	t.Setenv("GOWORK", filepath.Join(root, "go.work"))
	t.Setenv("GOFLAGS", "-mod=readonly")
	t.Setenv("GOPROXY", "off")

	status, stdout, stderr := apisnapshot(t, root)
	assert.Equal(t, exitDiffers, status)
	assert.Contains(t, stdout, "api/sub.txt: 0 removed, 0 changed, 1 added\n  added    func New() *example.com/api.Client\n")
	assert.Contains(t, stderr, "go run ./internal/apisnapshot -update")
	assert.NoFileExists(t, filepath.Join(root, "api", "sub.txt"), "only -update writes")

	status, _, stderr = apisnapshot(t, root, "-update")
	require.Equal(t, exitSame, status, stderr)
	entries, err := os.ReadDir(filepath.Join(root, "api"))
	require.NoError(t, err)
	var files []string
	for _, entry := range entries {
		files = append(files, entry.Name())
	}
	assert.Equal(t, []string{"README.md", "api.txt", "nested-deep.txt", "sub.txt"}, files)
	status, stdout, stderr = apisnapshot(t, root)
	assert.Equal(t, exitSame, status)
	assert.Equal(t, "3 packages export what api/ says.\n", stdout)
	assert.Empty(t, stderr)

	// All kinds of changes, and a package that has gone.
	require.NoError(t, os.WriteFile(filepath.Join(root, "api.go"),
		[]byte("package api\n\ntype Client struct{ Names []string; Name []byte }\n"), 0o600))
	require.NoError(t, os.RemoveAll(filepath.Join(root, "nested", "deep")))
	want := `api/api.txt: 1 removed, 2 changed, 1 added
  removed  method (*Client).Close() error
  changed  type Client struct
       to  type Client struct, not comparable
  changed  field Client.Name string
       to  field Client.Name []byte
  added    field Client.Names []string
api/nested-deep.txt: 1 removed, 0 changed, 0 added
  removed  const Depth untyped int = 2
`
	status, stdout, _ = apisnapshot(t, root)
	assert.Equal(t, exitDiffers, status)
	assert.Equal(t, want, stdout)

	status, stdout, stderr = apisnapshot(t, root, "-update")
	assert.Equal(t, exitSame, status, stderr)
	assert.Equal(t, want, stdout)
	assert.NoFileExists(t, filepath.Join(root, "api", "nested-deep.txt"))
	status, _, _ = apisnapshot(t, root)
	assert.Equal(t, exitSame, status)
}

func TestCommand_failsWhereItCannotTell(t *testing.T) {
	t.Setenv("GOWORK", "off")
	tests := []struct {
		name  string
		files map[string]string
		args  []string
	}{
		{"does not compile", map[string]string{"a/a.go": "package a\n\nconst A = B\n"}, nil},
		{"nothing public", map[string]string{"main.go": "package main\n\nfunc main() {}\n"}, nil},
		{"one name for two packages", map[string]string{
			"a-b/c/c.go": "package c\n\nconst C = 1\n",
			"a/b/c/c.go": "package c\n\nconst C = 1\n",
		}, nil},
		{"an argument", map[string]string{"a/a.go": "package a\n"}, []string{"update"}},
		{"an unknown flag", map[string]string{"a/a.go": "package a\n"}, []string{"-write"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.files["go.mod"] = "module example.com/api\n\ngo 1.25.0\n"
			status, stdout, stderr := apisnapshot(t, writeModule(t, tt.files), tt.args...)
			assert.Equal(t, exitFailed, status)
			assert.Empty(t, stdout)
			assert.NotEmpty(t, stderr)
		})
	}
}
