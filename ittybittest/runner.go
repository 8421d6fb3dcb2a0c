package ittybittest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"time"
)

// runTask takes a task from pending to its end, and then runs its next steps. It
// returns when all of that ended, with the tasks that failed.
func (s *Server) runTask(t *task) (failed []*task) {
	quarter := s.config.taskDuration / 4
	if !s.life.pause(s.life.ctx, quarter) {
		return nil
	}
	s.advance(t, "processing", 0)
	var below []*task
	if t.kind == "workflow" && t.unreachable == "" {
		below = s.runWorkflow(t)
	} else {
		s.work(t, quarter)
	}
	if s.life.ctx.Err() != nil {
		return nil
	}
	about, goesOn, completed := s.finish(t, below)
	if !completed {
		failed = append(failed, t)
	}
	if goesOn {
		failed = append(failed, s.runSteps(t.next, about)...)
	}
	return failed
}

// work lets the time pass that a task takes, with the news half-way.
func (s *Server) work(t *task, quarter time.Duration) {
	if !s.life.pause(s.life.ctx, quarter) {
		return
	}
	s.report(t, s.advance(t, "processing", 50))
	s.life.pause(s.life.ctx, s.config.taskDuration-2*quarter)
}

// runWorkflow runs the steps of a workflow task. Its progress is the share of them
// that ended.
func (s *Server) runWorkflow(t *task) (failed []*task) {
	s.mu.Lock()
	s.fetchInput(t, time.Now())
	about := t.within()
	s.mu.Unlock()
	for i, all := 1, len(t.steps); i <= all; i++ {
		failed = append(failed, s.runSteps(t.steps[i-1:i], about)...)
		if i == all || s.life.ctx.Err() != nil {
			break
		}
		payload := s.advance(t, "processing", 100*i/all)
		if i == (all+1)/2 {
			s.report(t, payload)
		}
	}
	return failed
}

// report posts a task that is under way, if the server was asked to.
func (s *Server) report(t *task, payload []byte) {
	if s.config.progressWebhooks && t.webhookURL != "" {
		s.deliver(t.webhookURL, payload)
	}
}

// advance sets a task's status, and returns the task as a webhook shows it.
func (s *Server) advance(t *task, status string, progress int) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.status, t.progress, t.updated = status, progress, time.Now()
	return encode(s.showTask(t))
}

// finish completes a task, or lets it fail, and starts what follows from it. It
// returns what the task's next steps are about, and whether they run at all. The
// tasks that failed below a workflow task let it fail too.
func (s *Server) finish(t *task, below []*task) (about subject, goesOn, completed bool) {
	s.mu.Lock()
	now := time.Now()
	t.updated = now
	newMedia := ""
	t.failure = cmp.Or(s.outcomes[t.kind].failure, t.unreachable, failureOf(below))
	if completed = t.failure == ""; completed {
		t.status, t.progress, t.completed = "completed", 100, now
		newMedia = s.produce(t, now)
	} else {
		t.status = "failed"
	}
	payload := encode(s.showTask(t))
	about = t.handsOn()
	goesOn = completed && t.continues()
	s.mu.Unlock()

	if t.webhookURL != "" {
		s.deliver(t.webhookURL, payload)
	}
	if t.automationID != "" {
		return about, goesOn, completed // what an automation made triggers none
	}
	if newMedia != "" {
		s.trigger("media.created", subject{mediaID: newMedia})
	}
	if completed {
		s.trigger("task.completed", subject{task: t, file: about.file, mediaID: t.mediaID})
	}
	return about, goesOn, completed
}

// failureOf is why a workflow task fails: "" if nothing below it failed. The
// caller holds s.mu.
func failureOf(below []*task) string {
	if len(below) == 0 {
		return ""
	}
	first := below[0]
	return fmt.Sprintf("%d of the workflow's tasks failed, the first of them %s (%s): %s", len(below), first.id, first.kind, first.failure)
}

// continues reports whether the next steps of a completed task run. Those of a
// conditions task do if its results say so. The caller holds Server.mu.
func (t *task) continues() bool {
	if t.kind != "conditions" {
		return true
	}
	results, _ := parseObject(t.results)
	answer, _ := results.get("continue")
	goesOn := false
	return json.Unmarshal(answer, &goesOn) == nil && goesOn
}
