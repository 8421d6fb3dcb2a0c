package ittybittest

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

func (s *Server) createSignature(r *request) (*response, error) {
	texts := map[string]string{}
	for _, name := range []string{"filename", "folder", "method"} {
		value, err := r.body.text(name)
		if err != nil {
			return nil, err
		}
		texts[name] = value
	}
	filename, folder := sanitise(texts["filename"]), []string{}
	if strings.Trim(filename, ".") == "" {
		return nil, badRequest("filename is required.")
	}
	for part := range strings.SplitSeq(texts["folder"], "/") {
		if part = sanitise(part); strings.Trim(part, ".") != "" {
			folder = append(folder, part)
		}
	}
	method := cmp.Or(strings.ToLower(texts["method"]), "get")
	if method != "get" && method != "put" {
		return nil, badRequest("method must be get or put.")
	}
	now := time.Now()
	expiry := now.Add(time.Hour).Unix()
	if raw, ok := r.body.get("expiry"); ok {
		if json.Unmarshal(raw, &expiry) != nil || expiry <= now.Unix() {
			return nil, badRequest("expiry must be a time in the future, in unix seconds.")
		}
	}
	signed := fmt.Sprintf("%s?expiry=%d&method=%s", strings.Join(append(folder, filename), "/"), expiry, method)
	signature := s.sign(signed)
	return reply(http.StatusCreated, object{}.
		set("domain", hostOf(s.StorageURL)).
		set("filename", filename).
		set("folder", strings.Join(folder, "/")).
		set("expiry", expiry).
		set("method", method).
		set("signature", signature).
		set("url", s.StorageURL+"/"+signed+"&signature="+signature)), nil
}

var unsafeInName = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

func sanitise(name string) string { return unsafeInName.ReplaceAllString(name, "-") }

func (s *Server) sign(text string) string {
	mac := hmac.New(sha256.New, []byte(s.APIKey))
	mac.Write([]byte(text))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// checkSigned checks the signature in the query. The path may be signed as it
// is, or as it is escaped in the address.
func (s *Server) checkSigned(r *http.Request, method string) error {
	query := r.URL.Query()
	given := query.Get("method")
	tail := "?expiry=" + query.Get("expiry") + "&method=" + given
	valid := false
	for _, name := range []string{r.URL.Path, r.URL.EscapedPath()} {
		want := s.sign(strings.TrimPrefix(name, "/") + tail)
		valid = hmac.Equal([]byte(want), []byte(query.Get("signature"))) || valid
	}
	expiry, err := strconv.ParseInt(query.Get("expiry"), 10, 64)
	switch {
	case !valid || err != nil:
		return refuse(http.StatusForbidden, "The signature is not valid.")
	case given != method:
		return refuse(http.StatusForbidden, "The signature is for another method: %q, not %q.", given, method)
	case time.Now().Unix() >= expiry:
		return refuse(http.StatusForbidden, "The signature is expired since %s.", time.Unix(expiry, 0).UTC().Format(time.RFC3339))
	}
	return nil
}
