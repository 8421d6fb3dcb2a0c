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
	"syscall"

	"github.com/spf13/cobra"

	"github.com/ittybit/ittybit-go"
)

const (
	defaultAddress = "127.0.0.1:4848"
	defaultKey     = "ittybit_local_dev_key"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// Exit codes, for scripts.
const (
	exitOK      = 0
	exitFailed  = 1 // what was asked for did not come out well: not confirmed, not valid, failed
	exitUsage   = 2 // the command line
	exitNoReach = 3 // the server could not be reached, or refused the request
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
	_, _ = fmt.Fprintln(stderr, "ittybit-dev:", err)
	var withCode *failure
	var ofAPI *ittybit.APIError
	switch {
	case errors.As(err, &withCode):
		return withCode.code
	case errors.As(err, &ofAPI):
		return exitNoReach
	}
	return exitUsage
}

// settings are the flags that several commands share.
type settings struct {
	url  string // of the API
	key  string
	json bool
}

func newRoot() *cobra.Command {
	s := &settings{}
	root := &cobra.Command{
		Use:   "ittybit-dev",
		Short: "A local Ittybit, and what shows and sends its webhooks",
		Long: `A local Ittybit, and what shows and sends its webhooks.

The exit code is 0 where all went well, 1 where what was asked for did not (a webhook was not
confirmed, a signature is not valid, a task failed), 2 for a wrong command line, and 3 where a
server could not be reached or refused the request.`,
		Version:       ittybit.Version,
		SilenceErrors: true, SilenceUsage: true,
	}
	flags := root.PersistentFlags()
	flags.StringVar(&s.url, "url", orDefault(os.Getenv("ITTYBIT_URL"), "http://"+defaultAddress), "base URL of the API (ITTYBIT_URL)")
	flags.StringVar(&s.key, "key", "", "API key (ITTYBIT_API_KEY; without one that of serve)")
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

func (s *settings) client() (*ittybit.Client, error) {
	return ittybit.NewClient(s.apiKey(), ittybit.WithBaseURL(s.url))
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
