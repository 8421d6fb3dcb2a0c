package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go/examples/internal/examplerun"
)

func TestWorkflow_followsItsConditionAndFeedsOutputsOnward(t *testing.T) {
	program := examplerun.Start(t, nil, examplerun.Build(t), "-local")
	require.NoError(t, program.Wait())
	assert.Contains(t, program.Output(), `subtitles: en, of the "small" copy`)
	assert.Contains(t, program.Output(), "video: 3 files, small copy: true, subtitles: true")
	assert.Contains(t, program.Output(), "image: 1 files, small copy: false, subtitles: false")
}

func TestWorkflow_needsAKey(t *testing.T) {
	program := examplerun.Start(t, nil, examplerun.Build(t))
	require.Error(t, program.Wait())
	assert.Contains(t, program.Output(), "ITTYBIT_API_KEY")
}
