package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ittybit/ittybit-go"
)

func newSign(s *settings) *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use:     "sign FILE",
		Short:   "Print the signature header for a body, and the curl command that sends it",
		Long:    "Print the signature header for a body, and the curl command that sends it. FILE - is the standard input.",
		Example: "  ittybit-dev sign body.json --to http://localhost:3000/hook",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			body, err := readFile(cmd, args[0])
			if err != nil {
				return err
			}
			header := ittybit.SignWebhook(s.apiKey(), time.Now(), body)
			data := "@" + args[0]
			curl := fmt.Sprintf("curl --data-binary %s -H 'Content-Type: application/json' -H '%s: %s' %s",
				quote(data), ittybit.SignatureHeader, header, quote(to))
			return s.print(cmd, map[string]string{"header": ittybit.SignatureHeader, "value": header, "curl": curl},
				ittybit.SignatureHeader+": "+header+"\n\n"+curl)
		},
	}
	cmd.Flags().StringVar(&to, "to", "http://localhost:3000/ittybit-webhook", "URL of the curl command")
	return cmd
}

// quote makes one word of a shell's command line.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

func readFile(cmd *cobra.Command, name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(cmd.InOrStdin())
	}
	return os.ReadFile(name)
}

func newSignURL(s *settings) *cobra.Command {
	var domain, method string
	var expires time.Duration
	cmd := &cobra.Command{
		Use:     "sign-url PATH",
		Short:   "Sign a URL of the storage, without a request",
		Example: "  ittybit-dev sign-url holidays/2026/beach.mp4 --method put --expires 10m --domain you.ittybit.net",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			signed, err := ittybit.SignURL(s.apiKey(), ittybit.SignURLParams{
				Domain: domain, Path: args[0], Method: ittybit.SignedURLMethod(method), Expiry: time.Now().Add(expires),
			})
			if err != nil {
				return err
			}
			return s.print(cmd, map[string]any{"url": signed.URL, "expiry": signed.Expiry}, signed.URL)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&domain, "domain", orDefault(os.Getenv("ITTYBIT_STORAGE_URL"), defaultStorage), "domain of the project, or the storage of serve (ITTYBIT_STORAGE_URL)")
	flags.StringVar(&method, "method", "get", "get or put")
	flags.DurationVar(&expires, "expires", time.Hour, "how long the URL is good for")
	return cmd
}
