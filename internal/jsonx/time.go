// Package jsonx has what encoding/json lacks for an API whose documents and versions
// disagree: objects read field by field, so that a wrong one does not spoil the others; times
// in three notations; numbers that may be quoted; and objects taken apart and put together
// again without losing a field.
package jsonx

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"time"
)

// millisThreshold parts unix seconds from unix milliseconds: as seconds it lies
// in the year 5138, as milliseconds in 1973.
const millisThreshold = 100_000_000_000

// maxUnixMillis is the last millisecond of the year 9998, past which a number is
// no time that anybody means.
const maxUnixMillis = 253_370_764_799_999

var errNoTime = errors.New("is neither ISO 8601 nor unix seconds or milliseconds")

// isoLayouts are the spellings of ISO 8601 that are tried, the common one first.
// A time without a zone is read as UTC.
var isoLayouts = [...]string{
	time.RFC3339Nano,
	"2006-01-02T15:04:05.999999999Z0700",
	"2006-01-02T15:04:05.999999999",
	"2006-01-02 15:04:05.999999999Z07:00",
	"2006-01-02 15:04:05.999999999",
	time.DateOnly,
	"2006-01-02Z15:04:05.999999999", // as the resumable uploads guide has it
}

// ParseTime reads a JSON value as a time: ISO 8601, unix seconds or unix milliseconds.
// null and an empty string are the zero time.
func ParseTime(data []byte) (time.Time, error) {
	data = bytes.TrimSpace(data)
	if isNull(data) {
		return time.Time{}, nil
	}
	if data[0] != '"' {
		return parseUnix(string(data))
	}
	// The common spelling, without an allocation.
	if at := (time.Time{}); len(data) > 1 && at.UnmarshalText(data[1:len(data)-1]) == nil {
		return plainZero(at), nil
	}
	text, err := unquote(data)
	switch {
	case err != nil:
		return time.Time{}, errNoTime
	case text == "":
		return time.Time{}, nil
	}
	for _, layout := range isoLayouts {
		if at, err := time.Parse(layout, text); err == nil {
			return plainZero(at), nil
		}
	}
	return parseUnix(text)
}

// plainZero gives the zero time without the zone that it may have: some services write it for no
// time, with +00:00, and then it is not equal to time.Time{}.
func plainZero(at time.Time) time.Time {
	if at.IsZero() {
		return time.Time{}
	}
	return at
}

// parseUnix reads seconds or milliseconds, whole or with a fraction.
func parseUnix(text string) (time.Time, error) {
	if whole, err := strconv.ParseInt(text, 10, 64); err == nil {
		if at, ok := Unix(whole); ok {
			return at, nil
		}
		return time.Time{}, errNoTime
	}
	number, err := strconv.ParseFloat(text, 64)
	if err != nil || !(number > -maxUnixMillis && number < maxUnixMillis) { // the negation also catches NaN
		return time.Time{}, errNoTime
	}
	if number < millisThreshold && number > -millisThreshold {
		number *= 1000
	}
	return time.UnixMicro(int64(number * 1000)).UTC(), nil
}

// Unix gives the time that a whole number stands for: seconds, or milliseconds
// where it is too large for seconds. It is false beyond the year 9998.
func Unix(number int64) (time.Time, bool) {
	switch {
	case number > maxUnixMillis || number < -maxUnixMillis:
		return time.Time{}, false
	case number >= millisThreshold || number <= -millisThreshold:
		return time.UnixMilli(number).UTC(), true
	default:
		return time.Unix(number, 0).UTC(), true
	}
}

// IsMillis reports whether Unix reads number as milliseconds.
func IsMillis(number int64) bool { return number >= millisThreshold || number <= -millisThreshold }

var errOutOfRange = errors.New("is out of range")

// ParseInt reads a JSON value as a whole number, which may be quoted or have a fraction (it
// is cut off). null and an empty string are none.
func ParseInt(data []byte) (number int64, found bool, err error) {
	text := unquoted(data)
	if whole, err := strconv.ParseInt(string(text), 10, 64); err == nil && isNumber(text, data) {
		return whole, true, nil
	}
	float, found, err := ParseFloat(data) // one with a fraction or an exponent
	if err != nil {
		return 0, false, err
	}
	if float >= 1<<53 || float <= -(1<<53) { // past which a float64 is not what was written
		return 0, false, errOutOfRange
	}
	return int64(float), found, nil
}

// ParseFloat reads a JSON value as a number, which may be quoted. null and an empty string
// are none.
func ParseFloat(data []byte) (number float64, found bool, err error) {
	text := unquoted(data)
	if isNull(text) {
		return 0, false, nil
	}
	number, err = strconv.ParseFloat(string(text), 64)
	if err != nil || !isNumber(text, data) {
		return 0, false, errors.New("is not a number")
	}
	return number, true, nil
}

// unquoted takes away white space and quotes.
func unquoted(data []byte) []byte {
	data = bytes.TrimSpace(data)
	if len(data) > 1 && data[0] == '"' && data[len(data)-1] == '"' {
		data = data[1 : len(data)-1]
	}
	return data
}

// isNumber tells JSON's numbers from the many others that strconv knows and that may stand
// between quotes: 0x1p-2, 1_000, Inf, +1. text is data, unquoted.
func isNumber(text, data []byte) bool {
	if len(text) == 0 || text[0] != '-' && (text[0] < '0' || text[0] > '9') {
		return false
	}
	return len(text) == len(data) || json.Valid(text) // not in quotes, it is JSON already
}
