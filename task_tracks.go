package ittybit

import "github.com/ittybit/ittybit-go/internal/jsonx"

// SubtitlesResults are the results of [TaskKindSubtitles]: the file with the subtitles.
// Its URL, Format (such as vtt) and Language are those that Ittybit documents.
type SubtitlesResults struct {
	File
}

// ChaptersResults are the results of [TaskKindChapters]: the file with the chapters, and
// the chapters where Ittybit sent them along.
type ChaptersResults struct {
	File

	Chapters []Chapter `json:"chapters,omitempty"`
}

// Chapter is a part of a video or audio. A Start or End that Ittybit did not send is zero.
type Chapter struct {
	Index *int    `json:"index,omitempty"` // from 0
	Start float64 `json:"start"`           // seconds
	End   float64 `json:"end"`             // seconds
	Title string  `json:"title,omitempty"`
}

// ThumbnailsResults are the results of [TaskKindThumbnails].
type ThumbnailsResults struct {
	// File says what the thumbnails have in common, such as Format, Width and Height. Its URL is
	// as Ittybit sent it, or else the first of URLs.
	// The tracks guide describes another kind of file here, a sprite sheet's track of
	// Type text/vtt.
	File

	Count int      `json:"count,omitempty"` // as Ittybit sent it, or else the number of URLs
	URLs  []string `json:"urls,omitempty"`  // the images, or else the one URL of File
}

// Subtitles gives the results of a subtitles task. Without a URL it is [ErrNoResults].
func (t *Task) Subtitles() (*SubtitlesResults, error) {
	return taskResults[SubtitlesResults](t, TaskKindSubtitles)
}

// Chapters gives the results of a chapters task. Without a URL and chapters it is
// [ErrNoResults].
func (t *Task) Chapters() (*ChaptersResults, error) {
	return taskResults[ChaptersResults](t, TaskKindChapters)
}

// Thumbnails gives the results of a thumbnails task. Without any URL it is
// [ErrNoResults]. Where each image is an output of its own, as in later API versions, File
// is the first, and URLs are those of all.
func (t *Task) Thumbnails() (*ThumbnailsResults, error) {
	results, err := taskResults[ThumbnailsResults](t, TaskKindThumbnails)
	if err != nil {
		return nil, err
	}
	var outputs []string
	for _, output := range t.Outputs {
		if output != nil && output.URL != "" {
			outputs = append(outputs, output.URL)
		}
	}
	results.complete(outputs)
	return results, nil
}

// UnmarshalJSON implements [json.Unmarshaler]. JSON without a URL is [ErrNoResults].
func (r *SubtitlesResults) UnmarshalJSON(data []byte) error {
	return unmarshalResults(r, TaskKindSubtitles, data)
}

// UnmarshalJSON implements [json.Unmarshaler]. JSON without a URL and chapters is
// [ErrNoResults].
func (r *ChaptersResults) UnmarshalJSON(data []byte) error {
	return unmarshalResults(r, TaskKindChapters, data)
}

// UnmarshalJSON implements [json.Unmarshaler]. JSON without any URL is [ErrNoResults].
func (r *ThumbnailsResults) UnmarshalJSON(data []byte) error {
	err := unmarshalResults(r, TaskKindThumbnails, data)
	if err == nil {
		r.complete(nil)
	}
	return err
}

func (r *SubtitlesResults) read(m *resultMembers) (found bool) {
	m.file(&r.File)
	return r.URL != ""
}

func (r *ChaptersResults) read(m *resultMembers) (found bool) {
	m.file(&r.File)
	r.Chapters = readResultList(m, "chapters", func(m *resultMembers) Chapter {
		return Chapter{Index: m.whole("index"), Start: m.seconds("start"), End: m.seconds("end"), Title: m.text("title")}
	})
	return r.URL != "" || m.has("chapters")
}

func (r *ThumbnailsResults) read(m *resultMembers) (found bool) {
	m.file(&r.File)
	r.URLs = m.texts("urls")
	if count := m.whole("count"); count != nil {
		r.Count = *count
	}
	return r.URL != "" || len(r.URLs) > 0
}

// complete fills in what Ittybit did not send as such.
func (r *ThumbnailsResults) complete(outputs []string) {
	if len(r.URLs) == 0 {
		r.URLs = outputs
	}
	if len(r.URLs) == 0 {
		r.URLs = []string{r.URL}
	}
	if r.URL == "" {
		r.URL = r.URLs[0]
	}
	if r.Count == 0 {
		r.Count = len(r.URLs)
	}
}

// file reads the object as a file.
func (m *resultMembers) file(file *File) {
	if err := jsonx.DecodeObject(m.object, file); m.err == nil {
		m.err = err
	}
}

// MarshalJSON writes the chapters beside the fields of the file.
func (r ChaptersResults) MarshalJSON() ([]byte, error) {
	return marshalTrack(r.File, struct {
		Chapters []Chapter `json:"chapters,omitempty"`
	}{r.Chapters})
}

// MarshalJSON writes the URLs and their number beside the fields of the file.
func (r ThumbnailsResults) MarshalJSON() ([]byte, error) {
	return marshalTrack(r.File, struct {
		URLs  []string `json:"urls,omitempty"`
		Count int      `json:"count,omitempty"`
	}{r.URLs, r.Count})
}

func marshalTrack(file File, more any) ([]byte, error) {
	fields, err := jsonx.MarshalFields(file)
	if err != nil {
		return nil, err
	}
	return flattenParams(more, fields, nil, nil)
}
