#!/usr/bin/env bash
# Software: github.com/minio/minio-go/v7 v7.4.1, PutObject, on a small HTTP server that stands for S3; beside it aws-sdk-go-v2's
#   feature/s3/manager v1.23.24.
# Expected: when the reader fails in the middle, PutObject gives its error back, and no object is made; as io.Copy, io.ReadAll
#   and the AWS uploader do it.
# Seen: io.ErrUnexpectedEOF is taken for the end of the data. That is the error that net/http's response body has when a
#   download breaks off. Of a download of 12 MiB that breaks at 7, an object of 7 MiB is completed, with a nil error: with size
#   -1, in one part or several, and with the right size, too, when ConcurrentStreamParts is set. The right size without
#   that option fails, because net/http misses the bytes.
# Source: seen by running it, and in readFull and the loops over it in that version.
# Why it matters: resp.Body handed to PutObject is how a result of a media service gets from its URL into one's own bucket. A
#   short file is stored as a good one, the event is acknowledged, and the original expires. Compare UploadInfo.Size with
#   resp.ContentLength; or turn the error into another one by a reader in between.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
export GOWORK=off GOFLAGS=-mod=mod
go mod init example.test/finding >/dev/null 2>&1
go get github.com/minio/minio-go/v7@v7.4.1 github.com/aws/aws-sdk-go-v2/feature/s3/manager@v1.23.24 \
  github.com/aws/aws-sdk-go-v2/service/s3 github.com/aws/aws-sdk-go-v2/credentials 2>/dev/null
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	awscredentials "github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/s3/manager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

const (
	whole, broken = 12 << 20, 7 << 20
	part          = 5 << 20
)

// storage is as much of S3 as an upload needs. It notes the size of the object that was completed.
type storage struct {
	mu            sync.Mutex
	parts, object int64
}

func (s *storage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, err := io.Copy(io.Discard, r.Body)
	n, _ := strconv.ParseInt(r.Header.Get("X-Amz-Decoded-Content-Length"), 10, 64) // both clients send it
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("ETag", `"e"`)
	switch query := r.URL.Query(); {
	case err != nil: // the client broke the request off
	case query.Has("location"):
		fmt.Fprint(w, "<LocationConstraint>us-east-1</LocationConstraint>")
	case query.Has("uploads"):
		fmt.Fprint(w, "<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>")
	case query.Has("partNumber"):
		s.parts += n
	case r.Method == http.MethodPost:
		s.object = s.parts
		fmt.Fprint(w, "<CompleteMultipartUploadResult><Bucket>bucket</Bucket><Key>video.mp4</Key><ETag>e</ETag>"+
			"</CompleteMultipartUploadResult>")
	case r.Method == http.MethodPut:
		s.object = n
	}
}

func main() {
	source := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(whole))
		w.Write(make([]byte, broken))
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler) // the connection breaks
	}))
	defer source.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	upload := func(name string, put func(url string, body io.Reader, size int64) error) string {
		stored := &storage{}
		server := httptest.NewServer(stored)
		defer server.Close()
		resp, err := http.Get(source.URL)
		if err != nil {
			panic(err)
		}
		defer resp.Body.Close()
		err = put(server.URL, resp.Body, resp.ContentLength)
		fmt.Printf("%-30s object of %4.1f MiB, error: %v\n", name, float64(stored.object)/(1<<20), err)
		return fmt.Sprintf("%d %t", stored.object, err == nil)
	}
	minioPut := func(keepSize bool, options minio.PutObjectOptions) func(string, io.Reader, int64) error {
		return func(url string, body io.Reader, size int64) error {
			client, err := minio.New(strings.TrimPrefix(url, "http://"),
				&minio.Options{Creds: credentials.NewStaticV4("key", "secret", ""), MaxRetries: 1})
			if err != nil {
				panic(err)
			}
			if !keepSize {
				size = -1
			}
			_, err = client.PutObject(ctx, "bucket", "video.mp4", body, size, options)
			return err
		}
	}
	fmt.Printf("a download of %d MiB breaks off at %d:\n", whole>>20, broken>>20)
	aws := upload("AWS uploader", func(url string, body io.Reader, _ int64) error {
		bucket, key := "bucket", "video.mp4"
		client := s3.New(s3.Options{Region: "us-east-1", BaseEndpoint: &url, UsePathStyle: true,
			Credentials: awscredentials.NewStaticCredentialsProvider("key", "secret", "")})
		_, err := manager.NewUploader(client).Upload(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: body})
		return err
	})
	parts := upload("minio, size -1, parts", minioPut(false, minio.PutObjectOptions{PartSize: part}))
	one := upload("minio, size -1, one part", minioPut(false, minio.PutObjectOptions{PartSize: 16 << 20}))
	concurrent := upload("minio, size 12 MiB, concurrent",
		minioPut(true, minio.PutObjectOptions{PartSize: part, ConcurrentStreamParts: true, NumThreads: 2}))
	sized := upload("minio, size 12 MiB", minioPut(true, minio.PutObjectOptions{PartSize: part}))

	short := fmt.Sprintf("%d true", broken)
	if aws != "0 false" || sized != "0 false" || parts != short || one != short || concurrent != short {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}
GO
echo "minio-go $(go list -m -f '{{.Version}}' github.com/minio/minio-go/v7)"
go run .
