package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
)

// listed is a package as `go list -json` describes it.
type listed struct {
	ImportPath string
	Name       string
	Export     string // the file with the compiler's export data
	GoFiles    []string
	CgoFiles   []string
	Module     *struct{ Path string }
}

// public reports whether other modules can import p.
func (p listed) public() bool {
	return p.Name != "main" && !internal(p.ImportPath) && len(p.GoFiles)+len(p.CgoFiles) > 0
}

// internal reports whether only neighbours of a package can import it.
func internal(importPath string) bool {
	return slices.Contains(strings.Split(importPath, "/"), "internal")
}

// workspace is what matters of a workspace here.
type workspace struct {
	packages []listed // the public ones, with their export data
	modules  []string // the modules' paths, sorted, so that an outer one is before those in it
}

// publicPackages has Go find and compile the public packages of the workspace at root.
// Nothing else is compiled, so that a module of commands costs nothing here.
func publicPackages(ctx context.Context, root string) (workspace, error) {
	all, err := goList(ctx, root, "-find", "-json=ImportPath,Name,GoFiles,CgoFiles,Module", "work")
	if err != nil {
		return workspace{}, err
	}
	var found workspace
	var paths []string
	for _, p := range all {
		if p.Module == nil {
			return workspace{}, fmt.Errorf("%s is in no module", p.ImportPath)
		}
		found.modules = append(found.modules, p.Module.Path)
		if p.public() {
			paths = append(paths, p.ImportPath)
		}
	}
	if len(paths) == 0 {
		return workspace{}, errors.New("there is no public package")
	}
	slices.Sort(found.modules)
	found.modules = slices.Compact(found.modules)

	found.packages, err = goList(ctx, root, append([]string{"-export", "-json=ImportPath,Name,Export"}, paths...)...)
	if err != nil {
		return workspace{}, err
	}
	slices.SortFunc(found.packages, func(a, b listed) int { return cmp.Compare(a.ImportPath, b.ImportPath) })
	return found, nil
}

// owns reports whether a package is part of the workspace.
func (w workspace) owns(importPath string) bool {
	return slices.ContainsFunc(w.modules, func(module string) bool { return within(importPath, module) })
}

// within reports whether a package's path is that of a module or below it.
func within(importPath, module string) bool {
	return importPath == module || strings.HasPrefix(importPath, module+"/")
}

// goList runs `go list` in a folder.
func goList(ctx context.Context, root string, args ...string) ([]listed, error) {
	cmd := exec.CommandContext(ctx, "go", append([]string{"list"}, args...)...) //nolint:gosec // the packages that Go itself listed
	cmd.Dir = root
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w\n%s", err, complaints.String())
	}
	var packages []listed
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		switch err := decoder.Decode(&p); {
		case errors.Is(err, io.EOF):
			return packages, nil
		case err != nil:
			return nil, fmt.Errorf("go list: %w", err)
		}
		packages = append(packages, p)
	}
}
