package ittybit

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ittybit/ittybit-go/internal/jsonx"
)

// DecodeResults decodes the task's results into v, as [json.Unmarshal] does. A task
// without results is [ErrNoResults].
func (t *Task) DecodeResults(v any) error {
	if jsonx.IsNull(t.Results) {
		return fmt.Errorf("%w: %s has none (status %s)", ErrNoResults, t.ID, t.Status)
	}
	if err := json.Unmarshal(t.Results, v); err != nil {
		return fmt.Errorf("ittybit: results of %s: %w", t.ID, err)
	}
	return nil
}

// NSFWResults are the results of [TaskKindNSFW]. Ittybit documents three shapes of
// them; what a shape leaves out is nil.
type NSFWResults struct {
	// IsNSFW is the verdict: is_nsfw in webhooks, detected in the file's JSON of API
	// version 2025-08-20. Later versions give no verdict of their own: there it is
	// whether any category was found.
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

// MarshalJSON gives the score, or else true or false, as Ittybit sends it.
func (s NSFWSignal) MarshalJSON() ([]byte, error) {
	if s.Score != nil {
		return json.Marshal(s.Score)
	}
	return json.Marshal(s.Detected)
}

// UnmarshalJSON takes a number, true or false.
func (s *NSFWSignal) UnmarshalJSON(data []byte) error {
	*s = NSFWSignal{}
	var detected bool
	if json.Unmarshal(data, &detected) == nil {
		s.Detected = &detected
		return nil
	}
	var score jsonx.Float
	_ = score.UnmarshalJSON(data) // it reports through Err
	if score.Err != nil {
		return errors.New("is neither a number nor a boolean")
	}
	s.Score = score.Value
	return nil
}

// NSFWSegment is a part of a video in which something was found.
type NSFWSegment struct {
	Start    float64 `json:"start"` // seconds
	End      float64 `json:"end"`   // seconds
	Category string  `json:"category"`
	Severity string  `json:"severity"`
}

// NSFW decodes the results of an NSFW task. Results without a verdict in any of the
// documented shapes are [ErrNoResults], never a "not NSFW".
func (t *Task) NSFW() (*NSFWResults, error) {
	var wire struct {
		IsNSFW      *bool             `json:"is_nsfw"`
		Detected    *bool             `json:"detected"`
		Confidence  jsonx.Float       `json:"confidence"`
		Nudity      *NSFWSignal       `json:"nudity"`
		Sexual      *NSFWSignal       `json:"sexual"`
		Violence    *NSFWSignal       `json:"violence"`
		Gore        *NSFWSignal       `json:"gore"`
		Categories  []string          `json:"categories"`
		Severity    map[string]string `json:"severity"`
		Description string            `json:"description"`
		Timeline    []NSFWSegment     `json:"timeline"`
	}
	if err := t.DecodeResults(&wire); err != nil {
		return nil, err
	}
	if wire.Confidence.Err != nil {
		return nil, fmt.Errorf("ittybit: results of %s: confidence %w", t.ID, wire.Confidence.Err)
	}
	results := &NSFWResults{
		Confidence: wire.Confidence.Value,
		Nudity:     wire.Nudity, Sexual: wire.Sexual, Violence: wire.Violence, Gore: wire.Gore,
		Categories: wire.Categories, Severity: wire.Severity, Description: wire.Description, Timeline: wire.Timeline,
	}
	switch {
	case wire.IsNSFW != nil:
		results.IsNSFW = *wire.IsNSFW
	case wire.Detected != nil:
		results.IsNSFW = *wire.Detected
	default:
		found, said := results.categoriesFound()
		if !said {
			return nil, fmt.Errorf("%w: the results of %s hold no NSFW verdict", ErrNoResults, t.ID)
		}
		results.IsNSFW = found
	}
	return results, nil
}

// categoriesFound reports whether any category was found, and whether anything was
// said of categories at all.
func (r *NSFWResults) categoriesFound() (found, said bool) {
	for _, signal := range []*NSFWSignal{r.Nudity, r.Sexual, r.Violence, r.Gore} {
		if signal != nil && signal.Detected != nil {
			said = true
			found = found || *signal.Detected
		}
	}
	if r.Categories != nil {
		said = true
		found = found || len(r.Categories) > 0
	}
	for _, severity := range r.Severity {
		said = true
		found = found || severity != "none"
	}
	return found, said
}
