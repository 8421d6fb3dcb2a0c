package jsonx

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTime_readsEveryNotation(t *testing.T) {
	whole := time.Date(2025, 1, 10, 12, 34, 56, 0, time.UTC)
	millis := whole.Add(789 * time.Millisecond)
	for text, want := range map[string]time.Time{
		`"2025-01-10T12:34:56Z"`:           whole,
		`"2025-01-10T12:34:56.789Z"`:       millis,
		`"2025-01-10T13:34:56+01:00"`:      whole,
		`"2025-01-10T13:34:56+0100"`:       whole,
		`"2025-01-10T12:34:56"`:            whole,
		`"2025-01-10 12:34:56"`:            whole,
		`"2025-01-10 12:34:56.789"`:        millis,
		`"2025-01-10 13:34:56+01:00"`:      whole,
		`"2025-01-10"`:                     whole.Truncate(24 * time.Hour),
		`"2025-01-10T12:34:56\u005a"`:      whole,
		`1736512496`:                       whole,
		`1736512496000`:                    whole,
		`1736512496789`:                    millis,
		`1736512496.789`:                   millis,
		`1.736512496e9`:                    whole,
		`"1736512496"`:                     whole,
		` 1736512496 `:                     whole,
		`-1`:                               time.Unix(-1, 0),
		`99999999999`:                      time.Unix(99999999999, 0),
		`100000000000`:                     time.UnixMilli(100000000000),
		`-100000000000`:                    time.UnixMilli(-100000000000),
		`"2025-01-10T12:34:56.123456789Z"`: whole.Add(123456789),
	} {
		got, err := ParseTime([]byte(text))
		require.NoError(t, err, text)
		assert.True(t, want.Equal(got), "%s: %v, not %v", text, got, want)
	}
}

func TestTime_isZeroWhereThereIsNone(t *testing.T) {
	for _, text := range []string{
		`null`, `""`, ``, `"0001-01-01T00:00:00Z"`, `"0001-01-01T00:00:00+00:00"`, `"0001-01-01T01:00:00+01:00"`,
		`"0001-01-01 00:00:00+00:00"`,
	} {
		got, err := ParseTime([]byte(text))
		require.NoError(t, err, text)
		assert.Equal(t, time.Time{}, got, "%s: without a zone, too", text)
	}
}

func TestTime_tellsWhatItCannotRead(t *testing.T) {
	for _, text := range []string{
		`"yesterday"`, `true`, `{}`, `[]`, `"2025-13-01"`, `"\ud8"`, `"NaN"`, `"Inf"`, `1e300`, `-1e300`,
		`9223372036854775807`, `-9223372036854775808`, `253370764800000`, `"`,
	} {
		_, err := ParseTime([]byte(text))
		assert.ErrorIs(t, err, errNoTime, text)
	}
}

func TestUnix_partsSecondsFromMilliseconds(t *testing.T) {
	at, ok := Unix(millisThreshold - 1)
	require.True(t, ok)
	assert.Equal(t, int64(millisThreshold-1), at.Unix())
	assert.False(t, IsMillis(millisThreshold-1))

	at, ok = Unix(millisThreshold)
	require.True(t, ok)
	assert.Equal(t, int64(millisThreshold), at.UnixMilli())
	assert.True(t, IsMillis(millisThreshold))
	assert.True(t, IsMillis(-millisThreshold))

	at, ok = Unix(maxUnixMillis)
	require.True(t, ok)
	assert.Equal(t, 9998, at.Year())
	_, ok = Unix(maxUnixMillis + 1)
	assert.False(t, ok)
	_, ok = Unix(-maxUnixMillis - 1)
	assert.False(t, ok)
}

func TestInt_readsWholeNumbers(t *testing.T) {
	for text, want := range map[string]int64{
		`42`: 42, `"42"`: 42, `42.9`: 42, `-3`: -3, `1e3`: 1000, `0`: 0, `9007199254740993`: 1<<53 + 1,
		`9223372036854775807`: math.MaxInt64, `-9223372036854775808`: math.MinInt64, `"18014398509481985"`: 1<<54 + 1,
	} {
		got, found, err := ParseInt([]byte(text))
		require.NoError(t, err, text)
		assert.True(t, found, text)
		assert.Equal(t, want, got, text)
	}
	for _, text := range []string{`null`, `""`, ``} {
		got, found, err := ParseInt([]byte(text))
		require.NoError(t, err, text)
		assert.False(t, found, text)
		assert.Zero(t, got, text)
	}
}

func TestInt_tellsWhatItCannotRead(t *testing.T) {
	for _, text := range []string{
		`"many"`, `true`, `{}`, `1e300`, `-1e300`, `9223372036854775808`, `1e16`, `9007199254740993.5`, `"42%"`, `"1_000"`, `"0x2a"`, `"+42"`, `"042"`, `"4 2"`,
	} {
		got, found, err := ParseInt([]byte(text))
		require.Error(t, err, text)
		assert.False(t, found, text)
		assert.Zero(t, got, text)
	}
}

func TestFloat_tellsNoneFromZero(t *testing.T) {
	for text, want := range map[string]float64{`0`: 0, `0.97`: 0.97, `"0.97"`: 0.97, `-1e-3`: -0.001} {
		got, found, err := ParseFloat([]byte(text))
		require.NoError(t, err, text)
		assert.True(t, found, text)
		assert.InDelta(t, want, got, 1e-12, text)
	}
	for _, text := range []string{`null`, `""`} {
		_, found, err := ParseFloat([]byte(text))
		require.NoError(t, err, text)
		assert.False(t, found, text)
	}
	for _, text := range []string{`"NaN"`, `"Infinity"`, `"-inf"`, `"0x1p-2"`, `"1_000.5"`, `".5"`, `1e999`, `"much"`, `true`, `[]`} {
		got, found, err := ParseFloat([]byte(text))
		require.Error(t, err, text)
		assert.False(t, found, text)
		assert.Zero(t, got, text)
	}
}
