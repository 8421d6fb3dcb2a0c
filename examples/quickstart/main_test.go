package main

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestQuickstart_printsBothDeliveries(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "run", ".").CombinedOutput()
	require.NoError(t, err, string(out))
	assert.Regexp(t, `(?m)^task\.completed: task_\S+, nsfw: false$`, string(out))
	assert.Regexp(t, `(?m)^media\.created: med_\S+, title: "Quickstart"$`, string(out))
	assert.Regexp(t, `Next: docs/local-development\.md .*\n$`, string(out))
	assert.NotRegexp(t, `WARN|ERROR`, string(out))
}
