package ittybittest

import (
	"encoding/json"
	"fmt"
	"net/url"
	"path"
	"strings"
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
	output := outputFile(t, now)
	switch {
	case t.kind == "ingest":
		t.mediaID = t.intoMedia
		if _, ok := s.media.get(t.mediaID); !ok {
			newMedia = s.addMedia(object{}, now).id
			t.mediaID = newMedia
		}
		output = output.set("original", true)
	case t.url != "":
		input := newFile("source", mediaKind(t.url), now).set("url", t.url).set("ref", "original")
		t.input = s.attach("", input, now)
	}
	if output != nil {
		t.output = s.attach(t.mediaID, output, now)
	}
	t.results = s.outcomes[t.kind].results
	if t.results == nil {
		t.results = s.defaultResults(t)
	}
	return newMedia
}

// outputFile is the File object that a task of a media or track kind ends with.
func outputFile(t *task, now time.Time) object {
	kind, family := t.kind, "source"
	switch t.kind {
	case "video", "image", "audio":
	case "ingest":
		kind = mediaKind(t.url)
	case "subtitles", "chapters", "thumbnails":
		family = "track"
	default:
		return nil
	}
	file := newFile(family, kind, now)
	for _, name := range []string{"ref", "folder", "filename", "metadata", "width", "height", "format"} {
		if value, ok := t.options.get(name); ok {
			file = file.set(name, value)
		}
	}
	return file
}

// newFile makes up a File object.
func newFile(family, kind string, now time.Time) object {
	id := newID("file")
	types := map[string]string{
		"video": "video/mp4", "image": "image/png", "audio": "audio/mpeg",
		"subtitles": "text/vtt", "chapters": "text/vtt", "thumbnails": "image/jpeg",
	}
	file := object{}.set("id", id).set("object", family).set("kind", kind).set("type", types[kind])
	if kind == "video" || kind == "image" {
		file = file.set("width", 1920).set("height", 1080)
	}
	if kind == "video" || kind == "audio" {
		file = file.set("duration", 63.2)
	}
	return file.
		set("filesize", 12345678).
		set("url", fileURL(id)).
		set("status", "ready").
		set("created", timestamp(now)).
		set("updated", timestamp(now))
}

// fileURL is an address that serves nothing: .test is a reserved domain.
func fileURL(id string) string { return "https://files.ittybit.test/" + id }

// mediaKind guesses from the address's extension, and else takes it for video.
func mediaKind(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "video"
	}
	switch strings.ToLower(path.Ext(u.Path)) {
	case ".jpg", ".jpeg", ".png", ".webp", ".avif", ".gif", ".heic", ".heif":
		return "image"
	case ".mp3", ".m4a", ".wav", ".ogg", ".aac", ".flac":
		return "audio"
	}
	return "video"
}

// defaultResults have the members that Ittybit documents for the kind. The
// caller holds s.mu.
func (s *Server) defaultResults(t *task) json.RawMessage {
	url, _ := t.output.text("url")
	switch t.kind {
	case "nsfw":
		return json.RawMessage(`{"is_nsfw":false,"confidence":0.97}`)
	case "description":
		return json.RawMessage(`{"title":"A made-up title","description":"A made-up description.","tags":["local","test"],"language":"en","confidence":0.94}`)
	case "speech":
		return json.RawMessage(`{"detected":true,"speakers":1,"language":"en","text":["A made-up sentence."],"confidence":0.72,` +
			`"timeline":[{"index":0,"start":0.0,"end":2.5,"detected":true,"speaker":0,"text":"A made-up sentence.","confidence":0.89}]}`)
	case "chapters":
		return json.RawMessage(`{"language":"en","format":"json","chapters":[{"index":0,"start":0.0,"end":63.2,"title":"A made-up chapter"}]}`)
	case "subtitles":
		return encode(object{}.set("language", "en").set("format", "vtt").set("url", url))
	case "thumbnails":
		return encode(object{}.set("format", "jpg").set("count", 1).set("urls", []string{url}))
	case "conditions":
		raw, _ := t.options.get("conditions")
		pairs, _ := parseConditions(raw)
		// The first place is the conditions task itself.
		passed, failed := compare(pairs, s.places(subject{task: t, mediaID: t.mediaID})[1:])
		return encode(object{}.set("passed", passed).set("failed", failed).set("continue", len(failed) == 0))
	}
	return nil
}
