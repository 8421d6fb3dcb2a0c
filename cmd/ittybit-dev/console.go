package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ittybit/ittybit-go/cmd/ittybit-dev/internal/console"
)

// These are the default addresses of the consoles.
const (
	serveConsole  = "127.0.0.1:4850"
	listenConsole = "127.0.0.1:4851"
)

// startConsole serves a console until ctx ends. It gives the address to open, whose token a
// directory keeps, if there is one. Where a default address is taken, another port will do.
func startConsole(ctx context.Context, address, dir string, config console.Config) (page string, err error) {
	if config.Token, err = consoleToken(dir); err != nil {
		return "", err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil && (address == serveConsole || address == listenConsole) { // another one runs: any port will do
		l, err = new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	}
	if err != nil {
		return "", fmt.Errorf("%w: --console-addr chooses another address", err)
	}
	c, err := console.New(config, l.Addr())
	if err != nil {
		return "", errors.Join(fmt.Errorf("--console-addr %s: %w", address, err), l.Close())
	}
	srv := &http.Server{Handler: c, ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	go func() { _ = srv.Serve(l) }() // it ends when it is closed
	context.AfterFunc(ctx, func() { _ = srv.Close() })
	return c.URL(), nil
}

// consoleToken is what lets a browser in. A directory keeps it, so that tabs go on when the
// command is started again. Without one each start has its own.
func consoleToken(dir string) (string, error) {
	if dir == "" {
		return rand.Text(), nil
	}
	path := filepath.Join(dir, "console-token")
	if kept, err := os.ReadFile(path); err == nil && len(strings.TrimSpace(string(kept))) >= len(rand.Text()) {
		return strings.TrimSpace(string(kept)), nil
	}
	token := rand.Text()
	return token, os.WriteFile(path, []byte(token+"\n"), 0o600)
}

// hostsOf is the name in a base URL, if there is one.
func hostsOf(base string) []string {
	u, err := url.Parse(base)
	if err != nil || u.Hostname() == "" {
		return nil
	}
	return []string{strings.ToLower(u.Hostname())}
}
