package riverevents

import (
	"encoding/json"
	"time"

	"github.com/ittybit/ittybit-go"
)

// subjectState is what is kept of a task's newest state: enough for [ittybit.Task.Supersedes].
type subjectState struct {
	Status   ittybit.TaskStatus `json:"status,omitempty"`
	Progress int                `json:"progress,omitempty"`
	Updated  time.Time          `json:"updated,omitzero"`
	Terminal bool               `json:"terminal,omitempty"`
}

// subjectOf gives the name of what e is about, and its state in e. The name is empty where
// there is no order: media, and what is unknown.
func subjectOf(e *ittybit.Event) (string, subjectState) {
	switch {
	case e.Task != nil && e.Task.ID != "":
		return storable("task:" + e.Task.ID), subjectState{
			Status: e.Task.Status, Progress: e.Task.Progress, Updated: e.Task.Updated,
			Terminal: e.Task.Terminal() || endsTask(e.Type),
		}
	case e.Job != nil && e.Job.ID != "":
		return storable("job:" + e.Job.ID), subjectState{
			Status: ittybit.TaskStatus(e.Job.Status), Updated: e.Job.Updated, Terminal: e.Job.Terminal(),
		}
	}
	return "", subjectState{}
}

// endsTask reports whether an event of this type says that a task has ended, even where the
// task's status is one that is not known.
func endsTask(event ittybit.EventType) bool {
	switch event {
	case ittybit.EventTaskCompleted, ittybit.EventTaskSucceeded, ittybit.EventTaskFailed, ittybit.EventTaskCancelled:
		return true
	}
	return false
}

// supersedes reports whether s is a newer state than other. Nothing supersedes an end.
func (s subjectState) supersedes(other subjectState) bool { return s.task().Supersedes(other.task()) }

// task gives a task in this state. One that has ended is given a status that says so.
func (s subjectState) task() *ittybit.Task {
	status := s.Status
	if s.Terminal {
		status = ittybit.TaskStatusCompleted
	}
	return &ittybit.Task{Status: status, Progress: s.Progress, Updated: s.Updated}
}

// stateFrom reads what was kept. Nothing was kept where nothing was handled yet.
func stateFrom(kept string) (subjectState, bool) {
	var s subjectState
	if kept == "" || json.Unmarshal([]byte(kept), &s) != nil {
		return subjectState{}, false
	}
	return s, true
}

func (s subjectState) String() string {
	kept, err := json.Marshal(s)
	if err != nil {
		return "" // a time that JSON can't hold: the state is not kept, and nothing is stale to it
	}
	return string(kept)
}
