#!/usr/bin/env bash
# Software: github.com/danielgtaylor/huma/v2 v2.37.2, adapter humago: an input with RawBody []byte, the way to the bytes that
#   a signature is of.
# Expected: the slice belongs to the handler, as one that io.ReadAll gives, and every other field of the input; and the
#   limits that Operation documents as defaults, 1 MB (413) and 5 s (408), are there for it, too.
# Seen: the buffer goes back to a pool when the handler returns, and the next request is read into it: what was kept of a
#   delivery has the content of another one. The documentation of RawBody does not say so. The limits are those documented
#   with a Body field beside RawBody; with RawBody alone there are none: 2 MiB are taken.
# Why it matters: a handler that verifies a delivery, puts its bytes into a channel or a batch, and returns 204, handles some
#   events twice and others never, with signatures that were right. Copy it (bytes.Clone), and set MaxBodyBytes and
#   BodyReadTimeout.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
export GOWORK=off GOFLAGS=-mod=mod
go mod init example.test/finding >/dev/null 2>&1
go get github.com/danielgtaylor/huma/v2@v2.37.2 2>/dev/null
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

type raw struct{ RawBody []byte }

type rawAndParsed struct {
	RawBody []byte
	Body    map[string]any
}

var kept [][]byte

func main() {
	mux := http.NewServeMux()
	api := humago.New(mux, huma.DefaultConfig("finding", "1"))
	huma.Register(api, huma.Operation{Method: http.MethodPost, Path: "/raw"}, func(_ context.Context, in *raw) (*struct{}, error) {
		kept = append(kept, in.RawBody)
		return nil, nil
	})
	huma.Register(api, huma.Operation{Method: http.MethodPost, Path: "/both"}, func(context.Context, *rawAndParsed) (*struct{}, error) {
		return nil, nil
	})
	server := httptest.NewServer(mux)
	defer server.Close()

	const deliveries = 50
	for i := range deliveries {
		post(server.URL+"/raw", fmt.Sprintf(`{"id":"event_%02d"}`, i))
	}
	others := 0
	for i, body := range kept {
		if string(body) != fmt.Sprintf(`{"id":"event_%02d"}`, i) {
			others++
		}
	}
	fmt.Printf("bodies kept of %d deliveries: %d have become another one's, the first is now %s\n", deliveries, others, kept[0])
	large := `{"a":"` + strings.Repeat("a", 2<<20) + `"}`
	alone, both := post(server.URL+"/raw", large), post(server.URL+"/both", large)
	fmt.Printf("2 MiB: RawBody alone %d, with Body %d\n", alone, both)
	if others == 0 || alone != http.StatusNoContent || both != http.StatusRequestEntityTooLarge {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}

func post(url, body string) int {
	resp, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}
GO
go get . 2>/dev/null
echo "huma $(go list -m -f '{{.Version}}' github.com/danielgtaylor/huma/v2)"
go run .
