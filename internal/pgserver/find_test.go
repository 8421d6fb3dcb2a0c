package pgserver

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// install puts files that may be run into a folder.
func install(t *testing.T, folder string, programs ...string) string {
	t.Helper()
	require.NoError(t, os.MkdirAll(folder, 0o700))
	for _, program := range programs {
		require.NoError(t, os.WriteFile(filepath.Join(folder, program), nil, 0o700))
	}
	return folder
}

func TestFind_prefersPATHThenTheNewest(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	patterns := []string{filepath.Join(root, "v*", "bin")}
	t.Setenv("PATH", filepath.Join(root, "path"))

	_, err = find(patterns)
	require.ErrorIs(t, err, ErrNotInstalled)

	install(t, filepath.Join(root, "v17", "bin"), "initdb") // a client's package alone
	_, err = find(patterns)
	require.ErrorIs(t, err, ErrNotInstalled)

	install(t, filepath.Join(root, "v9", "bin"), "initdb", "postgres")
	install(t, filepath.Join(root, "v10", "bin"), "initdb", "postgres")
	newest := install(t, filepath.Join(root, "v16", "bin"), "initdb", "postgres")
	found, err := find(patterns)
	require.NoError(t, err)
	assert.Equal(t, newest, found)

	elsewhere := install(t, filepath.Join(root, "elsewhere"), "initdb", "postgres")
	install(t, filepath.Join(root, "path"))
	require.NoError(t, os.Symlink(filepath.Join(elsewhere, "initdb"), filepath.Join(root, "path", "initdb")))
	found, err = find(patterns)
	require.NoError(t, err)
	assert.Equal(t, elsewhere, found)
}
