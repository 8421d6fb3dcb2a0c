package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
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

// captured is a webhook as it was received.
type captured struct {
	Header string `json:"header"`
	Body   []byte `json:"-"`
}

// checked is what a check of one says.
type checked struct {
	Valid   bool   `json:"valid"`
	Error   string `json:"error,omitempty"`
	Explain string `json:"explain"`
}

func newVerify(s *settings) *cobra.Command {
	var header, headers, body string
	cmd := &cobra.Command{
		Use:   "verify [FILE]",
		Short: "Check a captured webhook, and say what it would take to accept it",
		Long: `Check a captured webhook, and say what it would take to accept it.

FILE is a raw HTTP request, or a HAR file. Without one the header is given with --header or
--headers, and the body with --body. A signature's age is not checked: a captured one is old.`,
		Example: `  ittybit-dev verify request.http
  ittybit-dev verify --header 't=1764000000,v1=5257a8…' --body body.json --key ittybit_…`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := capture(cmd, args, header, headers, body)
			if err != nil {
				return err
			}
			results, invalid := []checked{}, false
			for _, c := range all {
				result, err := check(s.apiKey(), c)
				if err != nil {
					return err
				}
				results, invalid = append(results, result), invalid || !result.Valid
			}
			if err := s.print(cmd, results, describe(results)); err != nil {
				return err
			}
			if invalid {
				return failed("the signature is not valid")
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&header, "header", "", "value of the header Ittybit-Signature")
	flags.StringVar(&headers, "headers", "", "file with the request's headers, one a line")
	flags.StringVar(&body, "body", "", "file with the request's body, - for the standard input")
	return cmd
}

func describe(results []checked) string {
	lines := make([]string, len(results))
	for i, r := range results {
		lines[i] = "valid: " + r.Explain
		if !r.Valid {
			lines[i] = "not valid: " + r.Error + "\n" + r.Explain
		}
	}
	return strings.Join(lines, "\n")
}

// check verifies a webhook whatever its age.
func check(key string, c captured) (checked, error) {
	verifier, err := ittybit.NewWebhookVerifier(key, ittybit.WithTolerance(100*365*24*time.Hour))
	if err != nil {
		return checked{}, err
	}
	result := checked{Valid: true, Explain: verifier.Explain(c.Body, c.Header)}
	if err := verifier.Verify(c.Body, c.Header); err != nil {
		result.Valid, result.Error = false, err.Error()
	}
	return result, nil
}

// capture reads the webhooks that the command line names.
func capture(cmd *cobra.Command, args []string, header, headers, body string) ([]captured, error) {
	if len(args) == 0 {
		if body == "" || (header == "") == (headers == "") {
			return nil, errors.New("give a FILE, or --body with one of --header and --headers")
		}
		data, err := readFile(cmd, body)
		if err != nil {
			return nil, err
		}
		if headers != "" {
			lines, err := readFile(cmd, headers)
			if err != nil {
				return nil, err
			}
			header = signatureOf(headerLines(lines))
		}
		return []captured{{header, data}}, nil
	}
	if header != "" || headers != "" || body != "" {
		return nil, errors.New("FILE and --header, --headers or --body are mutually exclusive")
	}
	data, err := readFile(cmd, args[0])
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		return fromHAR(data)
	}
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(data)))
	if err != nil {
		return nil, fmt.Errorf("%s is neither a raw HTTP request nor a HAR file: %w", args[0], err)
	}
	defer func() { _ = req.Body.Close() }() // it is only read
	content, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, fmt.Errorf("%s: the body is cut short: %w", args[0], err)
	}
	return []captured{{signatureOf(req.Header), content}}, nil
}

func signatureOf(h http.Header) string { return strings.Join(h.Values(ittybit.SignatureHeader), ",") }

// headerLines reads "Name: value" lines, and takes others for a status line.
func headerLines(text []byte) http.Header {
	h := http.Header{}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			h.Add(strings.TrimSpace(name), strings.TrimSpace(value))
		}
	}
	return h
}

// fromHAR gives the requests of a HAR file that have a signature.
func fromHAR(data []byte) (all []captured, err error) {
	var har struct {
		Log struct {
			Entries []struct {
				Request struct {
					Headers  []struct{ Name, Value string }
					PostData struct{ Text string }
				}
			}
		}
	}
	if err := json.Unmarshal(data, &har); err != nil {
		return nil, fmt.Errorf("not a HAR file: %w", err)
	}
	for _, entry := range har.Log.Entries {
		h := http.Header{}
		for _, header := range entry.Request.Headers {
			h.Add(header.Name, header.Value)
		}
		if signature := signatureOf(h); signature != "" {
			all = append(all, captured{signature, []byte(entry.Request.PostData.Text)})
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no request of the HAR file has the header %s", ittybit.SignatureHeader)
	}
	return all, nil
}
