package core

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

// A mux has quick and slow handlers: the run of one says nothing of the other.
func TestSlowKinds_haveAPlaceForEachKind(t *testing.T) {
	event := func(payload string) *ittybit.Event {
		e, err := ittybit.ParseEvent([]byte(payload))
		require.NoError(t, err)
		return e
	}
	var slow slowKinds
	places := map[any]bool{}
	for _, kind := range []string{"speech", "nsfw", "video", "image", "thumbnails"} {
		task := `{"id":"task_%s","object":"task","kind":"` + kind + `","status":"completed"}`
		place := slow.of(event(strings.Replace(task, "%s", "1", 1)))
		assert.Same(t, place, slow.of(event(strings.Replace(task, "%s", "2", 1))), kind)
		places[place] = true
		places[slow.of(event(`{"id":"job_1","object":"job","kind":"`+kind+`","status":"succeeded"}`))] = true
	}
	assert.Greater(t, len(places), 5, "of ten; two kinds may share a place")
}
