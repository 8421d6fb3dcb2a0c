package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/http/httputil"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ittybit/ittybit-go"
)

// captured is a webhook as it was received.
type captured struct {
	header string
	body   []byte
	loose  bool // an editor may have added a newline to the body
}

// checked is what a check of one says.
type checked struct {
	Valid   bool   `json:"valid"`
	Error   string `json:"error,omitempty"`
	Explain string `json:"explain"`
	// Go is the line that makes a receiver accept it, where there is one.
	Go string `json:"go,omitempty"`
}

func newVerify(s *settings) *cobra.Command {
	var header, headers, body string
	cmd := &cobra.Command{
		Use:   "verify [FILE]",
		Short: "Check a captured webhook, and say what it would take to accept it",
		Long: `Check a captured webhook, and say what it would take to accept it.

FILE is a raw HTTP request, or a HAR file; - is the standard input. Without one the header is given
with --header or --headers, and the body with --body. A signature's age is not checked: a captured
one is old.`,
		Example: `  ittybit-dev verify request.http
  ittybit-dev verify --header 't=1764000000,v1=5257a8…' --body body.json --key ittybit_…
  ittybit-dev verify capture.har --json`,
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
	texts := make([]string, len(results))
	for i, r := range results {
		texts[i] = "valid: " + r.Explain
		if !r.Valid {
			texts[i] = "not valid: " + strings.TrimPrefix(r.Error, "ittybit: ") + "\n\n" + r.Explain
		}
		if r.Go != "" {
			texts[i] += "\nIn Go:\n\n\t" + r.Go + "\n"
		}
	}
	return strings.Join(texts, "\n")
}

// anyAge is a tolerance that no timestamp is outside of.
const anyAge = 100 * 365 * 24 * time.Hour

// check verifies a webhook whatever its age.
func check(key string, c captured) (checked, error) {
	verifier, err := ittybit.NewWebhookVerifier(key, ittybit.WithTolerance(anyAge))
	if err != nil {
		return checked{}, err
	}
	if trimmed := bytes.TrimRight(c.body, "\r\n"); c.loose && verifier.Verify(trimmed, c.header) == nil {
		c.body = trimmed
	}
	result := checked{Valid: true, Explain: verifier.Explain(c.body, c.header)}
	if err := verifier.Verify(c.body, c.header); err != nil {
		result.Valid, result.Error, result.Go = false, err.Error(), mend(key, c)
	}
	return result, nil
}

// mend finds the receiver that accepts a webhook: the line of Go that makes it, or "".
func mend(key string, c captured) string {
	type option struct {
		code string
		opts []ittybit.VerifierOption
	}
	content := func(code string, write func(hash.Hash, string, []byte)) option {
		return option{
			", ittybit.WithSignedContent(func(mac hash.Hash, t string, body []byte) { " + code + " })",
			[]ittybit.VerifierOption{ittybit.WithSignedContent(write)},
		}
	}
	contents := []option{
		{},
		content(`mac.Write([]byte(t + ",")); mac.Write(body)`, func(mac hash.Hash, t string, body []byte) {
			mac.Write([]byte(t + ","))
			mac.Write(body)
		}),
		content("mac.Write(body)", func(mac hash.Hash, _ string, body []byte) { mac.Write(body) }),
		{", ittybit.WithUntimestampedSignatures()", []ittybit.VerifierOption{ittybit.WithUntimestampedSignatures()}},
	}
	bare := strings.TrimPrefix(key, "whsec_")
	keys := []option{{code: "key"}, {code: `strings.TrimPrefix(key, "whsec_")`}}
	for name, encoding := range map[string]*base64.Encoding{
		"Std": base64.StdEncoding, "RawStd": base64.RawStdEncoding, "URL": base64.URLEncoding, "RawURL": base64.RawURLEncoding,
	} {
		if secret, err := encoding.DecodeString(bare); err == nil && len(secret) > 0 {
			keys = append(keys, option{
				", ittybit.WithSecretBytes(secret)) // secret, err := base64." + name + `Encoding.DecodeString(strings.TrimPrefix(key, "whsec_"))`,
				[]ittybit.VerifierOption{ittybit.WithSecretBytes(secret)},
			})
			break
		}
	}
	for _, k := range keys {
		for _, how := range contents {
			secret, line := key, "ittybit.NewWebhookHandler("+k.code+", events"+how.code+")"
			switch {
			case len(k.opts) > 0:
				line = "ittybit.NewWebhookHandler(key, events" + how.code + k.code
			case k.code != "key":
				secret = bare
			}
			opts := append(append([]ittybit.VerifierOption{ittybit.WithTolerance(anyAge)}, how.opts...), k.opts...)
			if v, err := ittybit.NewWebhookVerifier(secret, opts...); err == nil && v.Verify(c.body, c.header) == nil {
				return line
			}
		}
	}
	return ""
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
		return []captured{{header, data, true}}, nil
	}
	if header != "" || headers != "" || body != "" {
		return nil, errors.New("FILE and --header, --headers or --body are mutually exclusive")
	}
	data, err := readFile(cmd, args[0])
	if err != nil {
		return nil, err
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		return fromHAR(data)
	}
	c, err := fromDump(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", args[0], err)
	}
	return []captured{c}, nil
}

// fromDump reads a raw HTTP request of any version, as tools print it: with CRLF or LF. A body
// without a length is all that follows the headers.
func fromDump(data []byte) (captured, error) {
	head, body, found := bytes.Cut(data, []byte("\r\n\r\n"))
	if !found {
		head, body, found = bytes.Cut(data, []byte("\n\n"))
	}
	h := headerLines(head)
	if !found || len(h) == 0 {
		return captured{}, errors.New("neither a raw HTTP request nor a HAR file")
	}
	if strings.EqualFold(h.Get("Transfer-Encoding"), "chunked") {
		if whole, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(body))); err == nil {
			body = whole // most tools print it as it was sent, and some have joined it
		}
	}
	length, err := strconv.Atoi(h.Get("Content-Length"))
	if err == nil {
		if len(body) < length {
			return captured{}, fmt.Errorf("the body is cut short: %d bytes of %d are there", len(body), length)
		}
		body = body[:length]
	}
	return captured{signatureOf(h), body, err != nil}, nil
}

func signatureOf(h http.Header) string { return strings.Join(h.Values(ittybit.SignatureHeader), ",") }

// headerLines reads "Name: value" lines, and leaves out others, such as a request line.
func headerLines(text []byte) http.Header {
	h := http.Header{}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && !strings.Contains(name, " ") {
			h.Add(name, strings.TrimSpace(value))
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
					PostData struct{ Text, Encoding string }
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
		signature := signatureOf(h)
		if signature == "" {
			continue
		}
		body := []byte(entry.Request.PostData.Text)
		if entry.Request.PostData.Encoding == "base64" {
			if body, err = base64.StdEncoding.DecodeString(string(body)); err != nil {
				return nil, fmt.Errorf("the HAR file has a body that is not base64: %w", err)
			}
		}
		all = append(all, captured{signature, body, false})
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no request of the HAR file has the header %s", ittybit.SignatureHeader)
	}
	return all, nil
}
