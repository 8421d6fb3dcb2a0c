// Package blackbox has the tests of the client that go through several of its parts: every
// endpoint, lists, retries, transports, decoding. They see what a user of the client sees.
package blackbox
