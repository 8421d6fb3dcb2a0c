//go:build !unix

package pgserver

import "os/exec"

// Elsewhere PostgreSQL runs as whoever starts it.
func giveToOwner(string) error   { return nil }
func runAsOwner(*exec.Cmd) error { return nil }
func detach(*exec.Cmd)           {}
