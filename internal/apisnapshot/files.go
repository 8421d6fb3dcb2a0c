package main

import (
	"errors"
	"fmt"
	"go/importer"
	"go/token"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// extension ends the name of every snapshot, and of nothing else in its folder.
const extension = ".txt"

// heading begins a snapshot; what begins with # is no part of the API.
const heading = `# What package %s exports, one line for each thing. It is made from the sources:
# go run ./internal/apisnapshot -update
`

// snapshots gives the text for each package that exports anything, by file name.
func snapshots(w workspace) (map[string]string, error) {
	exports := make(map[string]string, len(w.packages))
	for _, p := range w.packages {
		exports[p.ImportPath] = p.Export
	}
	imports := importer.ForCompiler(token.NewFileSet(), "gc", func(importPath string) (io.ReadCloser, error) {
		if exports[importPath] == "" {
			return nil, fmt.Errorf("no export data of %s", importPath)
		}
		return os.Open(exports[importPath])
	})

	texts := map[string]string{}
	for _, p := range w.packages {
		pkg, err := imports.Import(p.ImportPath)
		if err != nil {
			return nil, err
		}
		api := describe(pkg, w.owns)
		if len(api) == 0 {
			continue
		}
		name := fileName(w, p)
		if _, taken := texts[name]; taken {
			return nil, fmt.Errorf("two packages want the snapshot %s", name)
		}
		texts[name] = fmt.Sprintf(heading, p.ImportPath) + strings.Join(api, "\n") + "\n"
	}
	return texts, nil
}

// fileName gives a package's snapshot the name of its folder in the outermost module, and
// that module's own package its own name.
func fileName(w workspace, p listed) string {
	outermost := slices.IndexFunc(w.modules, func(module string) bool { return within(p.ImportPath, module) })
	inside := strings.TrimPrefix(p.ImportPath[len(w.modules[outermost]):], "/")
	if inside == "" {
		inside = p.Name
	}
	return strings.ReplaceAll(inside, "/", "-") + extension
}

// readSnapshots gives the snapshots that were written before, by file name.
func readSnapshots(root string) (map[string]string, error) {
	entries, err := os.ReadDir(filepath.Join(root, folder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	texts := map[string]string{}
	for _, entry := range entries {
		if entry.IsDir() || filepath.Ext(entry.Name()) != extension {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, folder, entry.Name())) //nolint:gosec // a file of that folder
		if err != nil {
			return nil, err
		}
		texts[entry.Name()] = strings.ReplaceAll(string(text), "\r\n", "\n")
	}
	return texts, nil
}

// writeSnapshot writes a snapshot, or removes that of a package which has gone.
func writeSnapshot(root, name, text string) error {
	file := filepath.Join(root, folder, name)
	if text == "" {
		return os.Remove(file)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil { //nolint:gosec // part of the sources
		return err
	}
	return os.WriteFile(file, []byte(text), 0o644) //nolint:gosec // part of the sources
}

// lines gives a snapshot's lines without its heading.
func lines(text string) []string {
	all := strings.Split(text, "\n")
	return slices.DeleteFunc(all, func(line string) bool { return line == "" || strings.HasPrefix(line, "#") })
}

// names gives the names of both, in order.
func names(a, b map[string]string) []string {
	all := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(all)
	return slices.Compact(all)
}
