#!/usr/bin/env bash
# Software: github.com/tus/tusd/v2 v2.9.1, handler with filestore (the reference server of the tus protocol for resumable
#   uploads).
# Expected: GET of an upload that is not finished is refused, or its status or length says so.
# Seen: 200, Content-Length of what is there so far, and no field that tells it from a whole file. Of an upload of ten bytes
#   that stands at four, the four come; later, under the same URL, the ten.
# Why it matters: the URL is known from the start, and is what gets handed to a media service as the source of a task (or to
#   a CDN, which keeps it). A job that is made before the upload has ended works on the beginning of the file, and nobody
#   sees an error. Make it in the server's CompleteUploads notification (post-finish hook), or ask by HEAD whether
#   Upload-Offset is Upload-Length.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
export GOWORK=off GOFLAGS=-mod=mod
go mod init example.test/finding >/dev/null 2>&1
go get github.com/tus/tusd/v2@v2.9.1 2>/dev/null
cat >main.go <<'GO'
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/tus/tusd/v2/pkg/filestore"
	"github.com/tus/tusd/v2/pkg/handler"
)

func main() {
	log.SetOutput(io.Discard)
	check(os.Mkdir("files", 0o700))
	composer := handler.NewStoreComposer()
	filestore.New("files").UseIn(composer)
	h, err := handler.NewHandler(handler.Config{BasePath: "/files/", StoreComposer: composer})
	check(err)
	server := httptest.NewServer(http.StripPrefix("/files/", h))
	defer server.Close()

	resp, _ := send(http.MethodPost, server.URL+"/files/", "", "Upload-Length", "10")
	url := resp.Header.Get("Location")
	send(http.MethodPatch, url, "0123", "Upload-Offset", "0", "Content-Type", "application/offset+octet-stream")
	unfinished := get(url)
	send(http.MethodPatch, url, "456789", "Upload-Offset", "4", "Content-Type", "application/offset+octet-stream")
	finished := get(url)
	fmt.Printf("four of ten bytes: %s\nall ten:           %s\n", unfinished, finished)
	if unfinished != `200, Content-Length 4, Upload-Offset "", Cache-Control "": 0123` ||
		finished != `200, Content-Length 10, Upload-Offset "", Cache-Control "": 0123456789` {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}

func get(url string) string {
	resp, body := send(http.MethodGet, url, "")
	return fmt.Sprintf("%d, Content-Length %d, Upload-Offset %q, Cache-Control %q: %s",
		resp.StatusCode, resp.ContentLength, resp.Header.Get("Upload-Offset"), resp.Header.Get("Cache-Control"), body)
}

func send(method, url, body string, fields ...string) (*http.Response, string) {
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	check(err)
	if method != http.MethodGet {
		req.Header.Set("Tus-Resumable", "1.0.0")
	}
	for i := 0; i < len(fields); i += 2 {
		req.Header.Set(fields[i], fields[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	check(err)
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	check(err)
	return resp, string(content)
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
GO
go get . 2>/dev/null
echo "tusd $(go list -m -f '{{.Version}}' github.com/tus/tusd/v2)"
go run .
