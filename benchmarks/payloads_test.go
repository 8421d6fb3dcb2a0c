package benchmarks

import (
	"fmt"
	"strings"

	"github.com/stripe/stripe-go/v85"
)

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
