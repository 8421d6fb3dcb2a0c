//go:build !unix

package daemon

import "os/exec"

// Give does nothing here: servers run as whoever starts them.
func Give(string, string) error { return nil }

// RunAs does nothing here: servers run as whoever starts them.
func RunAs(*exec.Cmd, string) error { return nil }

func detach(*exec.Cmd) {}
