package signature

import "crypto/fips140"

// MinFIPSKey is the length of the shortest key, in bytes, that crypto/hmac takes under
// GODEBUG=fips140=only. With a shorter one it panics.
const MinFIPSKey = 14

// KeyAllowed reports whether a key of this length can be used.
func KeyAllowed(length int) bool { return length >= MinFIPSKey || !fips140.Enforced() }
