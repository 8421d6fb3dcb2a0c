// Command releasecheck shows, before anything is tagged, that the modules of the workspace can be
// released as they are. It checks their go.mod and go.sum files, puts all of them onto a proxy made
// of files under the version that ittybit.go names, and from there gets, installs and builds each
// as its users will.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
	"golang.org/x/mod/zip"
)

func main() {
	root, err := filepath.Abs("..")
	if err == nil {
		err = run(root, os.Stdout)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "releasecheck: %v\n", err)
		os.Exit(1)
	}
}

func run(root string, out io.Writer) error {
	modules, err := load(root)
	if err != nil {
		return err
	}
	version, err := nextVersion(root)
	if err != nil {
		return err
	}
	var problems []error
	for _, m := range modules {
		problems = append(problems, m.check(modules[0], version))
	}
	if err := errors.Join(problems...); err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "ittybit-release-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work) //nolint:errcheck // a folder for temporary files
	for _, m := range modules {
		if err := m.tidy(work, modules); err != nil {
			return fmt.Errorf("%s: %w", m.path(), err)
		}
	}
	proxy := filepath.Join(work, "proxy")
	for _, m := range modules {
		if err := m.publish(proxy, version); err != nil {
			return fmt.Errorf("%s: %w", m.path(), err)
		}
	}
	user, err := newUser(work, proxy, modules[0].path())
	if err != nil {
		return err
	}
	for _, m := range modules {
		what, err := m.tryOut(user, version)
		if err != nil {
			return fmt.Errorf("%s: %w", m.path(), err)
		}
		_, _ = fmt.Fprintf(out, "%s@%s: %s\n", m.path(), version, what)
	}
	return nil
}

// nextVersion is the version that ittybit.go names: that of the next release, as soon as something
// has changed.
func nextVersion(root string) (string, error) {
	source, err := os.ReadFile(filepath.Join(root, "ittybit.go"))
	if err != nil {
		return "", err
	}
	found := regexp.MustCompile(`(?m)^\s*(?:const )?Version\s*= "(.+)"`).FindSubmatch(source)
	if len(found) == 0 || !semver.IsValid("v"+string(found[1])) {
		return "", errors.New("ittybit.go has no constant Version that is a semantic version")
	}
	return "v" + string(found[1]), nil
}

// goModule is one module of the workspace.
type goModule struct {
	dir  string
	file *modfile.File
	sum  []byte
}

func (m *goModule) path() string { return m.file.Module.Mod.Path }

// load reads the modules that go.work names, the root module first.
func load(root string) ([]*goModule, error) {
	data, err := os.ReadFile(filepath.Join(root, "go.work"))
	if err != nil {
		return nil, err
	}
	work, err := modfile.ParseWork("go.work", data, nil)
	if err != nil {
		return nil, err
	}
	var modules []*goModule
	for _, use := range work.Use {
		m := &goModule{dir: filepath.Join(root, use.Path)}
		name := filepath.Join(m.dir, "go.mod")
		if data, err = os.ReadFile(name); err != nil {
			return nil, err
		}
		if m.file, err = modfile.Parse(name, data, nil); err != nil {
			return nil, err
		}
		if m.sum, err = os.ReadFile(filepath.Join(m.dir, "go.sum")); err != nil {
			return nil, err
		}
		modules = append(modules, m)
	}
	if len(modules) == 0 || modules[0].dir != root {
		return nil, errors.New("go.work does not name the root module first")
	}
	return modules, nil
}

// check gives everything that go.mod and go.sum say wrong.
func (m *goModule) check(root *goModule, version string) error {
	var problems []error
	report := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf(m.path()+": "+format, args...))
	}
	if len(m.file.Replace) > 0 {
		report("a replace directive: go install refuses it, and go.work finds the folder without it")
	}
	if got, want := m.file.Go.Version, root.file.Go.Version; got != want {
		report("go %s, and not %s as the root module", got, want)
	}
	for _, r := range m.file.Require {
		if ours(root, r.Mod.Path) && r.Mod.Version != version {
			report("requires %s %s, and not %s, which Version of ittybit.go names", r.Mod.Path, r.Mod.Version, version)
		}
	}
	for line := range strings.Lines(string(m.sum)) {
		if name, _, _ := strings.Cut(line, " "); ours(root, name) {
			report("a sum of %s, which is not released yet: remove the line", name)
		}
	}
	return errors.Join(problems...)
}

func ours(root *goModule, path string) bool {
	return path == root.path() || strings.HasPrefix(path, root.path()+"/")
}

// tidy has the go command compare go.mod and go.sum with the sources. It reads copies, which
// replace our own modules by their folders, since no proxy has them.
func (m *goModule) tidy(work string, modules []*goModule) error {
	data, err := m.file.Format()
	if err != nil {
		return err
	}
	file, err := modfile.Parse("go.mod", data, nil)
	if err != nil {
		return err
	}
	for _, other := range modules {
		if other != m {
			if err := file.AddReplace(other.path(), "", other.dir, ""); err != nil {
				return err
			}
		}
	}
	if data, err = file.Format(); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(work, "tidy.mod"), data, 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(work, "tidy.sum"), m.sum, 0o600); err != nil {
		return err
	}
	_, err = goCommand(m.dir, []string{"GOWORK=off"}, "mod", "tidy", "-diff", "-modfile="+filepath.Join(work, "tidy.mod"))
	return err
}

// publish puts the module onto the proxy: https://go.dev/ref/mod#goproxy-protocol names the files.
func (m *goModule) publish(proxy, version string) error {
	escaped, err := module.EscapePath(m.path())
	if err != nil {
		return err
	}
	dir := filepath.Join(proxy, escaped, "@v")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	mod, err := m.file.Format()
	if err != nil {
		return err
	}
	var archive bytes.Buffer
	if err := zip.CreateFromDir(&archive, module.Version{Path: m.path(), Version: version}, m.dir); err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "list"), []byte(version+"\n"), 0o600),
		os.WriteFile(filepath.Join(dir, version+".info"), fmt.Appendf(nil, `{"Version":%q}`, version), 0o600),
		os.WriteFile(filepath.Join(dir, version+".mod"), mod, 0o600),
		os.WriteFile(filepath.Join(dir, version+".zip"), archive.Bytes(), 0o600),
	)
}

// goCommand runs the go command in a folder, and gives what it prints on standard output.
func goCommand(dir string, env []string, args ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.Command("go", args...) //nolint:gosec,noctx // the arguments are ours, and CI limits the time
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &stdout, &stderr
	cmd.Env = append(os.Environ(), env...)
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("go %s: %w\n%s%s", strings.Join(args, " "), err, stdout.Bytes(), stderr.Bytes())
	}
	return strings.TrimSpace(stdout.String()), nil
}
