package ittybit

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/ittybit/ittybit-go/internal/jsonx"
)

// NSFWResults are the results of [TaskKindNSFW]. Ittybit documents three shapes of
// them, and UnmarshalJSON reads each; what a shape leaves out is nil.
type NSFWResults struct {
	// IsNSFW is the verdict: is_nsfw in webhooks, detected in the file's JSON of API
	// version 2025-08-20. Later versions give no verdict of their own: there it is
	// whether any category was found, by its name, by a true or by a severity other than
	// none. A null says nothing; a score is no verdict.
	IsNSFW     bool     `json:"is_nsfw"`
	Confidence *float64 `json:"confidence,omitempty"` // 0 to 1

	Nudity   *NSFWSignal `json:"nudity,omitempty"`
	Sexual   *NSFWSignal `json:"sexual,omitempty"`
	Violence *NSFWSignal `json:"violence,omitempty"`
	Gore     *NSFWSignal `json:"gore,omitempty"`

	// What only later API versions send.
	Categories  []string          `json:"categories,omitempty"`
	Severity    map[string]string `json:"severity,omitempty"` // by category: none, mild, moderate or severe
	Description string            `json:"description,omitempty"`
	Timeline    []NSFWSegment     `json:"timeline,omitempty"` // for videos
}

// NSFWSignal is what was found of one category: a score in API version 2025-08-20, a
// yes or no in later ones.
type NSFWSignal struct {
	Score    *float64 // 0 to 1
	Detected *bool
}

// NSFWSegment is a part of a video in which something was found. What Ittybit did not send is zero.
type NSFWSegment struct {
	Start    float64 `json:"start"` // seconds
	End      float64 `json:"end"`   // seconds
	Category string  `json:"category"`
	Severity string  `json:"severity"`
}

// NSFW gives the results of an NSFW task. Results without a verdict in any of the documented shapes
// are [ErrNoResults], never a "not NSFW", and so is a verdict that can't be read an error, such as
// an empty text for the categories: treat both as unsafe, or let somebody review the file.
func (t *Task) NSFW() (*NSFWResults, error) { return taskResults[NSFWResults](t, TaskKindNSFW) }

// UnmarshalJSON implements [json.Unmarshaler]. JSON without a verdict is [ErrNoResults].
func (r *NSFWResults) UnmarshalJSON(data []byte) error {
	return unmarshalResults(r, TaskKindNSFW, data)
}

func (r *NSFWResults) complete(text []byte) error {
	var sent struct {
		IsNSFW   *bool `json:"is_nsfw"`
		Detected *bool `json:"detected"`
	}
	if err := jsonx.Decode(text, &sent); err != nil {
		return err
	}
	if verdict := cmp.Or(sent.IsNSFW, sent.Detected); verdict != nil {
		r.IsNSFW = *verdict
		return nil
	}
	found, said, err := r.inferVerdict(jsonx.Get(text, "categories"))
	r.IsNSFW = found
	return cmp.Or(err, noResultsUnless(said))
}

// inferVerdict reports whether anything was found, and whether what was sent says so or denies it.
// Where nothing was found, what can't be read may have hidden it, and is an error.
func (r *NSFWResults) inferVerdict(categories json.RawMessage) (found, said bool, err error) {
	var errs jsonx.FieldErrors
	scored := false
	for _, category := range []struct {
		name   string
		signal *NSFWSignal
	}{{"nudity", r.Nudity}, {"sexual", r.Sexual}, {"violence", r.Violence}, {"gore", r.Gore}} {
		switch signal := category.signal; {
		case signal == nil:
		case signal.Detected != nil:
			said = true
			found = found || *signal.Detected
		case signal.Score != nil:
			scored = true
		default:
			errs = errs.Add(category.name, errors.New("is neither a number nor a boolean"))
		}
	}
	if categories != nil {
		said = true
		named := slices.ContainsFunc(r.Categories, func(category string) bool { return strings.TrimSpace(category) != "" })
		found = found || named
		if list, isList := jsonx.Elements(categories); !named && (!isList || len(list) > 0) {
			errs = errs.Add("categories", errors.New("names no category, and is not an empty list"))
		}
	}
	for category, severity := range r.Severity {
		said = true
		severity = strings.TrimSpace(severity)
		found = found || severity != "" && !strings.EqualFold(severity, "none")
		if severity == "" {
			errs = errs.Add("severity."+category, errors.New("is empty"))
		}
	}
	switch {
	case found:
		return true, true, nil
	case errs != nil:
		return false, false, errs
	}
	// Nobody has said from which score on something counts as found; a list of categories knows.
	return false, said && (!scored || categories != nil), nil
}

// MarshalJSON gives the score, or else true or false, as Ittybit sends it.
func (s NSFWSignal) MarshalJSON() ([]byte, error) {
	if s.Score != nil {
		return json.Marshal(s.Score)
	}
	return json.Marshal(s.Detected)
}

// UnmarshalJSON takes a number, true or false. A null is neither.
func (s *NSFWSignal) UnmarshalJSON(data []byte) error {
	*s = NSFWSignal{}
	if jsonx.IsNull(data) {
		return nil
	}
	var detected bool
	if json.Unmarshal(data, &detected) == nil {
		s.Detected = &detected
		return nil
	}
	score, given, err := jsonx.ParseFloat(data)
	if err != nil {
		return errors.New("is neither a number nor a boolean")
	}
	if given {
		s.Score = &score
	}
	return nil
}
