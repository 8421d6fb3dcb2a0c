// Package benchmarks measures ittybit-go beside other SDKs that take webhooks, and beside the least
// that anybody has to do. docs/performance.md says how to run and read it.
package benchmarks

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-github/v92/github"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/webhooks"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v85/webhook"
	svix "github.com/svix/svix-webhooks/go"

	"github.com/ittybit/ittybit-go"
)

// secret is what everybody signs with, and encodedSecret the same for Standard Webhooks.
const secret = "ittybit_benchmark_key_0123456789"

var encodedSecret = "whsec_" + base64.StdEncoding.EncodeToString([]byte(secret))

var errUnexpected = errors.New("the result is not as expected")

// check verifies, or verifies and parses, a body against the one signature that it was made for.
type check func(body []byte) error

// peer is a library that receives webhooks. Each gets its own service's form of payload, about the
// same task and equally long, signed as that service does.
type peer struct {
	name    string
	payload func(size int) []byte
	verify  func(signed []byte) check
	parse   func(signed []byte) check // verifies too; nil where the library doesn't parse
}

// peers are all of them. The first is the least that anybody has to do.
func peers(t testing.TB) []peer {
	must := func(err error) { require.NoError(t, err) }
	return []peer{
		{"baseline", taskPayload, baselineVerify, then(baselineVerify, plainTask)},
		{"ittybit-go", taskPayload, ourVerify(must), then(ourVerify(must), ourTask)},
		{"stripe-go", stripePayload, stripeVerify, stripeParse},
		{"standard-webhooks", taskPayload, standardVerify(must), then(standardVerify(must), plainTask)},
		{"svix", taskPayload, svixVerify(must), then(svixVerify(must), plainTask)},
		{"go-github", gitHubPayload, gitHubVerify, then(gitHubVerify, gitHubParse)},
		{"openai-go", openAIPayload, openAIVerify(must), openAIParse(must)},
	}
}

func then(verify func([]byte) check, parse check) func([]byte) check {
	return func(signed []byte) check {
		verified := verify(signed)
		return func(body []byte) error {
			if err := verified(body); err != nil {
				return err
			}
			return parse(body)
		}
	}
}

func expect(ok bool) error {
	if !ok {
		return errUnexpected
	}
	return nil
}

// baselineVerify is the MAC over a timestamp and the body, with a hash that is keyed once, and the
// comparison: no header, no clock, and one goroutine only.
func baselineVerify(signed []byte) check {
	mac := hmac.New(sha256.New, []byte(secret))
	prefix := []byte("1736512522.")
	sum := func(body, into []byte) []byte {
		mac.Reset()
		mac.Write(prefix)
		mac.Write(body)
		return mac.Sum(into)
	}
	want, got := sum(signed, nil), make([]byte, 0, sha256.Size)
	return func(body []byte) error { return expect(hmac.Equal(sum(body, got), want)) }
}

// plainTask decodes the documented fields of a task into a plain struct.
func plainTask(body []byte) error {
	var task struct {
		ID           string          `json:"id"`
		Object       string          `json:"object"`
		Kind         string          `json:"kind"`
		Status       string          `json:"status"`
		Results      json.RawMessage `json:"results"`
		ProjectID    string          `json:"project_id"`
		AutomationID string          `json:"automation_id"`
		Created      time.Time       `json:"created"`
		Completed    time.Time       `json:"completed"`
	}
	if err := json.Unmarshal(body, &task); err != nil {
		return err
	}
	return expect(strings.HasPrefix(task.ID, taskID) && len(task.Results) > 0 && !task.Completed.IsZero())
}

func ourVerify(must func(error)) func([]byte) check {
	return func(signed []byte) check {
		verifier, err := ittybit.NewWebhookVerifier(secret)
		must(err)
		header := ittybit.SignWebhook(secret, time.Now(), signed)
		return func(body []byte) error { return verifier.Verify(body, header) }
	}
}

