//go:build !unix

package main

import "time"

// processorTime is what this process has used: not known here.
func processorTime() (time.Duration, bool) { return 0, false }
