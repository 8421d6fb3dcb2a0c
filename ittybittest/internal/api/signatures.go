package api

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/ittybit/ittybit-go/ittybittest/internal/fields"
	"github.com/ittybit/ittybit-go/ittybittest/internal/refusal"
)

func (a *API) createSignature(body fields.Object) (any, error) {
	texts := map[string]string{}
	for _, name := range []string{"filename", "folder", "method"} {
		value, err := body.Text(name)
		if err != nil {
			return nil, err
		}
		texts[name] = value
	}
	filename, folder := sanitise(texts["filename"]), []string{}
	if strings.Trim(filename, ".") == "" {
		return nil, refusal.Invalid("filename is required.")
	}
	for part := range strings.SplitSeq(texts["folder"], "/") {
		if part = sanitise(part); strings.Trim(part, ".") != "" {
			folder = append(folder, part)
		}
	}
	method := cmp.Or(strings.ToLower(texts["method"]), "get")
	if method != "get" && method != "put" {
		return nil, refusal.Invalid("method must be get or put.")
	}
	now := time.Now()
	expiry := now.Add(time.Hour).Unix()
	if raw, ok := body.Find("expiry"); ok && (json.Unmarshal(raw, &expiry) != nil || expiry <= now.Unix()) {
		return nil, refusal.Invalid("expiry must be a time in the future, in unix seconds.")
	}
	signed := fmt.Sprintf("%s?expiry=%d&method=%s", strings.Join(append(folder, filename), "/"), expiry, method)
	signature := sign(a.Key, signed)
	_, domain, _ := strings.Cut(a.StorageURL, "://")
	return map[string]any{
		"domain": domain, "filename": filename, "folder": strings.Join(folder, "/"), "expiry": expiry, "method": method,
		"signature": signature, "url": a.StorageURL + "/" + signed + "&signature=" + signature,
	}, nil
}

func sanitise(name string) string {
	return regexp.MustCompile(`[^A-Za-z0-9._-]+`).ReplaceAllString(name, "-")
}

func sign(key, text string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(text))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// CheckSigned checks the signature in the query of an address of the storage. The path may be
// signed as it is, or as it is escaped in the address.
func CheckSigned(key string, u *url.URL, method string) error {
	query := u.Query()
	given := query.Get("method")
	tail := "?expiry=" + query.Get("expiry") + "&method=" + given
	valid := false
	for _, name := range []string{u.Path, u.EscapedPath()} {
		want := sign(key, strings.TrimPrefix(name, "/")+tail)
		valid = hmac.Equal([]byte(want), []byte(query.Get("signature"))) || valid
	}
	expiry, err := strconv.ParseInt(query.Get("expiry"), 10, 64)
	switch {
	case !valid || err != nil:
		return refusal.New(http.StatusForbidden, "The signature is not valid.")
	case given != method:
		return refusal.New(http.StatusForbidden, "The signature is for another method: %q, not %q.", given, method)
	case time.Now().Unix() >= expiry:
		return refusal.New(http.StatusForbidden, "The signature is expired since %s.", time.Unix(expiry, 0).UTC().Format(time.RFC3339))
	}
	return nil
}
