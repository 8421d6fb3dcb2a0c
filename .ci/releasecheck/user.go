package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// user is somebody outside of the workspace, who has the proxy.
type user struct {
	dir string
	bin string // what go install makes is there
	env []string
}

// newUser makes a module cache that starts empty: the usual one must never hold an unreleased
// version. What the usual one has downloaded of others is taken from there.
func newUser(work, proxy, rootPath string) (*user, error) {
	settings, err := goCommand(work, nil, "env", "GOMODCACHE", "GOPROXY")
	if err != nil {
		return nil, err
	}
	cache, upstream, _ := strings.Cut(settings, "\n")
	u := &user{dir: filepath.Join(work, "user"), bin: filepath.Join(work, "bin")}
	u.env = []string{
		"GOWORK=off",
		"GOPROXY=file://" + filepath.ToSlash(proxy) + ",file://" + filepath.ToSlash(cache) + "/cache/download," + upstream,
		"GONOSUMDB=" + rootPath,
		"GOMODCACHE=" + filepath.Join(work, "modcache"),
		"GOFLAGS=-modcacherw",
		"GOBIN=" + u.bin,
	}
	return u, os.Mkdir(u.dir, 0o700)
}

// tryOut does with a released module what its users do, and says what that was.
func (m *goModule) tryOut(u *user, version string) (string, error) {
	parent := filepath.Base(filepath.Dir(m.dir))
	if parent == "cmd" {
		if _, err := goCommand(u.dir, u.env, "install", m.path()+"@"+version); err != nil {
			return "", err
		}
		printed, err := exec.Command(filepath.Join(u.bin, filepath.Base(m.dir)), "--version").Output() //nolint:gosec,noctx // ours, and CI limits the time
		if want := strings.TrimPrefix(version, "v"); err == nil && !strings.Contains(string(printed), want) {
			err = fmt.Errorf("--version prints %q, and not %s", printed, want)
		}
		return "installed, and it says its version", err
	}
	listed, err := goCommand(m.dir, nil, "list", "-f", `{{if and .GoFiles (ne .Name "main")}}{{.ImportPath}}{{end}}`, "./...")
	if err != nil {
		return "", err
	}
	var packages []string
	for name := range strings.FieldsSeq(listed) {
		if !strings.Contains(name, "/internal/") && !strings.Contains(name, "/examples/") {
			packages = append(packages, name)
		}
	}
	if len(packages) == 0 {
		return "nothing to import", nil
	}
	dir, err := os.MkdirTemp(u.dir, "app-")
	if err != nil {
		return "", err
	}
	programs, err := m.write(dir, packages)
	if err != nil {
		return "", err
	}
	for _, args := range [][]string{
		{"mod", "init", "example.com/app"},
		{"get", m.path() + "@" + version},
		{"mod", "tidy"},
		{"vet", "./..."},
		{"build", "-o", os.DevNull, "./..."},
	} {
		if _, err := goCommand(dir, u.env, args...); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("built %d packages and %d programs of README.md", len(packages), programs), nil
}

// write makes a program that imports the packages, and one of each program in the module's
// README.md.
func (m *goModule) write(dir string, packages []string) (int, error) {
	var source strings.Builder
	source.WriteString("package main\n\nimport (\n")
	for _, name := range packages {
		fmt.Fprintf(&source, "\t_ %q\n", name)
	}
	source.WriteString(")\n\nfunc main() {}\n")
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(source.String()), 0o600); err != nil {
		return 0, err
	}
	readme, err := os.ReadFile(filepath.Join(m.dir, "README.md"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, err
	}
	found := programs(readme)
	for i, program := range found {
		folder := filepath.Join(dir, fmt.Sprintf("readme%d", i+1))
		if err := os.Mkdir(folder, 0o700); err != nil {
			return 0, err
		}
		if err := os.WriteFile(filepath.Join(folder, "main.go"), program, 0o600); err != nil {
			return 0, err
		}
	}
	return len(found), nil
}

var goBlock = regexp.MustCompile("(?ms)^```go\n(package main\n.*?)^```$")

// programs gives the blocks of Go code in Markdown that are whole programs.
func programs(markdown []byte) [][]byte {
	var found [][]byte
	for _, block := range goBlock.FindAllSubmatch(markdown, -1) {
		found = append(found, block[1])
	}
	return found
}
