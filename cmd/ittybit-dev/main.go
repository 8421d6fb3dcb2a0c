// Command ittybit-dev runs a local Ittybit, and shows and sends webhooks, while an application
// that uses Ittybit is developed. See docs/local-development.md.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/ittybit/ittybit-go"
)

const (
	defaultAddress = "127.0.0.1:4848"
	defaultStorage = "http://127.0.0.1:4849"
	defaultKey     = "ittybit_local_dev_key"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C does not wait
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// Exit codes, for scripts.
const (
	exitOK          = 0
	exitFailed      = 1   // what was asked for did not come out well: not confirmed, not valid, failed
	exitUsage       = 2   // the command line
	exitNoReach     = 3   // the server could not be reached, or refused the request
	exitInterrupted = 130 // Ctrl-C, as shells have it
)

// failure is an error with an exit code.
type failure struct {
	code int
	err  error
}

// Error implements error.
func (f *failure) Error() string { return f.err.Error() }

// Unwrap gives the error.
func (f *failure) Unwrap() error { return f.err }

func failed(format string, args ...any) error {
	return &failure{exitFailed, fmt.Errorf(format, args...)}
}

// run executes a command line, and gives its exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	if ctx.Err() != nil {
		_, _ = fmt.Fprintln(stderr, "ittybit-dev: interrupted")
		return exitInterrupted
	}
	_, _ = fmt.Fprintln(stderr, "ittybit-dev:", strings.TrimPrefix(err.Error(), "ittybit: "))
	var withCode *failure
	var ofParam *ittybit.ParamError
	switch {
	case errors.As(err, &withCode):
		return withCode.code
	case errors.As(err, &ofParam):
		return exitUsage
	case strings.HasPrefix(err.Error(), "ittybit: "): // of a request
		return exitNoReach
	}
	return exitUsage
}

// settings are the flags that several commands share.
type settings struct {
	url      string // of the API
	ownURL   bool   // it was given
	key      string
	password string // for /_local/ on other machines
	hosts    []string
	json     bool
}

func newRoot() *cobra.Command {
	s := &settings{}
	root := &cobra.Command{
		Use:   "ittybit-dev",
		Short: "A local Ittybit, and what shows and sends its webhooks",
		Long: `A local Ittybit, and what shows and sends its webhooks.

The exit code is 0 where all went well, 1 where what was asked for did not (a webhook was not
confirmed, a signature is not valid, a task failed), 2 for a wrong command line, 3 where a server
could not be reached or refused the request, and 130 after Ctrl-C.`,
		Example: `  ittybit-dev serve --webhook http://localhost:3000/ittybit-webhook
  ittybit-dev trigger task.completed --kind nsfw --to http://localhost:3000/ittybit-webhook
  ITTYBIT_API_KEY=ittybit_… ittybit-dev listen --forward-to http://localhost:3000/ittybit-webhook`,
		Version:       ittybit.Version,
		SilenceErrors: true, SilenceUsage: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			s.ownURL = cmd.Flags().Changed("url") || os.Getenv("ITTYBIT_URL") != ""
			s.url = strings.TrimRight(s.url, "/")
			s.password = orDefault(s.password, os.Getenv("ITTYBIT_LOCAL_PASSWORD"))
			if !isWebURL(s.url) {
				return fmt.Errorf("--url %q is not an absolute URL, such as http://%s", s.url, defaultAddress)
			}
			return nil
		},
	}
	flags := root.PersistentFlags()
	flags.StringVar(&s.url, "url", orDefault(os.Getenv("ITTYBIT_URL"), "http://"+defaultAddress), "base URL of the API (ITTYBIT_URL)")
	flags.StringVar(&s.key, "key", "", "API key (ITTYBIT_API_KEY; without one that of serve)")
	flags.StringVar(&s.password, "password", "", "password for /_local/ of serve, from other machines (ITTYBIT_LOCAL_PASSWORD)")
	flags.StringSliceVar(&s.hosts, "allow-host", nil, "host besides this machine that may be called by plain http, as in docker compose")
	flags.BoolVar(&s.json, "json", false, "print JSON, for scripts")
	root.AddCommand(
		newServe(s), newTrigger(s), newDeliveries(s), newShow(s), newResend(s),
		newSign(s), newVerify(s), newTasks(s), newUpload(s), newSignURL(s), newListen(s),
	)
	return root
}

func orDefault(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// apiKey is not the default of a flag, so that no help text shows it.
func (s *settings) apiKey() string {
	return orDefault(s.key, orDefault(os.Getenv("ITTYBIT_API_KEY"), defaultKey))
}

// client is one of the API. Where no address is given it is that of serve: a key of the real
// Ittybit in the environment is not meant for it.
func (s *settings) client(ownDomain bool) (*ittybit.Client, error) {
	key := s.apiKey()
	if !s.ownURL && !ownDomain {
		key = orDefault(s.key, defaultKey)
	}
	return ittybit.NewClient(key, ittybit.WithInsecureHosts(s.hosts...), ittybit.WithBaseURL(s.url))
}

// print writes a value as indented JSON, or as text if that is not what was asked for.
func (s *settings) print(cmd *cobra.Command, value any, text string) error {
	if !s.json {
		_, err := fmt.Fprintln(cmd.OutOrStdout(), text)
		return err
	}
	return printJSON(cmd, value)
}

func printJSON(cmd *cobra.Command, value any) error {
	enc := json.NewEncoder(cmd.OutOrStdout())
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(value)
}
