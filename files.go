package ittybit

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"time"

	"github.com/ittybit/ittybit-go/internal/jsonx"
)

// FileObject says what role a file plays. It is an open type: Ittybit may send
// values that are not named here.
type FileObject string

// The roles of files (API version 2025-08-20).
const (
	FileObjectSource       FileObject = "source"       // an original or an encoded copy of it
	FileObjectTrack        FileObject = "track"        // subtitles, chapters, thumbnails
	FileObjectIntelligence FileObject = "intelligence" // what was found out: JSON behind URL
)

// File is a file of a media object, and what a task takes in and puts out. Members
// that Ittybit did not send are zero; RawJSON has everything.
type File struct {
	ID           string         `json:"id"`
	MediaID      string         `json:"media_id,omitempty"`
	Object       FileObject     `json:"object,omitempty"`
	Kind         string         `json:"kind,omitempty"` // video, image, audio; tracks and intelligence have kinds of their own
	Type         string         `json:"type,omitempty"` // MIME type
	Status       string         `json:"status,omitempty"`
	URL          string         `json:"url,omitempty"`
	Filename     string         `json:"filename,omitempty"`
	Folder       string         `json:"folder,omitempty"`
	Ref          string         `json:"ref,omitempty"`
	Label        string         `json:"label,omitempty"`
	Language     string         `json:"language,omitempty"`
	Codec        string         `json:"codec,omitempty"`
	Container    string         `json:"container,omitempty"`
	Format       string         `json:"format,omitempty"`
	Orientation  string         `json:"orientation,omitempty"` // landscape, portrait or square
	Placeholder  string         `json:"placeholder,omitempty"`
	Background   string         `json:"background,omitempty"`
	CreatedBy    string         `json:"created_by,omitempty"`
	Original     bool           `json:"original,omitempty"`
	Transparency bool           `json:"transparency,omitempty"`
	Animated     bool           `json:"animated,omitempty"`
	Width        int            `json:"width,omitempty"`    // pixels
	Height       int            `json:"height,omitempty"`   // pixels
	Rotation     float64        `json:"rotation,omitempty"` // degrees
	Frames       int            `json:"frames,omitempty"`
	Duration     float64        `json:"duration,omitempty"` // seconds
	FPS          float64        `json:"fps,omitempty"`      // frames a second
	Bitrate      int            `json:"bitrate,omitempty"`  // bits a second
	Filesize     int64          `json:"filesize,omitempty"` // bytes
	Metadata     map[string]any `json:"metadata,omitempty"` // its numbers are json.Number
	Created      time.Time      `json:"created,omitzero"`
	Updated      time.Time      `json:"updated,omitzero"`

	raw json.RawMessage
}

// String names the file in a few words, for logs, without its URL.
func (f *File) String() string {
	return fmt.Sprintf("file %s (kind %s, status %s)", f.ID, f.Kind, f.Status)
}

// RawJSON gives the file as Ittybit sent it, also the members that File does not
// know. It must not be changed, and is nil for a File that was not decoded.
func (f *File) RawJSON() json.RawMessage { return f.raw }

// UnmarshalJSON implements [json.Unmarshaler].
func (f *File) UnmarshalJSON(data []byte) error { return f.fromJSON(bytes.Clone(data)) }

func (f *File) objectID() string { return f.ID }

// fromJSON reads data and keeps it.
func (f *File) fromJSON(data []byte) error {
	type plain File
	*f = File{raw: data}
	wire := struct {
		*plain
		Width     jsonx.Int       `json:"width"`
		Height    jsonx.Int       `json:"height"`
		Rotation  jsonx.Float     `json:"rotation"`
		Frames    jsonx.Int       `json:"frames"`
		Duration  jsonx.Float     `json:"duration"`
		FPS       jsonx.Float     `json:"fps"`
		Bitrate   jsonx.Int       `json:"bitrate"`
		Filesize  jsonx.Int       `json:"filesize"`
		Metadata  json.RawMessage `json:"metadata"`
		Created   jsonx.Time      `json:"created"`
		Updated   jsonx.Time      `json:"updated"`
		CreatedAt jsonx.Time      `json:"created_at"`
		UpdatedAt jsonx.Time      `json:"updated_at"`
	}{plain: (*plain)(f)}
	err := json.Unmarshal(data, &wire)
	if notJSON(err) {
		return err
	}
	f.Width, f.Height, f.Frames = int(wire.Width.Value), int(wire.Height.Value), int(wire.Frames.Value)
	f.Bitrate, f.Filesize = int(wire.Bitrate.Value), wire.Filesize.Value
	f.Rotation, f.Duration, f.FPS = orZero(wire.Rotation), orZero(wire.Duration), orZero(wire.FPS)
	f.Created, f.Updated = firstTime(wire.Created, wire.CreatedAt), firstTime(wire.Updated, wire.UpdatedAt)
	var metadataErr error
	f.Metadata, metadataErr = decodeMetadata(wire.Metadata)
	return cmp.Or(err, firstError(
		memberError{"width", wire.Width.Err}, memberError{"height", wire.Height.Err},
		memberError{"rotation", wire.Rotation.Err}, memberError{"frames", wire.Frames.Err},
		memberError{"duration", wire.Duration.Err}, memberError{"fps", wire.FPS.Err},
		memberError{"bitrate", wire.Bitrate.Err}, memberError{"filesize", wire.Filesize.Err},
		memberError{"metadata", metadataErr},
		memberError{"created", wire.Created.Err}, memberError{"updated", wire.Updated.Err},
		memberError{"created_at", wire.CreatedAt.Err}, memberError{"updated_at", wire.UpdatedAt.Err},
	))
}

func orZero(f jsonx.Float) float64 {
	if f.Value == nil {
		return 0
	}
	return *f.Value
}

// firstTime gives the first time that was sent: the API's generations name the same
// thing differently.
func firstTime(times ...jsonx.Time) time.Time {
	for _, t := range times {
		if !t.IsZero() {
			return t.Time
		}
	}
	return time.Time{}
}
