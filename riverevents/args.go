package riverevents

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Kind is the kind of the jobs that [Enqueue] inserts.
const Kind = "ittybit_event"

// Args are the arguments of a job: an event on its way to [Worker]. [Enqueue] makes them. A job
// with the Key of an event that was handled is completed without being worked; one without a Key is
// an event of its own.
type Args struct {
	Name     string            `json:"name,omitempty"` // of the endpoint: see WithName
	Key      string            `json:"key"`            // names the event, in the table of events
	Payload  Payload           `json:"payload"`        // what Ittybit sent, to the byte
	Metadata map[string]string `json:"metadata,omitempty"`
}

// Kind implements river.JobArgs.
func (Args) Kind() string { return Kind }

// Payload is the body of a webhook. In JSON it is a string, or, where the body is not UTF-8,
// one that begins with "base64:". PostgreSQL's jsonb would refuse some bodies as they are
// (those with an escaped NUL), and reorder the others.
type Payload []byte

// base64Prefix can't be the beginning of a body, which is a JSON object.
const base64Prefix = "base64:"

// MarshalJSON implements json.Marshaler.
func (p Payload) MarshalJSON() ([]byte, error) {
	if utf8.Valid(p) {
		return json.Marshal(string(p))
	}
	return json.Marshal(base64Prefix + base64.StdEncoding.EncodeToString(p))
}

// UnmarshalJSON implements json.Unmarshaler.
func (p *Payload) UnmarshalJSON(data []byte) error {
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("riverevents: the payload is not a JSON string: %w", err)
	}
	encoded, ok := strings.CutPrefix(s, base64Prefix)
	if !ok {
		*p = Payload(s)
		return nil
	}
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return fmt.Errorf("riverevents: the payload is not base64: %w", err)
	}
	*p = raw
	return nil
}
