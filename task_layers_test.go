package ittybit_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

func TestLayer_readAndWrittenLosesNothing(t *testing.T) {
	for _, text := range []string{
		`{"kind":"image","url":"https://x.example/logo.png","position":"bottom right"}`,
		`{"kind":"text","text":"Hi <b> & all","font":"Inter","font_size":24,"color":"#ffffff","position":"top"}`,
		`{"kind":"text","font_size":"2em","text":{"en":"Hi"},"color":null,"position":"","font":0,"url":[]}`,
		`{"kind":"sticker","scale":0.1000000000000000000000001,"id":12345678901234567890,"nested":{"a":[null,{"b":1}]}}`,
		`{"font_size":0}`,
		`{}`,
	} {
		var layer ittybit.Layer
		require.NoError(t, json.Unmarshal([]byte(text), &layer), text)
		written, err := json.Marshal(layer)
		require.NoError(t, err, text)
		assert.Equal(t, apiMembers(t, text), apiMembers(t, string(written)))
	}
	for _, text := range []string{`null`, `[]`, `"x"`, `1`} {
		require.Error(t, new(ittybit.Layer).UnmarshalJSON([]byte(text)), text)
	}
}
