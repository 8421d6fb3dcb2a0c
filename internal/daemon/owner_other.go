//go:build !unix

package daemon

import "os/exec"

// give does nothing here: servers run as whoever starts them.
func give(string, string) error { return nil }

// runAs does nothing here: servers run as whoever starts them.
func runAs(*exec.Cmd, string) error { return nil }

func detach(*exec.Cmd) {}
