package ittybit

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
)

// Key names what happened: it is the same on every redelivery, and different for every
// other happening. Keys are stored in databases and do not change between versions:
//
//	event                                            key
//	with an id of its own (API version 2025-12-01)   evt:<id>
//	end of a task: completed, succeeded              task:<id>:completed
//	end of a task: ready, with an output or results  task:<id>:ready
//	end of a task: failed, error                     task:<id>:failed
//	end of a task: cancelled, canceled               task:<id>:cancelled
//	end of a job: succeeded, completed               job:<id>:succeeded
//	end of a job: failed, error                      job:<id>:failed
//	end of a job: cancelled, canceled                job:<id>:cancelled
//	any other state of a task or job                 <object>:<id>:<status>:<digest>
//	media                                            media:<id>:<digest>
//	anything else                                    <object or type>:<id>[:<status>]:<digest>
//
// A task ends once, and the key of its end is the same whether it came by webhook, in the payload
// of any API version, or by polling (see [EventFromTask]). The digest is that of the body, 32 hex
// digits: two progress updates are two events, and so are two payloads about one media object.
func (e *Event) Key() string {
	if e.ID != "" {
		return "evt:" + e.ID
	}
	s := e.subject
	if s == (subject{}) {
		s = e.findSubject()
	}
	key := s.object + ":" + s.id
	if s.status != "" {
		key += ":" + s.status
	}
	if s.end && s.id != "" {
		return key
	}
	digest := sha256.Sum256(e.canonicalJSON())
	return key + ":" + hex.EncodeToString(digest[:16])
}

// canonicalJSON gives the payload in the one form that json.Marshal puts it into, so that an
// event has the same digest before and after it was marshalled. What can't be marshalled
// has that of nothing.
func (e *Event) canonicalJSON() []byte {
	text, err := e.MarshalJSON()
	var compact, escaped bytes.Buffer
	if err != nil || json.Compact(&compact, text) != nil {
		return nil
	}
	json.HTMLEscape(&escaped, compact.Bytes())
	return escaped.Bytes()
}

func (e *Event) findSubject() subject {
	switch {
	case e.Task != nil:
		s := subject{object: "task", id: e.Task.ID, status: string(e.Task.Status)}
		// Where the type says something else, such as a late task.updated with a task that
		// has ended meanwhile, the key of the end stays free for the event that is the end.
		_, end := e.Task.meaning()
		if end != "" && (e.Type == "" || e.Type.canonical() == taskEndType(end)) {
			s.end = true
			if e.Task.Status != TaskStatusReady {
				s.status = string(end)
			}
		}
		return s
	case e.Media != nil:
		return subject{object: "media", id: e.Media.ID}
	case e.Job != nil:
		s := subject{object: "job", id: e.Job.ID, status: string(e.Job.Status)}
		status, isJob := strings.CutPrefix(string(e.Type), "job.")
		if end := e.Job.Status.end(); end != "" && (e.Type == "" || isJob && JobStatus(status).end() == end) {
			s.end, s.status = true, string(end)
		}
		return s
	default:
		return subject{object: string(e.Type)}
	}
}

// subject is what the event is about, for the key.
type subject struct {
	object, id, status string
	end                bool // the event is the end of the object, and status its usual spelling
}

// canonical gives the type that stands for t: a task's end has one type, whichever of its
// spellings t is in.
func (t EventType) canonical() EventType {
	status, isTask := strings.CutPrefix(string(t), "task.")
	if !isTask {
		return t
	}
	_, end := TaskStatus(status).meaning()
	return cmp.Or(taskEndType(end), t)
}

// taskEndType gives the type of event that the end of a task is; "" for none.
func taskEndType(end TaskStatus) EventType {
	switch end {
	case TaskStatusCompleted:
		return EventTaskCompleted
	case TaskStatusFailed:
		return EventTaskFailed
	case TaskStatusCancelled:
		return EventTaskCancelled
	}
	return ""
}
