package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRun_followsItsConditionAndFeedsOutputsOnward(t *testing.T) {
	var out strings.Builder
	require.NoError(t, run(t.Context(), &out))
	assert.Contains(t, out.String(), `Subtitled: en, of the "small" copy`)
	assert.Contains(t, out.String(), "Media of kind video: 3 files, small copy: true, subtitles: true")
	assert.Contains(t, out.String(), "Media of kind image: 1 files, small copy: false, subtitles: false")
}
