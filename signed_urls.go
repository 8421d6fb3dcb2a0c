package ittybit

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/ittybit/ittybit-go/internal/jsonx"
	"github.com/ittybit/ittybit-go/internal/redact"
	"github.com/ittybit/ittybit-go/internal/signature"
)

// SignedURLMethod is what a signed URL is good for. It is an open type; net/http's names
// of methods do as well.
type SignedURLMethod string

// The methods of signed URLs (API version 2025-08-20).
const (
	SignedURLMethodGet SignedURLMethod = "get" // to fetch a file
	SignedURLMethodPut SignedURLMethod = "put" // to upload one
)

// SignedURL lets whoever has it fetch or upload one file for a while, without the API
// key: a browser or a phone, for example. It is a secret until it has expired: fmt and
// slog print one without its signature. Its JSON has it all, and so has what slog makes
// JSON of, such as a list of them.
type SignedURL struct {
	URL       string          `json:"url"`
	Domain    string          `json:"domain,omitempty"`
	Folder    string          `json:"folder,omitempty"`
	Filename  string          `json:"filename,omitempty"`
	Method    SignedURLMethod `json:"method,omitempty"`
	Expiry    time.Time       `json:"expiry,omitzero"` // of a response also in unix milliseconds, as later API versions send times
	Signature string          `json:"signature,omitempty"`

	decoded
}

// String names the URL, without its signature.
func (u SignedURL) String() string {
	return fmt.Sprintf("signed URL %s (method %s, expiry %s)", redact.Text(u.URL, u.Signature), u.Method, u.Expiry.UTC().Format(time.RFC3339))
}

// Format implements [fmt.Formatter]: every verb prints String.
func (u SignedURL) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(u.String())) }

// LogValue implements [slog.LogValuer] with String.
func (u SignedURL) LogValue() slog.Value { return slog.StringValue(u.String()) }

// UnmarshalJSON implements [json.Unmarshaler].
func (u *SignedURL) UnmarshalJSON(data []byte) error { return unmarshalObject(u, data) }

// MarshalJSON gives everything that was decoded back, changed fields changed.
func (u SignedURL) MarshalJSON() ([]byte, error) { return marshalObject(&u, nil) }

// objectID: what other objects have an id for, a signed URL is by itself.
func (u *SignedURL) objectID() string { return u.URL }

func (u *SignedURL) fromJSON(text []byte) error {
	err := decodeObject(u, "signed URL", text)
	if err == nil && u.URL == "" {
		err = cmp.Or(errors.Unwrap(u.err), errors.New("it has no url"))
	}
	return err
}

// SignedURLCreateParams are the parameters of [SignedURLsService.Create].
type SignedURLCreateParams struct {
	Filename string          // required; Ittybit replaces special characters
	Folder   string          // such as "holidays/2025"; Ittybit replaces special characters
	Method   SignedURLMethod // get, where it is not set
	Expiry   time.Time       // whole seconds, in the future, before the year 5138; in 60 minutes, where it is not set

	// Resumable is for uploads in chunks. It is not in the API's reference, but
	// applications are seen to send it.
	Resumable bool
	// Metadata is for the file that will be uploaded. It is not in the API's reference,
	// but applications are seen to send it.
	Metadata map[string]any
}

func (p SignedURLCreateParams) check() error {
	if p.Filename == "" {
		return &ParamError{Param: "Filename", Reason: "is required"}
	}
	if !p.Expiry.IsZero() {
		return checkExpiry("Expiry", p.Expiry)
	}
	return nil
}

// checkExpiry: an expiry "must be in the future" (API reference, signatures).
func checkExpiry(param string, expiry time.Time) error {
	switch {
	case !expiry.Truncate(time.Second).After(time.Now()): // whole seconds are what is signed
		return &ParamError{Param: param, Reason: "must be in the future"}
	case jsonx.IsMillis(expiry.Unix()): // an expiry counts in seconds (API reference, signatures)
		return &ParamError{Param: param, Reason: "is in the year 5138 or later; were unix milliseconds taken for seconds?"}
	}
	return nil
}

// MarshalJSON gives the expiry in unix seconds.
func (p SignedURLCreateParams) MarshalJSON() ([]byte, error) {
	var expiry int64
	if !p.Expiry.IsZero() {
		expiry = p.Expiry.Unix()
	}
	return jsonx.Marshal(struct {
		Filename  string          `json:"filename"`
		Folder    string          `json:"folder,omitempty"`
		Expiry    int64           `json:"expiry,omitempty"`
		Method    SignedURLMethod `json:"method,omitempty"`
		Resumable bool            `json:"resumable,omitempty"`
		Metadata  map[string]any  `json:"metadata,omitempty"`
	}{p.Filename, p.Folder, expiry, p.Method.lower(), p.Resumable, p.Metadata})
}

