package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fixture is a package with some of everything that a package can export.
const fixture = `// Package fixture is public.
package fixture

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"example.com/fixture/internal/hidden"
)

const (
	Limit           = 100
	Wait  time.Duration = time.Second
	Kind  Name      = "a\nb"
	secret          = 1
)

var ErrGone, errKept error

type Name string

type Params struct {
	ID     string ` + "`json:\"id\"`" + `
	Labels [2]byte
	note   string
}

type Client struct {
	http.Client
	*Shared
	base
	Raw json.RawMessage
}

type Shared struct{ mu sync.Mutex }

func (*Shared) Lock() {}

type base struct{ Common int }

func (b base) Promoted() {}

func (c *Client) Do(ctx context.Context, p Params, more ...func(int) error) (answer *Page[Params], err error) {
	return nil, nil
}
func (c Client) Value()  {}
func (c *Client) close() {}

type Page[T any] struct{ Items []T }

func (p *Page[E]) Next() (*Page[E], bool) { return p, false }

type Handler interface {
	json.Marshaler
	Handle(name Name) interface{}
}

type Option interface{ apply(*Params) }

func (Name) apply(*Params) {}

type Both interface {
	Option
	Handler
}

type Number interface{ ~int | ~float64 }

func Sum[N Number, K comparable](numbers map[K]N) (total N) { return }

type Time = hidden.Time

type Later = time.Time

func Open(then Time, done <-chan rune, wrap func() (chan<- int, Later)) *opened { return nil }

type opened struct{ inside func() }

func (*opened) Close() error { return nil }

func helper(a int) int { return a }
`

// described is what the snapshot says of the fixture.
const described = `const Kind Name = "a\nb"
const Limit untyped int = 100
const Wait time.Duration = 1000000000
var ErrGone error
func Open(example.com/fixture/internal/hidden.Time, <-chan int32, func() (chan<- int, time.Time)) *opened
func Sum[$0 Number, $1 comparable](map[$1]$0) $0
type Both interface, with unexported methods
implements Both Option
method (Both).Handle(Name) any
method (Both).MarshalJSON() ([]byte, error)
type Client struct, not comparable
field Client.Client net/http.Client, embedded
field Client.Common int
field Client.Raw encoding/json.RawMessage
field Client.Shared *Shared, embedded
method (*Client).Do(context.Context, Params, ...func(int) error) (*Page[Params], error)
method (Client).Lock()
method (Client).Promoted()
method (Client).Value()
type Handler interface
method (Handler).Handle(Name) any
method (Handler).MarshalJSON() ([]byte, error)
type Later = time.Time
type Name string
implements Name Option
type Number interface{~int | ~float64}
type Option interface, with unexported methods
type Page[$0 any] struct, not comparable
field Page.Items []$0
method (*Page).Next() (*Page[$0], bool)
type Params struct
field Params.ID string ` + "`json:\"id\"`" + `
field Params.Labels [2]byte
type Shared struct
method (*Shared).Lock()
type Time = example.com/fixture/internal/hidden.Time
method (example.com/fixture/internal/hidden.Time).Unix() int64
method (*opened).Close() error
`

// writeModule writes the files of a module, or of a workspace, into a new folder.
func writeModule(t *testing.T, files map[string]string) (root string) {
	t.Helper()
	root = t.TempDir()
	for name, text := range files {
		file := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	}
	return root
}

// edited gives the fixture with one thing changed.
func edited(t *testing.T, before, after string) string {
	t.Helper()
	require.Equal(t, 1, strings.Count(fixture, before), "the fixture has %q once", before)
	return strings.Replace(fixture, before, after, 1)
}

