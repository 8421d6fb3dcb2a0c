package inboxtest

import (
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// newMySQLWire starts a proxy in front of the server of a DSN, and gives the DSN by way of it.
func newMySQLWire(t testing.TB, dsn string) (*Wire, string) {
	t.Helper()
	before, rest, ok := strings.Cut(dsn, "@tcp(")
	require.True(t, ok)
	target, after, ok := strings.Cut(rest, ")")
	require.True(t, ok)
	failing := append([]byte{0, 0, 0, 0, commandQuery}, "no statement"...)
	failing[0] = byte(len(failing) - headLength)
	w := newWire(t, target, protocol{mysqlRequests, mysqlResponses, failing})
	return w, before + "@tcp(" + w.listener.Addr().String() + ")" + after
}

// Commands of a client's. The server does not answer those of the last three.
const (
	commandQuery         = 0x03
	commandQuit          = 0x01
	commandSendLongData  = 0x18
	commandStatementDone = 0x19
)

// headLength is that of what begins a packet: the length of the rest, and the packet's number.
const headLength = 4

// mysqlRequests hands on one packet after the other. The first one of a command has the number 0.
// The server speaks first, so that a client that logs in begins with 1.
func mysqlRequests(l *link, client io.Reader) {
	if !l.request(callConnect, nil, client) {
		return
	}
	for {
		head := make([]byte, headLength)
		if _, err := io.ReadFull(client, head); err != nil {
			return
		}
		packet := make([]byte, headLength+(int(head[0])|int(head[1])<<8|int(head[2])<<16))
		copy(packet, head)
		if _, err := io.ReadFull(client, packet[headLength:]); err != nil {
			return
		}
		if !isMySQLRequest(packet) {
			if _, err := l.server.Write(packet); err != nil {
				return
			}
			continue
		}
		what := "a request of a prepared statement"
		if packet[headLength] == commandQuery {
			what = string(packet[headLength+1:])
		}
		l.wire.count()
		if !l.request(what, packet, client) {
			return
		}
	}
}

func isMySQLRequest(packet []byte) bool {
	if packet[headLength-1] != 0 || len(packet) == headLength {
		return false
	}
	switch packet[headLength] {
	case commandQuit, commandSendLongData, commandStatementDone:
		return false
	}
	return true
}

// mysqlResponses hands on what the server sends, until a response is not to arrive.
func mysqlResponses(l *link, server io.Reader) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := server.Read(buffer)
		if l.losesReply.Load() {
			return
		}
		if _, writeErr := l.client.Write(buffer[:n]); err != nil || writeErr != nil {
			return
		}
	}
}