func (m SignedURLMethod) lower() SignedURLMethod { return SignedURLMethod(strings.ToLower(string(m))) }

// SignedURLsService calls /signatures. Use it as Client.SignedURLs.
type SignedURLsService struct{ client *Client }

// Create has Ittybit sign a URL. It creates nothing, so it is tried again like a GET.
// [SignURL] does the same without a request, for a domain that you know.
func (s *SignedURLsService) Create(ctx context.Context, params SignedURLCreateParams, opts ...RequestOption) (*SignedURL, error) {
	if err := params.check(); err != nil {
		return nil, err
	}
	return do[SignedURL](ctx, s.client, call{method: http.MethodPost, path: "/signatures", body: params}, opts)
}

// SignURLParams say what [SignURL] signs. All are required.
type SignURLParams struct {
	Domain string          // of the project, such as you.ittybit.net, or an origin, such as https://you.ittybit.net
	Path   string          // of the file, such as holidays/2025/beach.mp4
	Method SignedURLMethod // what the URL is good for
	Expiry time.Time       // whole seconds, in the future, before the year 5138
}

// SignURL makes a signed URL without a request.
//
// What is signed is HMAC-SHA256, with the API key, of "<path>?expiry=<unix
// seconds>&method=<method>" (documentation of signed delivery, API version 2025-08-20). How that
// treats characters that stand escaped in a URL is not documented: a path with anything
// but ASCII letters, digits and -._~!$'()*,:@+ between its slashes is a [*ParamError];
// use [SignedURLsService.Create] for it.
//
// Plain http is for this machine only. What is wrong with apiKey or params is a [*ParamError];
// that of an empty key matches [ErrMissingAPIKey].
func SignURL(apiKey string, params SignURLParams) (*SignedURL, error) {
	switch {
	case apiKey == "":
		return nil, missingAPIKey()
	case strings.TrimSpace(apiKey) != apiKey, strings.ContainsFunc(apiKey, unicode.IsControl):
		return nil, &ParamError{Param: "apiKey", Reason: "has white space around it, or control characters; was it read from a file with a newline at its end?"}
	case !signature.KeyAllowed(len(apiKey)):
		return nil, &ParamError{Param: "apiKey", Reason: fipsReason}
	}
	origin, err := parseDomain("Domain", params.Domain, nil)
	if err != nil {
		return nil, err
	}
	if err := checkSignedPath(params.Path); err != nil {
		return nil, err
	}
	if err := checkExpiry("Expiry", params.Expiry); err != nil {
		return nil, err
	}
	method := params.Method.lower()
	if method == "" || strings.Trim(string(method), "abcdefghijklmnopqrstuvwxyz") != "" {
		return nil, &ParamError{Param: "Method", Reason: "must be the name of a method, such as get or put"}
	}
	signed := params.Path + "?expiry=" + strconv.FormatInt(params.Expiry.Unix(), 10) + "&method=" + string(method)
	mac := hmac.New(sha256.New, []byte(apiKey))
	_, _ = mac.Write([]byte(signed)) // a hash takes everything
	signature := base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	folder, filename := path.Split(params.Path)
	return &SignedURL{
		URL:    origin.String() + "/" + signed + "&signature=" + signature,
		Domain: origin.Host, Folder: strings.TrimSuffix(folder, "/"), Filename: filename,
		Method: method, Expiry: time.Unix(params.Expiry.Unix(), 0), Signature: signature,
	}, nil
}

// checkSignedPath takes the paths that look the same escaped and not.
func checkSignedPath(text string) error {
	switch {
	case strings.ContainsFunc(text, func(r rune) bool { return !isPlainInPath(r) }):
		return &ParamError{Param: "Path", Reason: "has characters that would be escaped in a URL, for which the signature is not documented; use SignedURLs.Create"}
	case !fs.ValidPath(text) || text == ".":
		return &ParamError{Param: "Path", Reason: "must be folders and a filename, with single slashes between them, none at either end, and neither . nor .. in it"}
	}
	return nil
}

func isPlainInPath(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._~!$'()*,:@+/", r)
}

// parseDomain reads a project's delivery domain, with or without its scheme.
func parseDomain(param, domain string, insecure insecureHosts) (*url.URL, error) {
	if domain == "" {
		return nil, &ParamError{Param: param, Reason: "is required, such as you.ittybit.net"}
	}
	text := domain
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	origin, err := insecure.parse(param, strings.TrimSuffix(text, "/"), "you.ittybit.net")
	if err != nil {
		return nil, err
	}
	if origin.User != nil || origin.Path != "" || origin.RawQuery != "" || origin.ForceQuery || origin.Fragment != "" {
		return nil, &ParamError{Param: param, Reason: "must be a domain, such as you.ittybit.net, and nothing else"}
	}
	return origin, nil
}