func TestDescribe(t *testing.T) {
	tests := []struct {
		name          string // of the package
		before, after string // the edit
		want          changes
	}{
		{
			"removedmethod", "func (c Client) Value()  {}", "",
			changes{removed: []string{"method (Client).Value()"}},
		},
		{
			"changedparameter", "Handle(name Name)", "Handle(name string)",
			changes{changed: []change{
				{"method (Both).Handle(Name) any", "method (Both).Handle(string) any"},
				{"method (Handler).Handle(Name) any", "method (Handler).Handle(string) any"},
			}},
		},
		{
			"newfield", "note   string", "Note string",
			changes{added: []string{"field Params.Note string"}},
		},
		{
			"changedconstant", "= 100", "= 101",
			changes{changed: []change{{"const Limit untyped int = 100", "const Limit untyped int = 101"}}},
		},
		{
			"typedconstant", "Limit           = 100", "Limit int64 = 100",
			changes{changed: []change{{"const Limit untyped int = 100", "const Limit int64 = 100"}}},
		},
		{
			"changedtag", `"id"`, `"id,omitempty"`,
			changes{changed: []change{{"field Params.ID string `json:\"id\"`", "field Params.ID string `json:\"id,omitempty\"`"}}},
		},
		{
			"changedfield", "[2]byte", "[3]byte",
			changes{changed: []change{{"field Params.Labels [2]byte", "field Params.Labels [3]byte"}}},
		},
		{
			"changedreceiver", "func (c Client) Value()", "func (c *Client) Value()",
			changes{changed: []change{{"method (Client).Value()", "method (*Client).Value()"}}},
		},
		{
			"variadic", "more ...func(int) error", "more []func(int) error",
			changes{changed: []change{{
				"method (*Client).Do(context.Context, Params, ...func(int) error) (*Page[Params], error)",
				"method (*Client).Do(context.Context, Params, []func(int) error) (*Page[Params], error)",
			}}},
		},
		{
			"promotedmethod", "func (b base) Promoted() {}", "",
			changes{removed: []string{"method (Client).Promoted()"}},
		},
		{
			"promotedfield", "struct{ Common int }", "struct{ common int }",
			changes{removed: []string{"field Client.Common int"}},
		},
		{
			"embedded", "\t*Shared", "\tShared *Shared",
			changes{
				removed: []string{"method (Client).Lock()"},
				changed: []change{{"field Client.Shared *Shared, embedded", "field Client.Shared *Shared"}},
			},
		},
		{
			"sealed", "func (Name) apply(*Params) {}", "",
			changes{removed: []string{"implements Name Option"}},
		},
		{
			"unsealed", "interface{ apply(*Params) }", "interface{ Apply(*Params) }",
			changes{
				removed: []string{"implements Both Option", "implements Name Option"},
				changed: []change{
					{"type Both interface, with unexported methods", "type Both interface"},
					{"type Option interface, with unexported methods", "type Option interface"},
				},
				added: []string{"method (Both).Apply(*Params)", "method (Option).Apply(*Params)"},
			},
		},
		{
			"comparable", "note   string", "note func()",
			changes{changed: []change{
				{"type Params struct", "type Params struct, not comparable"},
			}},
		},
		{
			"constraint", "~int | ~float64", "~int | float64",
			changes{changed: []change{{"type Number interface{~int | ~float64}", "type Number interface{~int | float64}"}}},
		},
		{
			"typeparameters", "Page[T any]", "Page[T comparable]",
			changes{changed: []change{{"type Page[$0 any] struct, not comparable", "type Page[$0 comparable] struct, not comparable"}}},
		},
		{
			"alias", "type Later = time.Time", "type Later time.Time",
			changes{changed: []change{
				{
					"func Open(example.com/fixture/internal/hidden.Time, <-chan int32, func() (chan<- int, time.Time)) *opened",
					"func Open(example.com/fixture/internal/hidden.Time, <-chan int32, func() (chan<- int, Later)) *opened",
				},
				{"type Later = time.Time", "type Later struct"},
			}},
		},
		{
			"aliastarget", "= time.Time", "= time.Month",
			changes{changed: []change{
				{
					"func Open(example.com/fixture/internal/hidden.Time, <-chan int32, func() (chan<- int, time.Time)) *opened",
					"func Open(example.com/fixture/internal/hidden.Time, <-chan int32, func() (chan<- int, time.Month)) *opened",
				},
				{"type Later = time.Time", "type Later = time.Month"},
			}},
		},
		{
			"hiddentype", "func (*opened) Close() error { return nil }", "func (*opened) Close() {}",
			changes{changed: []change{{"method (*opened).Close() error", "method (*opened).Close()"}}},
		},

		// Nobody outside can tell these from the fixture.
		{name: "unexportedconstant", before: "= 1\n", after: "= 2\n"},
		{name: "unexportedvariable", before: "errKept error", after: "errLost error"},
		{name: "unexportedfield", before: "note   string", after: "note int; other bool"},
		{name: "unexportedmethod", before: "func (c *Client) close() {}", after: "func (c *Client) shut(int) {}"},
		{name: "unexportedfunction", before: "func helper(a int) int { return a }", after: ""},
		{name: "insideofhidden", before: "inside func()", after: "inside, outside int"},
		{name: "parameternames", before: "(answer *Page[Params], err error)", after: "(*Page[Params], error)"},
		{name: "typeparameternames", before: "func Sum[N Number, K comparable](numbers map[K]N) (total N)", after: "func Sum[A Number, B comparable](numbers map[B]A) (total A)"},
		{name: "fieldorder", before: "*Shared\n\tbase", after: "base\n\t*Shared"},
		{name: "otherspellings", before: "Handle(name Name) interface{}", after: "Handle(name Name) any"},
		{name: "bytespelling", before: "[2]byte", after: "[1 + 1]uint8"},
		{name: "comment", before: "type Name string", after: "// Name says who.\ntype Name string"},
		{name: "body", before: "{ return p, false }", after: "{ return nil, true }"},
	}

	files := map[string]string{
		"go.mod":                    "module example.com/fixture\n\ngo 1.25.0\n",
		"base/base.go":              fixture,
		"internal/hidden/hidden.go": "package hidden\n\ntype Time struct{ at int64 }\n\nfunc (t Time) Unix() int64 { return t.at }\n",
	}
	for _, tt := range tests {
		files[tt.name+"/"+tt.name+".go"] = edited(t, tt.before, tt.after)
	}
	t.Setenv("GOWORK", "off")
	// One call for all: each would start Go's compiler anew.
	found, err := publicPackages(t.Context(), writeModule(t, files))
	require.NoError(t, err)
	texts, err := snapshots(found)
	require.NoError(t, err)
	require.Len(t, texts, len(tests)+1)
	before := lines(texts["base.txt"])
	assert.Equal(t, described, strings.Join(before, "\n")+"\n")

	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, tt.want, compare(before, lines(texts[tt.name+".txt"])))
		})
	}
}
