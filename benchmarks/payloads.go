package main

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// size is the length of a payload.
type size struct {
	name  string
	bytes int
}

// sizes are those that everything is measured with. The smallest one is the payload of
// Ittybit's webhooks documentation, to the byte; the largest one is the most that a
// WebhookHandler takes unless it is told otherwise.
func sizes() []size {
	return []size{{"300 B", len(documentedTask)}, {"4 KB", 4 << 10}, {"64 KB", 64 << 10}, {"1 MB", 1 << 20}}
}

// taskID is the id of the task in all payloads, and eventType what happened to it.
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

// taskPayload makes a task webhook of size bytes: the documented one, or one whose results
// are a transcript, as the API's reference shows it for speech, and which has metadata.
func taskPayload(size int) []byte {
	if size <= len(documentedTask) {
		return []byte(documentedTask)
	}
	return fill(size, func(results string) string {
		return `{"id":"` + taskID + `","object":"task","kind":"speech","status":"completed","results":` + results +
			`,"metadata":{"customer":"cus_0042","upload":"beach.mp4","tier":"pro"}` +
			`,"project_id":"proj_xyz","automation_id":"auto_456def","created":"2025-01-10T12:34:56Z","completed":"2025-01-10T12:35:22Z"}`
	})
}

// innerTask is the least that says what became of a task, for what stands inside an
// envelope.
func innerTask(results string) string {
	return `{"id":"` + taskID + `","object":"task","status":"completed","results":` + results + `}`
}

// stripePayload is an event of Stripe's form about the task, of size bytes.
func stripePayload(size int, apiVersion string) []byte {
	return fill(size, func(results string) string {
		return `{"id":"` + eventID + `","object":"event","api_version":"` + apiVersion + `","created":1736512522,"type":"` + eventType +
			`","data":{"object":` + innerTask(results) + `}}`
	})
}

// gitHubPayload is GitHub's event for news of other services (repository_dispatch) about the
// task, of size bytes.
func gitHubPayload(size int) []byte {
	return fill(size, func(results string) string {
		return `{"action":"` + eventType + `","branch":"main","client_payload":` + innerTask(results) + `}`
	})
}

// openAIPayload is an event of OpenAI's form about the task, of size bytes.
func openAIPayload(size int) []byte {
	return fill(size, func(results string) string {
		return `{"id":"` + eventID + `","object":"event","created_at":1736512522,"type":"` + eventType + `","data":` + innerTask(results) + `}`
	})
}

// commonPayload is an event of size bytes that every parser takes: for Ittybit (API version
// 2025-12-01) and OpenAI the news is in data, for Stripe in data.object, so that it is there
// twice. To Ittybit's parser, data.object is a member of the wrong type, which it passes over.
func commonPayload(size int, apiVersion string) []byte {
	payload := func(results, object string) string {
		return `{"id":"` + eventID + `","object":"event","kind":"` + eventType + `","type":"` + eventType +
			`","api_version":"` + apiVersion + `","created":1736512522,"created_at":1736512522,"data":{"id":"` + taskID +
			`","status":"completed","results":` + results + `,"object":` + object + `}}`
	}
	half := (size - len(payload("", ""))) / 2
	results := transcript(half)
	return fill(size, func(object string) string { return payload(results, object) })
}

// fill calls payload with results that make it size bytes long.
func fill(size int, payload func(results string) string) []byte {
	missing := size - len(payload(""))
	return []byte(payload(transcript(missing)))
}

// transcript makes results of size bytes. Below 400 bytes they are those of an nsfw task,
// with a label that makes up for the length.
func transcript(size int) string {
	if size < 400 {
		const nsfw, label, end = `{"is_nsfw":true`, `,"confidence":0.97,"label":"`, `"}`
		if rest := size - len(nsfw+label+end); rest >= 0 {
			return nsfw + label + strings.Repeat("x", rest) + end
		}
		return nsfw + strings.Repeat(" ", max(0, size-len(nsfw+"}"))) + "}"
	}
	var b bytes.Buffer
	b.WriteString(`{"object":"intelligence","kind":"speech","detected":true,"speakers":2,"language":"en","confidence":0.72,"timeline":[`)
	const last = `{"index":0,"start":0,"end":0,"speaker":0,"text":"%s"}]}`
	room := func() int { return size - b.Len() - len(last) + len("%s") }
	for i := 0; ; i++ {
		line := fmt.Sprintf(`{"index":%d,"start":%s,"end":%s,"detected":true,"speaker":%d,"text":%s,"confidence":0.%d},`,
			i, seconds(2*i), seconds(2*i+2), i%2, strconv.Quote(sentence(i)), 70+i%30)
		if len(line) > room() {
			break
		}
		b.WriteString(line)
	}
	fmt.Fprintf(&b, last, strings.Repeat("m", room()))
	return b.String()
}

func seconds(n int) string { return strconv.FormatFloat(float64(n)+0.25, 'f', 2, 64) }

// sentence gives one of the things that are said: some of it quoted, some of it not in ASCII.
func sentence(i int) string {
	sentences := [...]string{
		"So this is the beach that I told you about.",
		"It is a bit windy today, but the light is good.",
		"He said \"wait for the next one\", and then it came.",
		"Le café là-bas ouvre à neuf heures, je crois.",
		"Right. Let us go on.",
	}
	return sentences[i%len(sentences)]
}
