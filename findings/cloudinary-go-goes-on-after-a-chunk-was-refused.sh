#!/usr/bin/env bash
# Software: github.com/cloudinary/cloudinary-go/v2 v2.16.1, Upload.Upload of a file in chunks; a small HTTP server stands for the
#   service, with its form of errors, {"error":{"message":…}}.
# Expected: a response of 503 or 401 is an error, or the chunk is sent again; what follows a chunk that was refused is not sent.
# Seen: the status of a response is looked at nowhere. After a chunk that was answered 503 the next ones are sent, and the call
#   gives back what the last one got, and a nil error. For a file that goes up whole, 503 and 401 are a nil error, too:
#   Result.Error.Message is the only sign of them.
# Why it matters: if err != nil is what everybody writes. A key that has expired, or a moment of overload, and the upload counts
#   as done. What the service makes of a file with a hole is its affair, and not shown here: look at Error.Message and SecureURL,
#   and compare Bytes with the size.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
export GOWORK=off GOFLAGS=-mod=mod
go mod init example.test/finding >/dev/null 2>&1
go get github.com/cloudinary/cloudinary-go/v2@v2.16.1 2>/dev/null
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/cloudinary/cloudinary-go/v2"
	"github.com/cloudinary/cloudinary-go/v2/api/uploader"
)

const (
	size  = 3 << 20
	chunk = 1 << 20
)

func main() {
	check(os.WriteFile("video.mp4", make([]byte, size), 0o600))
	chunks := upload(chunk, 2, http.StatusServiceUnavailable)
	whole := upload(size, 1, http.StatusServiceUnavailable)
	unauthorized := upload(size, 1, http.StatusUnauthorized)
	fmt.Printf("three chunks: %s\nwhole:        %s\n              %s\n", chunks, whole, unauthorized)
	if chunks != "200 503 200, error: <nil>, secure_url given: true" ||
		whole != "503, error: <nil>, secure_url given: false" ||
		unauthorized != "401, error: <nil>, secure_url given: false" {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}

// upload sends the file; the service answers its request number failing with status.
func upload(chunkSize int64, failing, status int) string {
	var statuses []string
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		if len(statuses)+1 == failing {
			statuses = append(statuses, fmt.Sprint(status))
			w.WriteHeader(status)
			fmt.Fprint(w, `{"error":{"message":"try again"}}`)
			return
		}
		statuses = append(statuses, "200")
		fmt.Fprint(w, `{"public_id":"video","secure_url":"https://media.example/video.mp4"}`)
	}))
	defer service.Close()
	client, err := cloudinary.NewFromParams("cloud", "key", "secret")
	check(err)
	client.Upload.Config.API.UploadPrefix = service.URL
	client.Upload.Config.API.ChunkSize = chunkSize
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	result, err := client.Upload.Upload(ctx, "video.mp4", uploader.UploadParams{ResourceType: "video"})
	return fmt.Sprintf("%s, error: %v, secure_url given: %t", strings.Join(statuses, " "), err, result != nil && result.SecureURL != "")
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
GO
echo "cloudinary-go $(go list -m -f '{{.Version}}' github.com/cloudinary/cloudinary-go/v2)"
go run .
