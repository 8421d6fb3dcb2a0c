// Browser serves a page that uploads from the browser, straight to Ittybit: the server only signs
// URLs, and no key leaves it.
//
//	go run ./cmd/ittybit-dev serve
//	ITTYBIT_API_KEY=ittybit_local_dev_key ITTYBIT_DOMAIN=http://127.0.0.1:4849 \
//	  go run ./examples/upload/browser
//
// Then open http://127.0.0.1:8080. With an account, ITTYBIT_DOMAIN is the project's, such as
// you.ittybit.net, and the signing belongs behind the service's own login.
package main

import (
	"embed"
	"encoding/json"
	"flag"
	"log"
	"net/http"
	"os"
	"regexp"
	"time"

	"github.com/ittybit/ittybit-go"
)

//go:embed index.html upload.js
var page embed.FS

// notInPaths is what a signed path must not have: see ittybit.SignURL.
var notInPaths = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

func main() {
	address := flag.String("addr", "127.0.0.1:8080", "where to listen")
	flag.Parse()
	handler := routes(os.Getenv("ITTYBIT_API_KEY"), os.Getenv("ITTYBIT_DOMAIN"))
	server := &http.Server{Addr: *address, Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	log.Println("open http://" + server.Addr)
	log.Fatal(server.ListenAndServe())
}

func routes(apiKey, domain string) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServerFS(page))
	mux.HandleFunc("POST /sign", func(w http.ResponseWriter, r *http.Request) {
		// A real service checks who asks, and chooses the folder by that.
		name := notInPaths.ReplaceAllString(r.FormValue("filename"), "-")
		signed, err := ittybit.SignURL(apiKey, ittybit.SignURLParams{
			Domain: domain, Path: "uploads/" + name, Method: ittybit.SignedURLMethodPut, Expiry: time.Now().Add(10 * time.Minute),
		})
		if err != nil {
			http.Error(w, "the filename cannot be signed", http.StatusBadRequest)
			log.Print(err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]string{"url": signed.URL}) // a client that has gone needs no response
	})
	// Only this page may ask: another site's could upload in its visitors' names.
	return http.NewCrossOriginProtection().Handler(mux)
}