func ourTask(body []byte) error {
	event, err := ittybit.ParseEvent(body)
	if err != nil {
		return err
	}
	return expect(event.Type == ittybit.EventTaskCompleted && event.Task != nil && event.Task.ID == taskID && len(event.Task.Results) > 0)
}

func stripeHeader(signed []byte) string {
	return webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: signed, Secret: secret}).Header
}

func stripeVerify(signed []byte) check {
	header := stripeHeader(signed)
	return func(body []byte) error { return webhook.ValidatePayload(body, header, secret) }
}

func stripeParse(signed []byte) check {
	header := stripeHeader(signed)
	return func(body []byte) error {
		event, err := webhook.ConstructEvent(body, header, secret)
		if err != nil {
			return err
		}
		return expect(event.ID == eventID && event.Data != nil && len(event.Data.Object) > 0)
	}
}

// standardHeader has the headers of Standard Webhooks, under names with the prefix.
func standardHeader(must func(error), prefix string, signed []byte) http.Header {
	signer, err := standardwebhooks.NewWebhook(encodedSecret)
	must(err)
	now := time.Now()
	signature, err := signer.Sign(eventID, now, signed)
	must(err)
	header := http.Header{}
	header.Set(prefix+"-Id", eventID)
	header.Set(prefix+"-Timestamp", strconv.FormatInt(now.Unix(), 10))
	header.Set(prefix+"-Signature", signature)
	return header
}

func standardVerify(must func(error)) func([]byte) check {
	return func(signed []byte) check {
		verifier, err := standardwebhooks.NewWebhook(encodedSecret)
		must(err)
		header := standardHeader(must, "Webhook", signed)
		return func(body []byte) error { return verifier.Verify(body, header) }
	}
}

func svixVerify(must func(error)) func([]byte) check {
	return func(signed []byte) check {
		verifier, err := svix.NewWebhook(encodedSecret)
		must(err)
		header := standardHeader(must, "Svix", signed)
		return func(body []byte) error { return verifier.Verify(body, header) }
	}
}

func gitHubVerify(signed []byte) check {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(signed)
	header := "sha256=" + hex.EncodeToString(mac.Sum(nil))
	return func(body []byte) error { return github.ValidateSignature(header, body, []byte(secret)) }
}

func gitHubParse(body []byte) error {
	parsed, err := github.ParseWebHook("repository_dispatch", body)
	if err != nil {
		return err
	}
	event, ok := parsed.(*github.RepositoryDispatchEvent)
	return expect(ok && event.GetAction() == eventType && len(event.ClientPayload) > 0)
}

func openAIVerify(must func(error)) func([]byte) check {
	return func(signed []byte) check {
		service := webhooks.NewWebhookService(option.WithWebhookSecret(encodedSecret))
		header := standardHeader(must, "Webhook", signed)
		return func(body []byte) error { return service.VerifySignature(body, header) }
	}
}

func openAIParse(must func(error)) func([]byte) check {
	return func(signed []byte) check {
		service := webhooks.NewWebhookService(option.WithWebhookSecret(encodedSecret))
		header := standardHeader(must, "Webhook", signed)
		return func(body []byte) error {
			event, err := service.Unwrap(body, header)
			if err != nil {
				return err
			}
			return expect(event.ID == eventID && event.Type == eventType && event.Data.ID == taskID)
		}
	}
}

// Whoever is compared must check what it is given.
func TestPeers_acceptWhatIsSignedAndRefuseAFlippedByte(t *testing.T) {
	for _, size := range sizes() {
		for _, p := range peers(t) {
			body := p.payload(size.bytes)
			require.Len(t, body, size.bytes, "%s, %s", p.name, size.name)
			for name, prepare := range map[string]func([]byte) check{"verify": p.verify, "parse": p.parse} {
				t.Run(p.name+"/"+size.name+"/"+name, func(t *testing.T) {
					run := prepare(body)
					require.NoError(t, run(body))
					for _, at := range []int{0, len(body) / 2, len(body) - 1} {
						flipped := bytes.Clone(body)
						flipped[at] ^= 1
						assert.Error(t, run(flipped), "byte %d", at)
					}
				})
			}
		}
	}
}
