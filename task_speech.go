package ittybit

// SpeechResults are the results of [TaskKindSpeech], in the shapes of API version
// 2025-08-20 and of later ones (the speech pages). What a shape leaves out is nil or
// empty.
type SpeechResults struct {
	Detected   *bool    `json:"detected,omitempty"` // whether anybody speaks; API version 2025-08-20 only
	Speakers   *int     `json:"speakers,omitempty"` // how many
	Language   string   `json:"language,omitempty"` // such as en; the first of Languages
	Languages  []string `json:"languages,omitempty"`
	Text       []string `json:"text,omitempty"`       // what was said
	Confidence *float64 `json:"confidence,omitempty"` // 0 to 1; API version 2025-08-20 only

	Timeline []SpeechSegment `json:"timeline,omitempty"`
}

// SpeechSegment is what one speaker said in one go. A Start or End that Ittybit did not
// send is zero.
type SpeechSegment struct {
	Start      float64  `json:"start"`             // seconds
	End        float64  `json:"end"`               // seconds
	Speaker    *int     `json:"speaker,omitempty"` // from 0
	Text       string   `json:"text,omitempty"`
	Detected   *bool    `json:"detected,omitempty"`   // API version 2025-08-20 only
	Confidence *float64 `json:"confidence,omitempty"` // 0 to 1; API version 2025-08-20 only
}

// Speech gives the results of a speech task. Where there is nothing said of detection,
// speakers, text or timeline, it is [ErrNoResults].
func (t *Task) Speech() (*SpeechResults, error) {
	return taskResults[SpeechResults](t, TaskKindSpeech)
}

// UnmarshalJSON implements [json.Unmarshaler]. JSON that says nothing of detection,
// speakers, text or timeline is [ErrNoResults].
func (r *SpeechResults) UnmarshalJSON(data []byte) error {
	return unmarshalResults(r, TaskKindSpeech, data)
}

func (r *SpeechResults) read(m *resultMembers) (found bool) {
	*r = SpeechResults{
		Detected: m.flag("detected"), Speakers: m.whole("speakers"), Text: m.texts("text"), Confidence: m.number("confidence"),
		Timeline: readResultList(m, "timeline", func(m *resultMembers) SpeechSegment {
			return SpeechSegment{
				Start: m.seconds("start"), End: m.seconds("end"), Speaker: m.whole("speaker"),
				Text: m.text("text"), Detected: m.flag("detected"), Confidence: m.number("confidence"),
			}
		}),
	}
	r.Language, r.Languages = m.languages()
	return m.has("detected", "speakers", "text", "timeline")
}
