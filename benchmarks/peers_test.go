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
	"fmt"
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
	"github.com/stripe/stripe-go/v85"
	"github.com/stripe/stripe-go/v85/webhook"
	svix "github.com/svix/svix-webhooks/go"

	"github.com/ittybit/ittybit-go"
)

// secret is what everybody signs with, and encodedSecret the same for Standard Webhooks.
const secret = "ittybit_benchmark_key_0123456789"

var encodedSecret = "whsec_" + base64.StdEncoding.EncodeToString([]byte(secret))

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
func peers() []peer {
	standard := standardVerify("Webhook", must(standardwebhooks.NewWebhook(encodedSecret)))
	svixes := standardVerify("Svix", must(svix.NewWebhook(encodedSecret)))
	return []peer{
		{"baseline", taskPayload, baselineVerify, then(baselineVerify, plainTask)},
		{"ittybit-go", taskPayload, ourVerify, then(ourVerify, ourTask)},
		{"stripe-go", stripePayload, stripeVerify, stripeParse},
		{"standard-webhooks", taskPayload, standard, then(standard, plainTask)},
		{"svix", taskPayload, svixes, then(svixes, plainTask)},
		{"go-github", gitHubPayload, gitHubVerify, then(gitHubVerify, gitHubParse)},
		{"openai-go", openAIPayload, openAIVerify, openAIParse},
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
		return errors.New("the result is not as expected")
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

// must makes what the benchmarks can't do without.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func ourVerify(signed []byte) check {
	verifier := must(ittybit.NewWebhookVerifier(secret))
	header := ittybit.SignWebhook(secret, time.Now(), signed)
	return func(body []byte) error { return verifier.Verify(body, header) }
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
func standardHeader(prefix string, signed []byte) http.Header {
	now, signer := time.Now(), must(standardwebhooks.NewWebhook(encodedSecret))
	return http.Header{
		prefix + "-Id": {eventID}, prefix + "-Timestamp": {strconv.FormatInt(now.Unix(), 10)},
		prefix + "-Signature": {must(signer.Sign(eventID, now, signed))},
	}
}

// standardVerify is that of a library for Standard Webhooks.
func standardVerify(prefix string, verifier interface {
	Verify([]byte, http.Header) error
}) func([]byte) check {
	return func(signed []byte) check {
		header := standardHeader(prefix, signed)
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

func openAI() webhooks.WebhookService {
	return webhooks.NewWebhookService(option.WithWebhookSecret(encodedSecret))
}

func openAIVerify(signed []byte) check {
	service, header := openAI(), standardHeader("Webhook", signed)
	return func(body []byte) error { return service.VerifySignature(body, header) }
}

func openAIParse(signed []byte) check {
	service, header := openAI(), standardHeader("Webhook", signed)
	return func(body []byte) error {
		event, err := service.Unwrap(body, header)
		if err != nil {
			return err
		}
		return expect(event.ID == eventID && event.Type == eventType && event.Data.ID == taskID)
	}
}

// Whoever is compared must check what it is given.
func TestPeers_acceptWhatIsSignedAndRefuseAFlippedByte(t *testing.T) {
	for _, size := range sizes() {
		for _, p := range peers() {
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

type size struct {
	name  string
	bytes int
}

// sizes are those of payloads. The smallest is the one of Ittybit's webhooks documentation, to the
// byte, and the largest the most that a WebhookHandler takes by default.
func sizes() []size {
	return []size{{"300B", len(documentedTask)}, {"4KB", 4 << 10}, {"64KB", 64 << 10}, {"1MB", 1 << 20}}
}

// What all payloads are about.
const (
	taskID    = "task_123abc"
	eventID   = "evt_789ghi"
	eventType = "task.completed"
)

// documentedTask is the example of Ittybit's webhooks documentation.
const documentedTask = `{
  "id": "task_123abc",
  "object": "task",
  "kind": "nsfw",
  "status": "completed",
  "results": {
    "is_nsfw": true,
    "confidence": 0.97
  },
  "project_id": "proj_xyz",
  "automation_id": "auto_456def",
  "created": "2025-01-10T12:34:56Z",
  "completed": "2025-01-10T12:35:22Z"
}`

// taskPayload is the documented task, or one whose results are a transcript.
func taskPayload(size int) []byte {
	if size <= len(documentedTask) {
		return []byte(documentedTask)
	}
	return fill(size, `{"id":"`+taskID+`","object":"task","kind":"speech","status":"completed","results":%s`+
		`,"project_id":"proj_xyz","automation_id":"auto_456def","created":"2025-01-10T12:34:56Z","completed":"2025-01-10T12:35:22Z"}`)
}

const innerTask = `{"id":"` + taskID + `","object":"task","status":"completed","results":%s}`

// stripePayload has the API version that this stripe-go insists on.
func stripePayload(size int) []byte {
	return fill(size, `{"id":"`+eventID+`","object":"event","api_version":"`+stripe.APIVersion+`","created":1736512522,"type":"`+eventType+
		`","data":{"object":`+innerTask+`}}`)
}

// gitHubPayload is GitHub's event for what other services report, repository_dispatch.
func gitHubPayload(size int) []byte {
	return fill(size, `{"action":"`+eventType+`","branch":"main","client_payload":`+innerTask+`}`)
}

func openAIPayload(size int) []byte {
	return fill(size, `{"id":"`+eventID+`","object":"event","created_at":1736512522,"type":"`+eventType+`","data":`+innerTask+`}`)
}

// fill puts results into the template that make it as long as asked for.
func fill(size int, template string) []byte {
	return fmt.Appendf(nil, template, results(size-len(template)+len("%s")))
}

// results are those of an nsfw task, or, from 400 bytes on, a transcript.
func results(size int) string {
	if size < 400 {
		const bare = `{"is_nsfw":true}`
		return bare[:len(bare)-1] + strings.Repeat(" ", max(0, size-len(bare))) + "}"
	}
	const head, last = `{"object":"intelligence","kind":"speech","language":"en","timeline":[`, `{"index":0,"text":""}]}`
	var b strings.Builder
	b.WriteString(head)
	for i := 0; ; i++ {
		line := fmt.Sprintf(`{"index":%d,"start":%d.25,"end":%d.25,"speaker":%d,"text":"%s","confidence":0.%d},`, i, 2*i, 2*i+2, i%2, //nolint:gocritic // as JSON, not as Go
			[]string{"The light is good today.", `He said \"wait\", and then it came.`, "Le café là-bas ouvre à neuf heures."}[i%3], 70+i%30)
		if b.Len()+len(line)+len(last) > size {
			return b.String() + strings.Repeat(" ", size-b.Len()-len(last)) + last
		}
		b.WriteString(line)
	}
}
