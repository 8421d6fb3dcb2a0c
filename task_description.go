package ittybit

// DescriptionResults are the results of [TaskKindDescription], and of what later API
// versions call "summary" (the description and summary pages). What a shape leaves out is
// nil or empty.
type DescriptionResults struct {
	Title       string   `json:"title,omitempty"`
	Description string   `json:"description,omitempty"`
	Tags        []string `json:"tags,omitempty"`
	Language    string   `json:"language,omitempty"` // such as en; the first of Languages
	Languages   []string `json:"languages,omitempty"`
	Confidence  *float64 `json:"confidence,omitempty"` // 0 to 1; API version 2025-08-20 only
}

// Description gives the results of a description task. Without a title, description or
// tags it is [ErrNoResults].
func (t *Task) Description() (*DescriptionResults, error) {
	// Later API versions put them into the task itself, where the description alone may
	// be the one that the task was created with.
	var own resultPlace
	if m, err := resultMembersOf(t.raw); err == nil && m.has("title", "tags") && (t.Kind == TaskKindDescription || t.Kind == "summary") {
		own = resultPlace{"members", t.raw}
	}
	return taskResults[DescriptionResults](t, TaskKindDescription, own)
}

// UnmarshalJSON implements [json.Unmarshaler]. JSON without a title, description or tags
// is [ErrNoResults].
func (r *DescriptionResults) UnmarshalJSON(data []byte) error {
	return unmarshalResults(r, TaskKindDescription, data)
}

func (r *DescriptionResults) read(m *resultMembers) (found bool) {
	*r = DescriptionResults{
		Title: m.text("title"), Description: m.text("description"), Tags: m.texts("tags"), Confidence: m.number("confidence"),
	}
	r.Language, r.Languages = m.languages()
	return m.has("title", "description", "tags")
}
