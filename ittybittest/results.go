package ittybittest

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/ittybit/ittybit-go"
)

// outcome is what a test chose for a kind of task.
type outcome struct {
	results json.RawMessage // nil: the default ones
	failure string          // "": tasks complete
}

// SetResults chooses the results of tasks of this kind that complete from now
// on. They are marshalled as JSON at once; SetResults panics if that fails. Nil
// goes back to the default results, and json.RawMessage("null") is none.
//
// By default the kinds whose results are documented have made-up ones: nsfw
// {"is_nsfw": false, "confidence": 0.97}, description, subtitles, thumbnails,
// chapters and speech with the members Ittybit documents for them, conditions
// what came of the comparison. Other kinds have none.
//
// The file that a task of kind nsfw, speech, description, outline, prompt or chapters ends
// with serves these results as JSON, if they are an object, and the default ones if not: so
// null is a task whose results are in its output file only. Results of kind conditions whose
// continue is not true end the branch.
func (s *Server) SetResults(kind ittybit.TaskKind, results any) {
	var raw json.RawMessage
	if results != nil {
		encoded, err := marshal(results)
		if err != nil {
			panic(fmt.Sprintf("ittybittest: SetResults(%q): %v", kind, err))
		}
		raw = encoded
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.outcomes[string(kind)]
	o.results = raw
	s.outcomes[string(kind)] = o
}

// FailTasks lets tasks of this kind that end from now on fail with this
// message in their error member. An empty message lets them complete again.
func (s *Server) FailTasks(kind ittybit.TaskKind, message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.outcomes[string(kind)]
	o.failure = message
	s.outcomes[string(kind)] = o
}

// produce makes a completed task's input, output and results. It returns the id
// of the media object that an ingest task made, if it is one. The caller holds
// s.mu.
func (s *Server) produce(t *task, now time.Time) (newMedia string) {
	s.fetchInput(t, now)
	if t.kind == "ingest" {
		t.mediaID = t.intoMedia
		if _, ok := s.media.get(t.mediaID); !ok {
			newMedia = s.addMedia(object{}, now).id
			t.mediaID = newMedia
		}
	}
	output := s.outputFile(t, now)
	made := s.defaultResults(t, output)
	t.results = s.outcomes[t.kind].results
	if t.results == nil {
		t.results = made
	}
	if output != nil {
		output = s.writeDocument(t, output, made, now)
		t.output = s.attach(t.mediaID, output, now)
	}
	return newMedia
}

// fetchInput makes up the file behind a task's url, unless it is known. The
// caller holds s.mu.
func (s *Server) fetchInput(t *task, now time.Time) {
	if t.url == "" || t.input.has("id") || t.kind == "ingest" || t.kind == "http" {
		return
	}
	input := newFile("source", mediaKind(t.url), now).set("url", t.url).set("ref", "original")
	t.input = s.attach("", input, now)
}

// defaultResults have the members that Ittybit documents for the kind. Of a track
// they name the output file. The caller holds s.mu.
func (s *Server) defaultResults(t *task, output object) json.RawMessage {
	url, _ := output.text("url")
	switch t.kind {
	case "nsfw":
		return json.RawMessage(`{"is_nsfw":false,"confidence":0.97}`)
	case "description":
		return json.RawMessage(`{"title":"A made-up title","description":"A made-up description.","tags":["local","test"],"language":"en","confidence":0.94}`)
	case "speech":
		return json.RawMessage(`{"detected":true,"speakers":1,"language":"en","text":["A made-up sentence."],"confidence":0.72,` +
			`"timeline":[{"index":0,"start":0.0,"end":2.5,"detected":true,"speaker":0,"text":"A made-up sentence.","confidence":0.89}]}`)
	case "chapters":
		chapters := json.RawMessage(`[{"index":0,"start":0.0,"end":63.2,"title":"A made-up chapter"}]`)
		return encode(object{}.set("language", "en").set("format", output.orNull("format")).set("chapters", chapters))
	case "subtitles":
		return encode(object{}.set("language", "en").set("format", output.orNull("format")).set("url", url))
	case "thumbnails":
		return encode(object{}.set("format", output.orNull("format")).set("count", 1).set("urls", []string{url}))
	case "conditions":
		passed, failed := compare(t.conditions, s.places(subject{file: t.input, mediaID: t.mediaID}))
		return encode(object{}.set("passed", passed).set("failed", failed).set("continue", len(failed) == 0))
	}
	return nil
}
