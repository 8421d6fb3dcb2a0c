package ittybittest

import (
	"time"
)

// runTask takes a task from pending to its end.
func (s *Server) runTask(t *task) {
	defer close(t.done)
	quarter := s.config.taskDuration / 4
	if !s.life.pause(s.life.ctx, quarter) {
		return
	}
	s.advance(t, "processing", 0)
	if !s.life.pause(s.life.ctx, quarter) {
		return
	}
	payload := s.advance(t, "processing", 50)
	if s.config.progressWebhooks && t.webhookURL != "" {
		s.deliver(t.webhookURL, payload)
	}
	if !s.life.pause(s.life.ctx, s.config.taskDuration-2*quarter) {
		return
	}
	s.finish(t)
}

// advance sets a task's status, and returns the task as a webhook shows it.
func (s *Server) advance(t *task, status string, progress int) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.status, t.progress, t.updated = status, progress, time.Now()
	return encode(s.showTask(t))
}

// finish completes a task, or lets it fail, and starts what follows from it.
func (s *Server) finish(t *task) {
	s.mu.Lock()
	now := time.Now()
	t.updated = now
	newMedia := ""
	if failure := s.outcomes[t.kind].failure; failure != "" {
		t.status, t.failure = "failed", failure
	} else {
		t.status, t.progress, t.completed = "completed", 100, now
		newMedia = s.produce(t, now)
	}
	completed := t.status == "completed"
	payload := encode(s.showTask(t))
	s.mu.Unlock()

	if t.webhookURL != "" {
		s.deliver(t.webhookURL, payload)
	}
	if t.automationID != "" {
		return // what an automation made triggers none
	}
	if newMedia != "" {
		s.trigger("media.created", subject{mediaID: newMedia})
	}
	if completed {
		s.trigger("task.completed", subject{task: t, mediaID: t.mediaID})
	}
}
