package console

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ittybit/ittybit-go"
)

func encode(b []byte) string { return hex.EncodeToString(b) }

// tolerance is what a receiver has unless it says otherwise.
const tolerance = 5 * time.Minute

// step is one step of a check. State is "ok", "bad", or "" for what is neither.
type step struct {
	Title string `json:"title"`
	Text  string `json:"text"`
	Code  string `json:"code,omitempty"`
	State string `json:"state,omitempty"`
}

// signature explains the signature of an attempt: ?number= is that of the record, without one it
// is the last.
func (c *Console) signature(w http.ResponseWriter, r *http.Request) {
	path := "/_local/deliveries/" + url.PathEscape(r.PathValue("id"))
	shown, status, err := c.get(r.Context(), path)
	var body []byte
	if err == nil {
		body, status, err = c.get(r.Context(), path+"/body")
	}
	var delivery struct {
		Attempts []struct {
			Number    int64
			Signature string
			Time      time.Time
		}
	}
	if err == nil {
		err = json.Unmarshal(shown, &delivery)
	}
	if err == nil && len(delivery.Attempts) == 0 {
		err = errors.New("it has no attempts")
	}
	if err != nil {
		if status < http.StatusBadRequest {
			status = http.StatusBadGateway
		}
		fail(w, status, fmt.Sprintf("The delivery can't be read: %s.", err))
		return
	}
	attempt := delivery.Attempts[len(delivery.Attempts)-1]
	for _, a := range delivery.Attempts {
		if strconv.FormatInt(a.Number, 10) == r.URL.Query().Get("number") {
			attempt = a
		}
	}
	steps, err := explain(c.config.Key, attempt.Signature, body, attempt.Time, time.Now()) //nolint:contextcheck // nothing there waits
	if err != nil {
		fail(w, http.StatusInternalServerError, err.Error())
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"steps": steps})
}

// explain checks a signature as a receiver does, one step at a time. It shows no MAC but the one
// that was sent.
func explain(key, header string, body []byte, sent, now time.Time) ([]step, error) {
	verifier, err := ittybit.NewWebhookVerifier(key,
		ittybit.WithClock(func() time.Time { return sent }), ittybit.WithUntimestampedSignatures())
	if err != nil {
		return nil, err
	}
	failure := verifier.Verify(body, header)
	timestamp, mac := "", ""
	for part := range strings.SplitSeq(header, ",") {
		switch name, value, _ := strings.Cut(strings.TrimSpace(part), "="); name {
		case "t":
			timestamp = value
		case "v1":
			mac = value
		}
	}
	if timestamp == "" || mac == "" {
		return []step{
			{"Read the header", ittybit.SignatureHeader + " is not of the form t=…,v1=….", header, state(failure == nil)},
			result(failure, verifier.Explain(body, header)),
		}, nil
	}
	begin := body[:min(len(body), 72)]
	steps := []step{
		{"Read the header", "It has the time of signing (t) and the signature (v1).", ittybit.SignatureHeader + ": " + header, "ok"},
		timeStep(timestamp, sent),
		{"Put the signed content together", fmt.Sprintf("The timestamp as it was sent, a dot, and the %d bytes of the body, unchanged.", len(body)),
			timestamp + "." + strings.ToValidUTF8(string(begin), "�") + map[bool]string{true: "…"}[len(body) > len(begin)], ""},
		{"Compute the HMAC-SHA256 with the API key", "In hex it must be v1, compared in constant time.", "v1=" + mac, state(failure == nil)},
		result(failure, verifier.Explain(body, header)),
	}
	if at, err := strconv.ParseInt(timestamp, 10, 64); err == nil && failure == nil {
		if age := now.Sub(time.Unix(at, 0)).Round(time.Second); age > tolerance {
			steps = append(steps, step{"Sent as it was, now", fmt.Sprintf("It is %s old: a receiver would refuse it, unless its tolerance is larger "+
				"(ittybit.WithTolerance). Signed again, it would pass.", age), "", ""})
		}
	}
	return steps, nil
}

func timeStep(timestamp string, sent time.Time) step {
	s := step{Title: "Check the time", Code: "t=" + timestamp}
	at, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		s.Text = "It is not in unix seconds."
		return s
	}
	if at > 1e11 {
		at /= 1000
	}
	signed := time.Unix(at, 0)
	age := sent.Sub(signed).Round(time.Second)
	s.Text = fmt.Sprintf("%s, %s before the attempt. A receiver allows for %s.", signed.UTC().Format("2006-01-02 15:04:05 UTC"), max(age, 0), tolerance)
	s.State = state(age.Abs() <= tolerance)
	return s
}

func result(failure error, explanation string) step {
	if failure == nil {
		return step{"Accept it", "The signature is valid: the body is what the holder of the key has sent.", "", "ok"}
	}
	return step{"Refuse it", strings.TrimPrefix(failure.Error(), "ittybit: ") + ". " + explanation, "", "bad"}
}

func state(ok bool) string {
	if ok {
		return "ok"
	}
	return "bad"
}
