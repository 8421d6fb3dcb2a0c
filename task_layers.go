package ittybit

import (
	"fmt"

	"github.com/ittybit/ittybit-go/internal/jsonx"
)

// Layer is something that is laid over a picture, such as a logo or a line of text. API
// version 2025-08-20 names the option "layers", and no more; the members here are those
// that the video and image pages of later versions show, which are not known whole.
type Layer struct {
	Kind     string  `json:"kind,omitempty"` // image or text
	URL      string  `json:"url,omitempty"`  // of an image
	Text     string  `json:"text,omitempty"`
	Font     string  `json:"font,omitempty"`
	FontSize float64 `json:"font_size,omitempty"` // its unit is not documented
	Color    string  `json:"color,omitempty"`
	Position string  `json:"position,omitempty"` // such as center, top or left

	// Extra are further members; those read from the API are kept here, their numbers as
	// [json.Number]. A name that has a field of its own is a [*ParamError].
	Extra map[string]any `json:"-"`

	preserved []jsonx.Field // members that were read and would not be written the same
}

// MarshalJSON implements [json.Marshaler].
func (l Layer) MarshalJSON() ([]byte, error) {
	type plain Layer
	return flattenParams(plain(l), l.preserved, nil, l.Extra)
}

// UnmarshalJSON implements [json.Unmarshaler].
func (l *Layer) UnmarshalJSON(data []byte) error {
	*l = Layer{}
	return readFields(data, &l.Extra, &l.preserved, map[string]any{
		"kind": &l.Kind, "url": &l.URL, "text": &l.Text, "font": &l.Font, "font_size": &l.FontSize, "color": &l.Color, "position": &l.Position,
	})
}

// checkLayers refuses what can't be meant.
func checkLayers(layers []Layer) error {
	for i, layer := range layers {
		if err := notNegative(fmt.Sprintf("Layers[%d].FontSize", i), layer.FontSize); err != nil {
			return err
		}
	}
	return nil
}
